"""``finish --wait`` follows jobs to their end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datalad_hpc import finishing, waiting
from datalad_hpc.errors import SaveLockHeld
from datalad_hpc.finish.rounds import Round, Wishes
from datalad_hpc.finish.watching import states_text
from datalad_hpc.schedulers import scheduler_loader
from datalad_hpc.schedulers.local import Local
from datalad_hpc.schedulers.slurm import Slurm
from datalad_hpc.store import open_store
from datalad_hpc.workplace import Workplace
from tests.commands.conftest import QUIET, Lab, ask_store, let_time_pass, stand_in, text_of
from tests.commands.soundness import assert_sound
from tests.commands.test_machine_signals import ended, send, started
from tests.helpers import wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

MARK = "[DATALAD SLURM RUN]"


def wait_with(lab: Lab, *job_ids: str, timeout: Any = 60, **options: Any) -> list[dict[str, Any]]:
    return lab.finish(*job_ids, wait=True, timeout=timeout, **options)


@pytest.fixture(autouse=True)
def in_a_hurry(dataset: Dataset) -> None:
    """Questions follow each other quickly, also those of other processes."""
    dataset.config.set("datalad.hpc.poll-interval", "0.1 0.2", scope="local")


@pytest.fixture
def waiter(local_lab: Lab) -> Lab:
    """A dataset with a script that runs until a file of its name is there."""
    wait = 'until test -e ".git/$1.go"; do sleep 0.05; done'
    local_lab.script(f"{wait}; echo $1 > $1.out; exit ${{2:-0}}", "until.sh")
    return local_lab


def begin(lab: Lab, *words: str) -> str:
    """Schedule a job that ends when it is told to."""
    job = lab.schedule(f"sbatch until.sh {' '.join(words)}", outputs=[f"{words[0]}.out"])
    return str(job["slurm_job_id"])


def let_end(lab: Lab, *names: str) -> None:
    for name in names:
        (lab.root / ".git" / f"{name}.go").touch()


def commits(lab: Lab) -> int:
    return lab.git("log", "--format=%s").count(MARK)


def statuses(results: Sequence[dict[str, Any]]) -> list[str]:
    return [res["status"] for res in results]


def wait_in_another_process(lab: Lab, *more: str) -> subprocess.Popen[str]:
    """One that has had its first look."""
    process = started(lab, "finish", "--wait", *more)
    assert process.stdout
    line = process.stdout.readline()
    assert "are over" in line, line
    return process


def test_jobs_are_committed_as_they_end(
    dataset: Dataset, scheduler_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the scheduler is asked once in each round."""
    lab = Lab(dataset, scheduler_name)
    calls: Counter[str] = Counter()

    def counted(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return method(*args, **options)

        monkeypatch.setattr(owner, name, call)

    counted({"slurm": Slurm, "local": Local}[scheduler_name], "status")
    counted(waiting._Waiting, "_look")
    counted(Workplace, "save_lock")
    for seconds in (0.1, 1):
        lab.schedule(f"sleep {seconds}; echo x > out-{seconds}", outputs=[f"out-{seconds}"])
    calls.clear()
    results = wait_with(lab)
    assert statuses(results) == ["ok", "ok"], [text_of(res) for res in results]
    assert [res["outputs"] for res in results] == [["out-0.1"], ["out-1"]]
    assert lab.listed() == {}
    assert_sound(lab.root)
    assert calls["status"] == calls["_look"] >= 2
    assert calls["save_lock"] <= 2


def test_tasks_of_a_sweep_are_committed_as_they_end(waiter: Lab) -> None:
    waiter.schedule(
        "until test -e .git/{n}.go; do sleep 0.05; done; echo {n} > {n}.out",
        foreach={"n": ["a", "b"]},
        outputs=["{n}.out"],
    )
    let_end(waiter, "a")
    process = wait_in_another_process(waiter)
    wait_for(lambda: commits(waiter) == 1)
    assert process.poll() is None
    let_end(waiter, "b")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert commits(waiter) == 2


def test_failed_jobs_are_told_once_and_keep_nobody_waiting(waiter: Lab) -> None:
    failed = begin(waiter, "bad", "3")
    begin(waiter, "good")
    let_end(waiter, "bad")
    process = wait_in_another_process(waiter)
    let_end(waiter, "good")
    said, _ = process.communicate(timeout=60)
    assert said.count(f"Job {failed} did not succeed") == 1
    assert said.count("committed as") == 1
    assert process.returncode == 1
    assert list(waiter.listed()) == [failed]


def test_failed_jobs_are_not_asked_for_again(waiter: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be thousands of them."""
    failed, live = begin(waiter, "bad", "3"), begin(waiter, "good")
    let_end(waiter, "bad")
    waiter.wait(failed)
    asked: list[list[str]] = []
    status = Local.status

    def noted(self: Local, jobs: Any, **options: Any) -> Any:
        asked.append([job.job_id for job in jobs])
        return status(self, jobs, **options)

    monkeypatch.setattr(Local, "status", noted)
    assert len(wait_with(waiter, timeout=0.5)) == 3
    assert asked[0] == [failed, live]
    assert {(live,)} == {tuple(each) for each in asked[1:]}
    let_end(waiter, "good")
    waiter.wait(live)


def test_a_failed_job_that_is_submitted_again_meanwhile_is_followed(waiter: Lab) -> None:
    failed = waiter.schedule("test -e .git/ok && echo x > again", outputs=["again"])
    waiter.wait(failed["slurm_job_id"])
    begin(waiter, "a")
    process = wait_in_another_process(waiter)
    assert process.stdout
    assert any("did not succeed" in line for line in process.stdout)
    (waiter.root / ".git" / "ok").touch()
    (again,) = waiter.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    wait_for(lambda: commits(waiter) == 1)
    let_end(waiter, "a")
    process.communicate(timeout=60)
    assert commits(waiter) == 2
    assert_sound(waiter.root)


def test_failed_jobs_are_closed_when_they_fail(waiter: Lab) -> None:
    begin(waiter, "bad", "3")
    begin(waiter, "good")
    process = wait_in_another_process(waiter, "--close-failed-jobs")
    let_end(waiter, "bad")
    wait_for(lambda: ask_store(waiter, "SELECT 1 FROM jobs WHERE state = 'closed'"))
    let_end(waiter, "good")
    assert process.wait(60) == 0
    assert waiter.listed() == {}


def test_states_of_equal_number_keep_their_places() -> None:
    """Otherwise a line would tell of a change where there is none."""
    one, other = Counter(RUNNING=1, FAILED=1), Counter(FAILED=1, RUNNING=1)
    assert states_text(one) == states_text(other) == "FAILED 1, RUNNING 1"
    assert states_text(Counter(FAILED=1, RUNNING=1200)) == "RUNNING 1,200, FAILED 1"


def test_when_the_time_is_over(waiter: Lab) -> None:
    job = begin(waiter, "a")
    process = started(waiter, "finish", "--wait", "--timeout", "0.5")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == waiting.TIME_OVER
    assert "The time of 0.5 seconds is over: 0 commits were made, 1 job may still run" in said
    assert "run `datalad finish --wait` again to go on" in said
    assert f"Job {job} is not over: RUNNING" in said
    let_end(waiter, "a")
    assert statuses(wait_with(waiter)) == ["ok"]
    assert commits(waiter) == 1


def test_what_has_ended_is_committed_also_without_any_time(waiter: Lab) -> None:
    begin(waiter, "a")
    let_end(waiter, "a")
    waiter.wait()
    begin(waiter, "b")
    results = wait_with(waiter, timeout=0)
    assert statuses(results) == ["ok", "impossible", "impossible"]
    assert [bool(res.get("live")) for res in results] == [False, True, False]
    let_end(waiter, "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_and_nothing_else(waiter: Lab, number: signal.Signals) -> None:
    begin(waiter, "a")
    begin(waiter, "b")
    process = wait_in_another_process(waiter)
    let_end(waiter, "a")
    wait_for(lambda: commits(waiter) == 1 and len(waiter.listed()) == 1)
    send(process, number)
    said = ended(process, number)
    assert "1 commit was made, 1 job may still run; run `datalad finish --wait` again" in said
    let_end(waiter, "b")
    assert statuses(wait_with(waiter)) == ["ok"]
    assert_sound(waiter.root)


def test_who_waits_may_be_killed(waiter: Lab) -> None:
    begin(waiter, "a")
    process = wait_in_another_process(waiter)
    process.kill()
    process.wait()
    let_end(waiter, "a")
    assert statuses(wait_with(waiter)) == ["ok"]
    assert commits(waiter) == 1


def test_a_finish_by_hand_beside_it(waiter: Lab) -> None:
    names = [f"j{number}" for number in range(6)]
    for name in names:
        begin(waiter, name)
    process = wait_in_another_process(waiter)
    other = wait_in_another_process(waiter)
    let_end(waiter, *names)
    while waiter.listed():
        assert {"error"}.isdisjoint(statuses(waiter.finish()))
    assert process.wait(60) == other.wait(60) == 0
    assert commits(waiter) == len(names)
    assert_sound(waiter.root)


def test_nobody_is_kept_from_committing_while_jobs_run(waiter: Lab) -> None:
    begin(waiter, "a")
    workplace = Workplace.of(waiter.dataset, "wait")
    with workplace.save_lock():
        said = wait_with(waiter, timeout=0.3)
    assert statuses(said) == ["impossible", "impossible"]
    let_end(waiter, "a")
    waiter.wait()


def test_somebody_else_who_commits_for_long_is_waited_for(
    waiter: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(waiter, "a")
    let_end(waiter, "a")
    waiter.wait()
    real, failures = Workplace.save_lock, iter([SaveLockHeld("it is held")])

    def busy_at_first(self: Workplace) -> contextlib.AbstractContextManager[None]:
        for failure in failures:
            raise failure
        return real(self)

    monkeypatch.setattr(Workplace, "save_lock", busy_at_first)
    assert statuses(wait_with(waiter)) == ["ok"]


def test_jobs_that_are_scheduled_meanwhile_are_followed_too(waiter: Lab) -> None:
    begin(waiter, "a")
    process = wait_in_another_process(waiter)
    begin(waiter, "b")
    let_end(waiter, "a")
    wait_for(lambda: commits(waiter) == 1)
    let_end(waiter, "b")
    assert process.wait(60) == 0
    assert commits(waiter) == 2


def test_only_named_jobs_are_followed(waiter: Lab) -> None:
    begin(waiter, "a")
    named = begin(waiter, "b")
    let_end(waiter, "b")
    assert statuses(wait_with(waiter, named)) == ["ok"]
    (res,) = wait_with(waiter, named)
    assert (res["status"], "is over already" in text_of(res)) == ("notneeded", True)
    (res,) = wait_with(waiter, "4711")
    assert "There is no job 4711" in text_of(res)
    let_end(waiter, "a")
    waiter.wait()


def test_nothing_to_wait_for(local_lab: Lab) -> None:
    (res,) = wait_with(local_lab)
    assert (res["status"], text_of(res)) == ("notneeded", "There are no open jobs")


def test_a_job_behind_another_one_is_no_failure(waiter: Lab) -> None:
    """It is over, and stays open only until the one before it is finished as well."""
    waiter.schedule(
        "until test -e .git/{n}.go; do sleep 0.05; done; echo {n} > {n}.out",
        foreach={"n": ["a", "b"]},
        outputs=["{n}.out"],
    )
    (sweep,) = waiter.listed()
    waiter.schedule("echo x > after", outputs=["after"], after=[f"{sweep}_0"])
    let_end(waiter, "a")
    process = wait_in_another_process(waiter)
    wait_for(lambda: commits(waiter) == 1 and (waiter.root / "after").exists())
    let_end(waiter, "b")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert commits(waiter) == 3


def test_one_merge_takes_all_jobs(waiter: Lab) -> None:
    begin(waiter, "a")
    begin(waiter, "b")
    process = wait_in_another_process(waiter, "--octopus")
    let_end(waiter, "a")
    waiter.wait(*sorted(waiter.listed())[:1])
    time.sleep(0.5)
    assert commits(waiter) == 0
    let_end(waiter, "b")
    assert process.wait(60) == 0
    assert len(waiter.git("log", "-1", "--format=%P").split()) == 3


def test_an_output_that_comes_late_is_not_missing(
    waiter: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter.schedule("true", outputs=["late"])
    waiter.wait()
    sleep = waiting._Waiting._sleep

    def meanwhile(*args: Any) -> None:
        (waiter.root / "late").write_text("x")
        sleep(*args)

    monkeypatch.setattr(waiting._Waiting, "_sleep", meanwhile)
    assert statuses(wait_with(waiter)) == ["ok"]


def test_an_output_that_does_not_come_is_told_of_once(waiter: Lab) -> None:
    waiter.schedule("true", outputs=["never"])
    (res,) = wait_with(waiter)
    assert res["status"] == "error"
    assert "did not produce never" in text_of(res)


def test_a_job_that_is_not_known_any_more_is_not_waited_for(waiter: Lab, local_spool: Path) -> None:
    job = begin(waiter, "a")
    let_end(waiter, "a")
    waiter.wait()
    shutil.rmtree(local_spool)
    let_time_pass(waiter)
    (res,) = wait_with(waiter)
    assert f"does not know job {job} any more" in text_of(res)


@pytest.mark.slurm
def test_a_job_that_waits_in_vain_is_not_waited_for(dataset: Dataset) -> None:
    lab = Lab(dataset, "slurm")
    first = lab.schedule("sleep 1; false", outputs=["a"])["slurm_job_id"]
    command = ["sbatch", "--kill-on-invalid-dep=no", "--wrap", "touch b"]
    second = lab.schedule(command, outputs=["b"], after=[first])["slurm_job_id"]
    try:
        texts = [text_of(res) for res in wait_with(lab)]
    finally:
        subprocess.run(["scancel", second], check=True)
    assert len(texts) == 2
    assert f"Job {first} did not succeed" in texts[0]
    assert f"Job {second} is not over" in texts[1]
    assert "it never starts: cancel it" in texts[1]


@pytest.mark.slurm
def test_a_scheduler_that_does_not_answer_ends_nothing(
    dataset: Dataset, before: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = Lab(dataset, "slurm")
    lab.schedule("echo x > out", outputs=["out"])
    lab.wait()
    for program in ("sacct", "squeue"):
        count = f"echo >> {before}/{program}.calls; test $(wc -l < {before}/{program}.calls) -gt 3"
        stand_in(before, program, f'{count} || exit 1; exec REAL "$@"\n')
    assert statuses(wait_with(lab)) == ["ok"]
    warned = [each for each in caplog.records if each.name == "datalad.hpc.waiting"]
    assert [each.levelname for each in warned] == ["WARNING", "INFO"]


def test_what_was_resubmitted_between_look_and_commit_is_left_alone(waiter: Lab) -> None:
    begin(waiter, "bad", "3")
    let_end(waiter, "bad")
    waiter.wait()
    workplace = Workplace.of(waiter.dataset, "wait")
    named = scheduler_loader(workplace.setting)
    with open_store(workplace.store_url) as store:
        this = Round(workplace, store, named, Wishes(close_failed=True))
        jobs = store.open_jobs()
        seen = finishing.Look(jobs, finishing.asked(this, jobs))
        ask_store(waiter, "UPDATE jobs SET job_id = '4711'")
        assert list(finishing.finish_seen(this, seen)) == []
        ask_store(waiter, f"UPDATE jobs SET job_id = '{jobs[0].job_id}'")
        assert statuses(list(finishing.finish_seen(this, seen))) == ["ok"]


def test_pauses_grow_until_something_changes(waiter: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(waiter, "a")
    pauses: list[float] = []

    def noted(self: Any, seconds: float, shown: Any) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            let_end(waiter, "a")
            waiter.wait()

    monkeypatch.setattr(waiting._Waiting, "_sleep", noted)
    waiter.dataset.config.set("datalad.hpc.poll-interval", "1 5", scope="local")
    assert statuses(wait_with(waiter)) == ["ok"]
    steps = [1.5**number for number in range(4)]
    # It may be pending in the first look.
    assert pauses[-4:] == [5] * 4
    assert pauses[-8:-4] in ([*steps], [*steps[1:], 5])


def test_an_interval_that_is_none(local_lab: Lab) -> None:
    for text in ("x", "0", "-1", "2 1", "1 2 3", "1 inf", "nan"):
        local_lab.dataset.config.set("datalad.hpc.poll-interval", text, scope="local")
        (res,) = wait_with(local_lab)
        assert f"datalad.hpc.poll-interval is '{text}'" in text_of(res)


def test_what_does_not_go_together(local_lab: Lab) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"timeout": "1h"}, "--timeout is for --wait"),
        ({"wait": True, "timeout": "soon"}, "which is no duration"),
        ({"wait": True, "list_open_jobs": True}, "exclude each other"),
    ]
    for options, words in wrong:
        (res,) = local_lab.finish(**options)
        assert (res["status"], words in text_of(res)) == ("impossible", True)


def test_a_log_has_a_line_when_something_changes(
    waiter: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "datalad.hpc.progress")
    begin(waiter, "a")
    begin(waiter, "b", "3")
    wait_for(lambda: {"RUNNING"} == {job["slurm_job_status"] for job in waiter.listed().values()})
    wait_with(waiter, timeout=0.5)
    let_end(waiter, "a", "b")
    waiter.wait()
    wait_with(waiter)
    seen = [
        record.getMessage()
        for record in caplog.records
        if record.__dict__.get("dlm_progress_noninteractive_level") is None
        and "are over" in record.getMessage()
    ]
    assert seen == ["0 of 2 tasks are over: RUNNING 2", "2 of 2 tasks are over: FAILED 1"]


def test_a_terminal_has_a_bar(waiter: Lab) -> None:
    begin(waiter, "a")
    begin(waiter, "b")
    let_end(waiter, "a")
    shown = on_a_terminal(waiter, partial(let_end, waiter, "b"), "finish", "--wait")
    assert "Following jobs (RUNNING 1)" in shown
    assert "1.00/2.00" in shown
    assert shown.count("committed as") == 2
    assert "tasks are over" not in shown


def on_a_terminal(lab: Lab, when_one_is_over: Any, *arguments: str) -> str:
    """All that a command shows there."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(lab.root)
        code = "from datalad.cli.main import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as screen:
        while part := screen.read(4096):
            shown += part
            if b" 1.00/2.00" in shown:
                when_one_is_over()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown.decode(errors="replace"))


@pytest.fixture
def notified(tmp_path: Path, dataset: Dataset) -> Path:
    """Where the user's own command writes what it is told."""
    program, told = tmp_path / "tell me", tmp_path / "told"
    program.write_text(f"#!/bin/sh\ncat > {told}.json\nenv | grep ^FINISH_ > {told}; $1\n")
    program.chmod(0o755)
    dataset.config.set("datalad.hpc.notify", f'"{program}" true', scope="local")
    return told


def test_the_user_is_notified(waiter: Lab, notified: Path) -> None:
    good, bad = begin(waiter, "good"), begin(waiter, "bad", "3")
    let_end(waiter, "good", "bad")
    results = wait_with(waiter)
    told = json.loads(Path(f"{notified}.json").read_text())
    assert told["outcome"] == "failed"
    assert told["dataset"] == str(waiter.root)
    (commit,) = [res["commit"] for res in results if res["status"] == "ok"]
    assert told["committed"] == [{"id": good, "commit": commit}]
    assert (told["failed"], told["live"]) == ([bad], [])
    lines = notified.read_text().splitlines()
    assert "FINISH_COMMITTED=1" in lines
    assert "FINISH_FAILED=1" in lines
    assert "FINISH_SUMMARY=1 commit was made, no job may still run" in lines
    wait_with(waiter, "4711")
    assert "FINISH_OUTCOME=failed" in notified.read_text()


def test_jobs_that_are_given_up_are_told_of(waiter: Lab, notified: Path) -> None:
    bad = begin(waiter, "bad", "3")
    let_end(waiter, "bad")
    wait_with(waiter, close_failed_jobs=True)
    told = json.loads(Path(f"{notified}.json").read_text())
    assert (told["outcome"], told["closed"], told["failed"]) == ("done", [bad], [])
    assert told["summary"] == "0 commits were made, 1 job was given up, no job may still run"


@pytest.mark.parametrize(("timeout", "outcome"), [(0, "timeout"), (60, "done")])
def test_how_it_came_to_its_end(waiter: Lab, notified: Path, timeout: int, outcome: str) -> None:
    begin(waiter, "a")
    if timeout:
        let_end(waiter, "a")
    wait_with(waiter, timeout=timeout)
    assert f"FINISH_OUTCOME={outcome}" in notified.read_text()
    let_end(waiter, "a")
    waiter.wait()


@pytest.mark.parametrize("command", ["false", "/no/such/program", "'", "sleep 100"])
def test_a_notification_that_fails_is_a_warning(
    waiter: Lab, command: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datalad_hpc.finish.notifying.TIME_LIMIT", 0.5)
    waiter.dataset.config.set("datalad.hpc.notify", command, scope="local")
    begin(waiter, "a")
    let_end(waiter, "a")
    assert statuses(wait_with(waiter)) == ["ok"]
    warned = [each for each in caplog.records if each.name == "datalad.hpc.notifying"]
    assert len(warned) == 1


def test_nobody_is_notified_of_ctrl_c(waiter: Lab, notified: Path) -> None:
    begin(waiter, "a")
    process = wait_in_another_process(waiter)
    send(process, signal.SIGINT)
    ended(process, signal.SIGINT)
    assert not notified.exists()
    let_end(waiter, "a")
    waiter.wait()


def test_a_dataset_names_no_command_to_run(waiter: Lab, tmp_path: Path) -> None:
    song = tmp_path / "song"
    waiter.dataset.config.set("datalad.hpc.notify", f"touch {song}", scope="branch")
    begin(waiter, "a")
    let_end(waiter, "a")
    assert statuses(wait_with(waiter)) == ["ok"]
    assert not song.exists()
