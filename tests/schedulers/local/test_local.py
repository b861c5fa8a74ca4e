"""What sbatch's options do with the local scheduler, on real processes."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datalad_hpc.errors import SchedulerUnreachable, SubmissionRefused
from datalad_hpc.requested import requested_by
from datalad_hpc.schedulers.base import Handover
from datalad_hpc.status import Phase

if TYPE_CHECKING:
    from conftest import Bench

SINCE = datetime.now(timezone.utc)


def test_plain_job(bench: Bench) -> None:
    script = bench.script("job.sh", 'echo "$1-$2"; pwd; echo bad >&2')
    job_id = bench.submit("--parsable", script, "a b", "*")
    status = bench.wait(job_id)
    assert [(task.index, task.state, task.exit_code) for task in status.tasks] == [
        (None, "COMPLETED", 0)
    ]
    assert status.phase is Phase.COMPLETED
    assert bench.text(f"slurm-{job_id}.out") == f"a b-*\n{bench.folder}\nbad\n"


def test_submission_names_the_machine(bench: Bench) -> None:
    handover = Handover(("sbatch", "--wrap", "true"), str(bench.folder), "mine")
    submission = bench.local.submit(handover)
    assert submission.cluster == socket.gethostname()
    assert bench.local.find("mine", SINCE) == submission
    assert bench.local.find("other", SINCE) is None


def test_nothing_is_known_before_the_first_job(bench: Bench) -> None:
    assert bench.status("1") is None
    assert bench.local.find("token", SINCE) is None
    assert not bench.spool_folder.exists()


def test_other_token_and_other_id_are_not_ours(bench: Bench) -> None:
    job_id = bench.submit("--wrap", "true")
    assert bench.status(job_id)
    assert bench.status(job_id, token="of an earlier spool") is None
    assert bench.status("4711") is None
    assert bench.status("no number") is None


@pytest.mark.parametrize(
    ("command", "exit_code", "number"), [("exit 3", 3, None), ("kill -9 $$", 0, 9)]
)
def test_failures(bench: Bench, command: str, exit_code: int, number: int | None) -> None:
    (task,) = bench.run("--wrap", command).tasks
    assert (task.state, task.phase) == ("FAILED", Phase.FAILED)
    assert (task.exit_code, task.signal) == (exit_code, number)


def test_streams(bench: Bench) -> None:
    (bench.folder / "in").write_text("given")
    arguments = ("-i", "in", "-o", "%x-%j.o", "-e", "%x.e", "-J", "me", "--wrap", "cat; echo e >&2")
    job_id = bench.submit(*arguments)
    bench.wait(job_id)
    assert bench.text(f"me-{job_id}.o") == "given"
    assert bench.text("me.e") == "e\n"


def test_input_is_empty_by_default(bench: Bench) -> None:
    assert bench.run("-o", "log", "--wrap", "wc -c").phase is Phase.COMPLETED
    assert bench.text("log").strip() == "0"


def test_open_mode(bench: Bench) -> None:
    for mode in ("append", "append", "truncate"):
        bench.run("-o", f"log-{mode}", "--open-mode", mode, "--wrap", "echo x")
    bench.run("-o", "log-append", "--wrap", "true", "--open-mode=append")
    bench.run("-o", "log-truncate", "--wrap", "echo y")
    assert bench.text("log-append") == "x\nx\n"
    assert bench.text("log-truncate") == "y\n"


def test_options_of_the_script(bench: Bench) -> None:
    (bench.folder / "there").mkdir()
    text = '#!/bin/bash\n#SBATCH --chdir=there -o log\n#SBATCH -J "a name"\necho $SLURM_JOB_NAME\n'
    (bench.folder / "job.sh").write_text(text)
    assert bench.run("job.sh").phase is Phase.COMPLETED
    assert bench.text("there/log") == "a name\n"


def test_script_is_copied_at_submission(bench: Bench) -> None:
    content = b"#!/bin/sh\n# \xff\xfe\nprintf '\xe9'\nwhile [ ! -e go ]; do sleep 0.02; done\n"
    (bench.folder / "job.sh").write_bytes(content)
    job_id = bench.submit("-o", "log", "job.sh")
    (bench.folder / "job.sh").write_text("#!/bin/sh\nexit 5\n")
    (bench.folder / "go").touch()
    assert bench.wait(job_id).phase is Phase.COMPLETED
    assert bench.spool.script(int(job_id)).read_bytes() == content
    assert (bench.folder / "log").read_bytes() == b"\xe9"


def test_missing_log_folder_fails_the_job(bench: Bench) -> None:
    (task,) = bench.run("-o", "nowhere/log", "--wrap", "touch ran").tasks
    # What Slurm reports in this case.
    assert (task.state, task.exit_code, task.signal) == ("FAILED", 0, 53)
    assert "nowhere/log" in task.reason
    assert not (bench.folder / "nowhere").exists()
    assert not (bench.folder / "ran").exists()


def test_missing_interpreter_fails_the_job(bench: Bench) -> None:
    (bench.folder / "job.sh").write_text("#!/no/such/interpreter\n")
    (task,) = bench.run("-o", "log", "job.sh").tasks
    assert (task.state, task.exit_code) == ("FAILED", 2)
    assert "could not be started" in bench.text("log")


def test_missing_work_folder_fails_the_job(bench: Bench) -> None:
    log = bench.folder / "log"
    (task,) = bench.run("-D", "gone", "-o", str(log), "--wrap", "true").tasks
    assert (task.state, task.exit_code) == ("FAILED", 2)
    assert "gone" in task.reason


def test_variables(bench: Bench) -> None:
    (bench.folder / "there").mkdir()
    script = bench.script("job.sh", "env -0")
    job_id = bench.submit("-D", "there", "-c", "3", "-o", "../log", script)
    bench.wait(job_id)
    found = dict(item.split("=", 1) for item in bench.text("log").split("\0") if item)
    assert found["SLURM_JOB_ID"] == found["SLURM_JOBID"] == job_id
    assert found["SLURM_JOB_NAME"] == "job.sh"
    assert found["SLURM_SUBMIT_DIR"] == str(bench.folder)
    assert found["PWD"] == str(bench.folder / "there")
    assert found["SLURM_CPUS_PER_TASK"] == found["SLURM_CPUS_ON_NODE"] == "3"
    assert found["SLURM_NNODES"] == found["SLURM_NTASKS"] == "1"
    assert found["SLURM_PROCID"] == "0"
    assert not [name for name in found if name.startswith("SLURM_ARRAY")]


def test_array(bench: Bench) -> None:
    names = ("JOB_ID", *(f"ARRAY_{name}" for name in ("JOB_ID", "TASK_ID", "TASK_COUNT")))
    names += ("ARRAY_TASK_MIN", "ARRAY_TASK_MAX", "ARRAY_TASK_STEP")
    shown = " ".join(f"$SLURM_{name}" for name in names)
    job_id = bench.submit("--array=1-7:3", "--wrap", f"echo {shown}; exit $SLURM_ARRAY_TASK_ID")
    status = bench.wait(job_id)
    assert [(task.index, task.exit_code) for task in status.tasks] == [(1, 1), (4, 4), (7, 7)]
    base = int(job_id)
    for position, index in enumerate((1, 4, 7)):
        expected = f"{base + position} {base} {index} 3 1 7 3\n"
        assert bench.text(f"slurm-{job_id}_{index}.out") == expected
    # The tasks have ids of their own.
    assert int(bench.submit("--wrap", "true")) == base + 3


def test_array_of_many_short_tasks(bench: Bench) -> None:
    job_id = bench.submit("--array=1-300", "-o", "/dev/null", "--wrap", "true")
    status = bench.wait(job_id)
    assert {task.state for task in status.tasks} == {"COMPLETED"}
    assert len(status.tasks) == 300


def overlap(text: str) -> int:
    """How many tasks ran at a time, by lines that say ``+`` and ``-``."""
    running = most = 0
    for line in text.split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    return most


BUSY = "echo + >> ran; sleep 0.15; echo - >> ran"


def test_slots(bench: Bench) -> None:
    bench.use(slots=2)
    jobs = [bench.submit("--wrap", BUSY) for _ in range(4)]
    jobs.append(bench.submit("-a", "1-3", "--wrap", BUSY))
    assert bench.states(jobs[-1])[-1] == "PENDING"
    for job_id in jobs:
        assert bench.wait(job_id).phase is Phase.COMPLETED
    assert overlap(bench.text("ran")) == 2
    assert bench.text("ran").count("+") == 7


def test_array_limit(bench: Bench) -> None:
    job_id = bench.submit("-a", "1-4%1", "--wrap", BUSY)
    bench.until(lambda: "RUNNING" in bench.states(job_id))
    status = bench.status(job_id)
    assert status
    reasons = {task.reason for task in status.tasks if task.state == "PENDING"}
    assert reasons <= {"JobArrayTaskLimit"}
    bench.wait(job_id)
    assert overlap(bench.text("ran")) == 1


def test_order_and_reason(bench: Bench) -> None:
    bench.use(slots=1)
    hold = "while [ ! -e go ]; do sleep 0.02; done"
    first = bench.submit("--wrap", hold)
    others = [bench.submit("--wrap", f"echo {number} >> order") for number in range(5)]
    bench.until(lambda: bench.states(first) == ["RUNNING"])
    waiting = bench.status(others[0])
    assert waiting
    assert (waiting.tasks[0].state, waiting.tasks[0].reason) == ("PENDING", "Resources")
    (bench.folder / "go").touch()
    bench.wait(others[-1])
    assert bench.text("order").split() == list("01234")


def test_numbers(bench: Bench) -> None:
    code = "x = b'1' * 120_000_000; import time; time.sleep(0.1)"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    (task,) = bench.run("--wrap", command).tasks
    assert task.peak_memory
    assert 120_000_000 < task.peak_memory < 400_000_000
    assert task.elapsed
    assert 0.1 <= task.elapsed < 20
    assert task.cpu_time
    assert 0 < task.cpu_time < 20
    assert task.started
    assert task.ended
    assert 0 <= (task.ended - task.started).total_seconds() < 20


def test_memory_of_the_dispatcher_is_not_the_task_s(bench: Bench) -> None:
    (task,) = bench.run("--wrap", "true").tasks
    assert task.peak_memory is None


def test_what_was_asked_for_is_a_fact_though_nobody_heeds_it(bench: Bench) -> None:
    script = bench.script("job.sh", "#SBATCH -c 3 --mem=1\ntrue")
    job_id = bench.submit("--parsable", "--mem-per-cpu=2G", "-n", "2", script)
    bench.wait(job_id)
    status = bench.status(job_id, facts=True)
    assert status
    asked = {name: status.facts[name] for name in status.facts if "requested" in name}
    assert asked == {
        "requested_cpus": 6,
        "requested_nodes": 1,
        "requested_memory": "12582912K",
    }
    assert "time_limit" not in status.facts


@pytest.mark.parametrize(
    ("options", "cpus", "memory"),
    [
        ({}, 1, None),
        ({"cpus-per-task": "4", "mem": "500"}, 4, f"{500 * 1024}K"),
        ({"nodes": "2-4", "ntasks-per-node": "3", "mem": "1g"}, 6, f"{2 * 2**20}K"),
        ({"mem": "0", "cpus-per-task": "x"}, 1, None),
    ],
)
def test_requests_are_read_as_sbatch_does(
    options: dict[str, str], cpus: int, memory: str | None
) -> None:
    asked = requested_by(options)
    assert (asked["requested_cpus"], asked.get("requested_memory")) == (cpus, memory)


def test_facts(bench: Bench) -> None:
    job_id = bench.submit("-J", "me", "--wrap", "true")
    bench.wait(job_id)
    status = bench.status(job_id, facts=True)
    assert status
    assert status.facts["name"] == "me"
    assert status.facts["partition"] == "local"
    times = [status.facts[name] for name in ("submitted", "started", "ended")]
    assert times == sorted(times)
    assert status.identity.keys() == {"user", "group"}
    json.dumps(status.facts)
    plain = bench.status(job_id)
    assert plain
    assert not plain.identity


def test_nothing_outlives_the_script(bench: Bench) -> None:
    bench.run("--wrap", "sleep 100 & echo $! > pid")
    pid = int(bench.text("pid"))

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    bench.until(gone)


def test_export_reaches_the_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "a 'b'\n")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "99")
    show = 'printf "%s|%s|%s" "$MINE" "$OTHER" "$SLURM_ARRAY_TASK_ID"'
    bench.run("-o", "log-all", "--wrap", show)
    bench.run("-o", "log-none", "--export", "NONE", "--wrap", show)
    bench.run("-o", "log-list", "--export=MINE,OTHER=x", "--wrap", show)
    assert bench.text("log-all") == "a 'b'\n||"
    assert bench.text("log-none") == "||"
    assert bench.text("log-list") == "a 'b'\n|x|"


def test_environment_is_private_and_goes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "word")
    job_id = bench.submit("--wrap", "while [ ! -e go ]; do sleep 0.02; done")
    kept = bench.spool_folder / "jobs" / job_id / "environment.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "word" in kept.read_text()
    assert bench.spool_folder.stat().st_mode & 0o777 == 0o700
    (bench.folder / "go").touch()
    bench.wait(job_id)
    bench.until(lambda: not kept.exists())


def test_umask_of_the_submitter(bench: Bench) -> None:
    usual = os.umask(0o027)
    try:
        job_id = bench.submit("-o", "log", "--wrap", "touch made")
    finally:
        os.umask(usual)
    bench.wait(job_id)
    assert (bench.folder / "made").stat().st_mode & 0o777 == 0o640
    assert (bench.folder / "log").stat().st_mode & 0o777 == 0o640


HOSTILE = ("-a b", 'it\'s "q"', "new\nline", "$(touch x);*?[a]", "ünï", ":")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(bench: Bench, name: str) -> None:
    folder = bench.folder / f"{name} folder"
    folder.mkdir()
    script = folder / name
    script.write_text('#!/bin/sh\nprintf "%s|" "$@"\npwd\n')
    status = bench.run(f"--chdir={folder}", f"--output={name}.log", str(script), name, "-x", "")
    assert status.phase is Phase.COMPLETED
    # sbatch takes lone colons out of the arguments.
    arguments = [each for each in (name, "-x", "") if each != ":"]
    expected = "".join(f"{each}|" for each in arguments) + f"{folder}\n"
    assert (folder / f"{name}.log").read_text() == expected


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--array=x", "--wrap", "true"], "array"),
        (["--array=", "--wrap", "true"], "array"),
        (["--dependency=afterwards:1", "--wrap", "true"], "afterwards"),
        (["--dependency=afterok:77", "--wrap", "true"], "77"),
        (["--dependency=afterok:x", "--wrap", "true"], "ID"),
        (["--open-mode=shut", "--wrap", "true"], "open-mode"),
        (["--test-only", "--wrap", "true"], "test-only"),
        (["missing.sh"], "missing.sh"),
        (["-n1", ":", "-n2", "job.sh"], "heterogeneous"),
    ],
)
def test_refusals_leave_nothing(bench: Bench, arguments: list[str], word: str) -> None:
    bench.script("job.sh", "true")
    with pytest.raises(SubmissionRefused, match=word):
        bench.submit(*arguments)
    assert bench.spool.ids() == bench.spool.queued() == []
    assert bench.local.find("token", SINCE) is None


def test_spool_that_cannot_be_made(bench: Bench) -> None:
    bench.spool_folder.write_text("a file")
    with pytest.raises(SubmissionRefused, match="could not store"):
        bench.submit("--wrap", "true")


def test_spool_that_cannot_be_read(bench: Bench) -> None:
    bench.spool.create()
    (bench.spool_folder / "spool.lock").mkdir()
    with pytest.raises(SchedulerUnreachable, match="cannot be read"):
        bench.status("1")
    (bench.spool_folder / "spool.lock").rmdir()


def test_ignored_options_are_named_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("datalad.hpc.local")
    caplog.set_level(logging.INFO, logger=logger.name)
    logger.addHandler(caplog.handler)
    try:
        bench.submit("--mem=4G", "-t", "10", "-J", "me", "--comment=x", "--wrap", "true")
    finally:
        logger.removeHandler(caplog.handler)
    (message,) = {record.getMessage() for record in caplog.records}
    assert message.endswith(": --mem --time")


def test_dispatcher_ends_when_nothing_is_left(bench: Bench) -> None:
    bench.run("--wrap", "true")
    bench.until(lambda: not bench.is_dispatched)
    assert bench.spool.queued() == []
    begun = time.monotonic()
    bench.run("--wrap", "true")
    assert time.monotonic() - begun < 10
