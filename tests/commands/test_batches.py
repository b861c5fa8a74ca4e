"""Many jobs from a file: a job for each line, going on where an earlier call ended."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc.errors import SubmissionRefused
from datalad_hpc.schedulers.base import Handover
from datalad_hpc.schedulers.local import Local
from datalad_hpc.status import Submission
from tests.commands.conftest import Lab, ask_store, stand_in, text_of
from tests.helpers import wait_for

NUMBER = 20

SCRIPT = 'mkdir -p out; echo x > "out/$1"'


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    local_lab.script(SCRIPT)
    return local_lab


def shell_lines(number: int = NUMBER) -> list[str]:
    return [f"-o out/{line} sbatch job.sh {line}" for line in range(1, number + 1)]


def batch_file(lab: Lab, lines: list[str]) -> Path:
    """A file of jobs beside the dataset."""
    path = lab.root.parent / "jobs.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def schedule(lab: Lab, batch: Any, **options: Any) -> list[dict[str, Any]]:
    return lab.schedule_all(None, batch=batch, **options)


def statuses(results: list[dict[str, Any]]) -> dict[int, str]:
    """Status by line."""
    return {res["batch_line"]: res["status"] for res in results if "batch_line" in res}


def all_lines(status: str, number: int = NUMBER) -> dict[int, str]:
    return dict.fromkeys(range(1, number + 1), status)


def submitted(lab: Lab) -> list[str]:
    """The last word of each command that was ever handed over."""
    found = ask_store(lab, "SELECT command FROM jobs WHERE job_id != '' ORDER BY key")
    return [command.split()[-1] for (command,) in found]


def files_of_batches(lab: Lab) -> list[Path]:
    folder = lab.root / ".git" / "datalad" / "hpc" / "batches"
    return list(folder.iterdir()) if folder.exists() else []


def in_a_process(lab: Lab, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
    program = Path(sys.executable).parent / "datalad"
    return subprocess.Popen(
        [program, "schedule", "--scheduler", lab.scheduler, *map(str, arguments)],
        **{
            "cwd": lab.root,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            **options,
        },
    )


def test_each_line_becomes_a_job(lab: Lab) -> None:
    as_json = {"cmd": ["sbatch", "job.sh", "a b"], "outputs": ["out/a b"], "message": "é"}
    lines = [
        *("# subjects", "", *shell_lines(2), "   "),
        json.dumps(as_json),
        "datalad schedule -m 'from a line' --output=out/whole -- sbatch job.sh whole",
        "-o out/plain -- 'mkdir -p out && touch {outputs}'",
    ]
    results = schedule(lab, batch_file(lab, lines))
    assert statuses(results) == dict.fromkeys((3, 4, 6, 7, 8), "ok"), results
    assert len(results) == 5
    assert files_of_batches(lab) == []
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 5
    assert sorted(os.listdir(lab.root / "out")) == ["1", "2", "a b", "plain", "whole"]
    messages = lab.git("log", "-5", "--format=%B")
    assert "\né\n" in messages
    assert "\nfrom a line\n" in messages


def test_the_same_from_python(lab: Lab) -> None:
    lines = [
        {"cmd": "sbatch job.sh 1", "outputs": "out/1"},
        {"outputs": ["out/2"], "inputs": None, "message": "mine"},
        "-o out/3 sbatch job.sh 3",
    ]
    results = lab.schedule_all("sbatch job.sh 2", batch=lines, message="for all")
    assert statuses(results) == all_lines("ok", 3), results
    lab.wait()
    lab.finish()
    assert (lab.root / "out" / "2").exists()
    messages = lab.git("log", "-3", "--format=%B")
    assert messages.count("\nfor all\n") == 2
    assert messages.count("\nmine\n") == 1


def test_standard_input(lab: Lab) -> None:
    text = "\n".join(["-o out/1 sbatch job.sh 1", "-i absent -o out/2 sbatch job.sh 2"])
    for expected in ("schedule(ok): ", "1 of 2 lines of standard input were submitted before"):
        process = in_a_process(lab, "--from", "-", stdin=subprocess.PIPE)
        told, _ = process.communicate(text)
        assert process.returncode == 1, told
        assert "Line 2 of standard input: not all inputs" in told
        assert expected in told, told
    assert submitted(lab) == ["1"]
    (lab.root / "absent").touch()
    process = in_a_process(lab, "--from", "-", stdin=subprocess.PIPE)
    told, _ = process.communicate(text)
    assert process.returncode == 0, told
    assert submitted(lab) == ["1", "2"]


WRONG = {
    "-o out/1 sbatch 'job.sh": "cannot be split into words (No closing quotation)",
    "--bogus -o out/1 sbatch job.sh": "--bogus",
    "-o": "expected one argument",
    "--jobs many -o out/1 sbatch job.sh": "'jobs' is 'many', but has to be",
    "--expand all -o out/1 sbatch job.sh": "'expand' is 'all', but has to be",
    "--help": "--help",
    "-d . -o out/1 sbatch job.sh": "'dataset' is for all lines",
    "--from x -o out/1 sbatch job.sh": "'batch' is for all lines",
    "--dry-run basic -o out/1 sbatch job.sh": "'dry_run' is for all lines",
    "sbatch job.sh": "at least one output is needed",
    "-o out/1": "no command is given",
    "-o ../out sbatch job.sh": "outside of the dataset",
    '{"cmd": "sbatch job.sh", "outputs": "out/1"': "not valid JSON",
    '{"cmd": "sbatch job.sh", "cmd": "x"}': "says 'cmd' twice",
    '{"command": "sbatch job.sh", "outputs": "out/1"}': "'command' is not known; known are cmd, ",
    '{"cmd": "sbatch job.sh", "on_failure": "stop"}': "'on_failure' is not known",
    '{"cmd": 1, "outputs": "out/1"}': "'cmd' is 1, but has to be text or a list of texts",
    '{"cmd": "x", "outputs": [1]}': "'outputs' is [1], but has to be text or a list of texts",
    '{"cmd": "x", "outputs": "1", "foreach": {"a": "b"}}': "has to be text, a list of texts, or",
    '{"cmd": "x", "outputs": "1", "after": 1.5}': "'after' is 1.5, but has to be a job id or a",
    '{"cmd": "x", "outputs": "1", "message": ["a"]}': "'message' is ['a'], but has to be text",
    '{"cmd": "x", "outputs": "1", "jobs": true}': "'jobs' is True, but has to be a whole number",
    '{"cmd": "x", "outputs": "1", "jobs": 0}': "'jobs' is 0, but has to be",
    '{"cmd": "x", "outputs": "1", "submits": "yes"}': "'submits' is 'yes', but has to be true or",
    '{"cmd": "x", "outputs": "1", "message": "\\u0000"}': "NUL byte",
    '{"cmd": "x", "outputs": "1", "message": "\\ud800"}': "not valid UTF-8",
    "[" * 100_000: "at least one output",
    '{"a":' * 100_000: "not valid JSON",
}
"""Lines that are refused, and why."""


def test_nothing_is_submitted_if_a_line_cannot_be_understood(lab: Lab) -> None:
    for line, complaint in WRONG.items():
        (res,) = schedule(lab, batch_file(lab, [*shell_lines(2), line]))
        assert res["status"] == "impossible"
        assert text_of(res).startswith("Nothing was submitted: "), text_of(res)
        assert f"jobs.txt cannot be used: line 3: {complaint}"[:30] in text_of(res)
        assert complaint in text_of(res), (line[:80], text_of(res)[:200])
    assert lab.listed() == {}
    assert files_of_batches(lab) == []


def test_all_lines_that_cannot_be_understood_are_named(lab: Lab) -> None:
    path = batch_file(lab, [])
    path.write_bytes(b"-o out/1 sbatch job.sh 1\n\xff\n-o\n" + b"nothing\n" * 20)
    (res,) = schedule(lab, path)
    assert "line 2: it is not UTF-8" in text_of(res)
    assert "line 3: " in text_of(res)
    assert "and 12 more" not in text_of(res)
    (res,) = schedule(lab, [*shell_lines(1), 7, None])
    assert "line 2: 7 is neither text nor a mapping" in text_of(res)


@pytest.mark.parametrize("text", ["", "\n# nothing\n\n"])
def test_a_batch_without_a_job_is_refused(lab: Lab, text: str) -> None:
    path = batch_file(lab, [])
    path.write_text(text)
    (res,) = schedule(lab, path)
    assert res["status"] == "impossible"
    assert "no line that asks for a job" in text_of(res)
    (res,) = schedule(lab, path.parent / "absent.txt")
    assert "absent.txt cannot be read: No such file" in text_of(res)


def test_a_line_that_fails_stops_none_of_the_others(lab: Lab) -> None:
    lines = shell_lines()
    lines[4] = f"-i absent {lines[4]}"
    lines[6] = lines[5]
    path = batch_file(lab, lines)
    expected = all_lines("ok") | {5: "impossible", 7: "impossible"}
    results = schedule(lab, path)
    assert statuses(results) == expected
    assert f"Line 5 of {path}: not all inputs" in text_of(results[4])
    assert f"out/6 (job {results[5]['slurm_job_id']})" in text_of(results[6])
    assert results[-1]["status"] == "impossible"
    assert "18 of 20 lines" in text_of(results[-1])
    assert "not line 5, 7" in text_of(results[-1])
    # The same command goes on: with what is left, and with nothing else.
    (lab.root / "absent").touch()
    again = schedule(lab, path)
    assert statuses(again) == all_lines("notneeded") | {5: "ok", 7: "impossible"}
    assert again[0]["slurm_job_id"] == results[0]["slurm_job_id"]
    assert f"as job {results[0]['slurm_job_id']}" in text_of(again[0])
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}
    last = schedule(lab, path)
    assert statuses(last) == all_lines("notneeded") | {7: "ok"}
    assert len(last) == NUMBER
    assert files_of_batches(lab) == []


def test_a_batch_that_was_complete_starts_anew(lab: Lab) -> None:
    path = batch_file(lab, shell_lines(3))
    assert statuses(schedule(lab, path)) == all_lines("ok", 3)
    assert statuses(schedule(lab, path)) == all_lines("impossible", 3)
    lab.wait()
    lab.finish()
    assert statuses(schedule(lab, path)) == all_lines("ok", 3)
    assert submitted(lab) == ["1", "2", "3"] * 2


def test_another_folder_or_other_options_make_another_batch(lab: Lab) -> None:
    lines = ["-i absent sbatch {dspath}/job.sh 1", *shell_lines(1)]
    options = {"outputs": ["one/"]}
    assert statuses(schedule(lab, lines, **options)) == {1: "impossible", 2: "ok"}
    assert statuses(schedule(lab, lines, **options)) == {1: "impossible", 2: "notneeded"}
    lab.wait()
    lab.finish()
    assert statuses(schedule(lab, lines, outputs=["two/"])) == {1: "impossible", 2: "ok"}


def test_a_batch_is_begun_by_one_process_at_a_time(lab: Lab) -> None:
    # Nothing but the turn keeps these from being submitted twice.
    path = batch_file(lab, [f"--check-outputs no {line}" for line in shell_lines(3)])
    lines = [*path.read_text().splitlines(), "-i absent -o out/4 sbatch job.sh 4"]
    path.write_text("\n".join(lines))
    schedule(lab, path)
    (file,) = files_of_batches(lab)
    (lab.root / "absent").touch()
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (res,) = schedule(lab, path)
    assert res["status"] == "impossible"
    assert "another process is scheduling the lines of" in text_of(res)
    assert submitted(lab) == ["1", "2", "3"]
    assert statuses(schedule(lab, path)) == all_lines("notneeded", 3) | {4: "ok"}


def test_a_crowd_submits_no_line_twice(lab: Lab) -> None:
    """A line is left in each turn, so that none of them may begin anew."""
    lines = [f"--check-outputs no {line}" for line in shell_lines()]
    path = batch_file(lab, [*lines, "-i absent -o out/x sbatch job.sh x"])
    crowd = [in_a_process(lab, "--from", path) for _ in range(4)]
    told = [process.communicate()[0] for process in crowd]
    assert [process.returncode for process in crowd] == [1] * 4, told
    assert sorted(submitted(lab), key=int) == [str(line) for line in range(1, NUMBER + 1)]


def test_a_dry_run_submits_nothing(lab: Lab) -> None:
    lines = [*shell_lines(2), "-o out/3 sbatch absent.sh"]
    results = schedule(lab, lines, dry_run="basic")
    assert statuses(results) == {1: "ok", 2: "ok", 3: "impossible"}
    assert results[1]["dry_run"]["argv"] == ["sbatch", "job.sh", "2"]
    assert "line 3 of the batch: " in text_of(results[2])
    assert lab.listed() == {}


def test_progress_is_shown(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "datalad.hpc.progress")
    schedule(lab, shell_lines(3))
    totals = [getattr(record, "dlm_progress_total", None) for record in caplog.records]
    updates = [getattr(record, "dlm_progress_update", None) or 0 for record in caplog.records]
    assert 3 in totals
    assert sum(updates) == 3


def test_the_store_stops_all(lab: Lab) -> None:
    """Without its rows no line can be submitted: it is told once."""
    path = batch_file(lab, shell_lines())
    lab.git("config", "datalad.hpc.store-timeout", "0.1")
    lab.dataset.config.reload(force=True)
    schedule(lab, path)
    lab.wait()
    lab.finish()
    store = sqlite3.connect(lab.root / ".git" / "datalad" / "hpc" / "jobs.db")
    store.execute("BEGIN IMMEDIATE")
    results = schedule(lab, path)
    store.close()
    assert [res["status"] for res in results] == ["error"]


# The command line, and signals


def interrupted(
    lab: Lab, path: Path, before: Path, number: signal.Signals
) -> subprocess.Popen[str]:
    """The call ends by a signal while its seventh line is submitted."""
    stand_in(
        before,
        "sbatch",
        f'echo x >> {before}/calls\nif test "$(wc -l < {before}/calls)" = 7; then '
        f'kill -{number} $PPID; fi\nexec REAL "$@"\n',
    )
    process = in_a_process(lab, "--from", path)
    process.told = process.communicate()[0]  # type: ignore[attr-defined]
    (before / "sbatch").unlink()
    return process


@pytest.mark.slurm
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_same_command_goes_on(
    dataset: Dataset, before: Path, number: signal.Signals
) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(SCRIPT)
    path = batch_file(lab, [f"--check-outputs no {line}" for line in shell_lines()])
    process = interrupted(lab, path, before, number)
    if number is not signal.SIGKILL:
        assert process.returncode == 128 + number
        assert "run the same command again" in process.told  # type: ignore[attr-defined]
    wait_for(lambda: len(set(lab.listed()) - {"SUBMITTING"}) == 7)
    results = schedule(lab, path)
    assert statuses(results) == {
        line: "notneeded" if line <= 7 else "ok" for line in range(1, NUMBER + 1)
    }, results
    assert submitted(lab) == [str(line) for line in range(1, NUMBER + 1)]
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * NUMBER


def test_the_rest_of_a_sweep_is_submitted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site takes arrays of two tasks only, and refuses the second of three."""
    calls: list[str] = []

    def submit(scheduler: Local, handover: Handover) -> Submission:
        calls.append(handover.token)
        if len(calls) == 3:
            raise SubmissionRefused("not today")
        return real(scheduler, handover)

    real = Local.submit
    monkeypatch.setattr(Local, "submit", submit)
    monkeypatch.setattr(Local, "largest_array", lambda _: 2)
    lines = [
        {"cmd": "echo {sub} > {outputs}", "outputs": "{sub}.txt", "foreach": {"sub": ["a", "b"]}},
        {"cmd": "echo {sub} > {outputs}", "outputs": "{sub}.txt", "foreach": "sub=c,d,e,f,g"},
    ]
    results = schedule(lab, lines)
    assert [res.get("batch_line") for res in results] == [1, 2, 2, None]
    assert "not today" in text_of(results[2])
    assert "not line 2" in text_of(results[-1])
    again = schedule(lab, lines)
    assert [(res["batch_line"], res["status"]) for res in again] == [
        *((1, "notneeded"), (2, "ok"), (2, "ok"))
    ]
    lab.wait()
    for name in "abcdefg":
        assert (lab.root / f"{name}.txt").read_text() == f"{name}\n"
    assert len(calls) == 5


def test_a_line_waits_for_another_one(lab: Lab) -> None:
    lines = ["-o one.txt 'echo x > {outputs}'", "-i one.txt -o two.txt 'cat {inputs} > {outputs}'"]
    results = schedule(lab, lines)
    first = results[0]["slurm_job_id"]
    assert f"waits for job {first}" in text_of(results[1])
    (third,) = schedule(
        lab, [json.dumps({"cmd": "echo > {outputs}", "outputs": "x", "after": int(first)})]
    )
    assert third["status"] == "ok", text_of(third)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 3


def test_the_scheduler_is_asked_once_for_all_that_lines_wait_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("before", "one", "two"):
        (lab.root / folder).mkdir()
    command = "until test -e go; do sleep 0.05; done; echo x > {outputs}"
    before = [lab.schedule(command, outputs=[f"before/{number}"]) for number in range(3)]
    asked: list[int] = []

    def status(scheduler: Local, keys: Any, **options: Any) -> Any:
        asked.append(len(keys))
        return real(scheduler, keys, **options)

    real = Local.status
    monkeypatch.setattr(Local, "status", status)
    lines = [
        f"-i before/{number} -o one/{number} 'cp {{inputs}} {{outputs}}'" for number in range(3)
    ]
    lines += [f"-i one/{number} -o two/{number} 'cp {{inputs}} {{outputs}}'" for number in range(3)]
    results = schedule(lab, lines)
    assert asked == [3]
    for job, result in zip([*before, *results], results, strict=False):
        assert f"waits for job {job['slurm_job_id']}" in text_of(result)
    (lab.root / "go").touch()
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 9


@pytest.mark.slurm
def test_a_job_that_makes_an_input_is_asked_for_where_it_is(dataset: Dataset) -> None:
    """A job that has ended on another scheduler keeps no line waiting."""
    lab = Lab(dataset, "slurm")
    lab.schedule("echo x > {outputs}", outputs=["one.txt"], scheduler="local")
    lab.wait()
    (job,) = schedule(lab, ["-i one.txt -o two.txt 'cat {inputs} > {outputs}'"])
    assert job["status"] == "ok", text_of(job)
    lab.wait()


@pytest.mark.slurm
def test_a_scheduler_that_refuses_everything_is_not_asked_for_ever(
    dataset: Dataset, before: Path
) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(SCRIPT)
    path = batch_file(lab, ["-i absent -o out/0 sbatch job.sh 0", *shell_lines()])
    stand_in(
        before,
        "sbatch",
        f"echo x >> {before}/calls\n"
        "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1\n",
    )
    results = schedule(lab, path)
    assert statuses(results) == all_lines("impossible", 4)
    assert "Invalid account" in text_of(results[1])
    assert (before / "calls").read_text() == "x\n" * 3
    assert "refused 3 jobs in a row" in text_of(results[-1])
    assert "0 of 21 lines" in text_of(results[-1])
    assert files_of_batches(lab) == []
    (before / "sbatch").unlink()
    (lab.root / "absent").touch()
    assert set(statuses(schedule(lab, path)).values()) == {"ok"}
    lab.wait()


def test_a_single_job_that_fails_ends_the_command_line_as_before(lab: Lab) -> None:
    process = in_a_process(lab, "-o", "out/1", "sbatch", "absent.sh")
    told, _ = process.communicate()
    assert process.returncode == 1
    assert "schedule(impossible)" in told
