"""Shells that close, processes that are killed, submissions that race."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datalad_hpc.schedulers.local_tasks import alive
from datalad_hpc.status import Phase

if TYPE_CHECKING:
    from conftest import Bench

SINCE = datetime.now(timezone.utc)

HOLD = "while [ ! -e go ]; do sleep 0.02; done"

SUBMIT = """
import os, signal, sys
from pathlib import Path
from datalad_hpc.schedulers import local_spool
from datalad_hpc.schedulers.base import Handover
from datalad_hpc.schedulers.local import Local

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

spool, folder, before, *words = sys.argv[1:]
exec(before)
local = Local(Path(spool), 2)
print(local.submit(Handover(("sbatch", *words), folder, "token")).job_id, flush=True)
"""


def command(bench: Bench, *words: str, before: str = "") -> list[str]:
    """A program that submits a job."""
    return [
        sys.executable,
        "-c",
        SUBMIT,
        str(bench.spool_folder),
        str(bench.folder),
        before,
        *words,
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _heed_signals() -> None:
    """Be hit by what the tests' own starter may ignore (nohup)."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_jobs_survive_the_shell(bench: Bench, number: int) -> None:
    submit = command(bench, "--wrap", f"{HOLD}; touch done")
    shell = subprocess.Popen(
        ["bash", "-c", f"{shlex.join(submit)}; sleep 60"],
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
        text=True,
        preexec_fn=_heed_signals,
    )
    with shell:
        assert shell.stdout
        job_id = shell.stdout.readline().strip()
        bench.until(lambda: bench.progress(job_id).running)
        os.killpg(shell.pid, number)
    assert shell.returncode
    time.sleep(0.1)
    assert bench.states(job_id) == ["RUNNING"]
    (bench.folder / "go").touch()
    # Asks nobody who could start a dispatcher anew.
    bench.until(lambda: bench.progress(job_id).over)
    assert bench.progress(job_id).completed == 1
    assert (bench.folder / "done").exists()


def test_dispatcher_has_nothing_of_the_submitter(bench: Bench) -> None:
    """A lock or a pipe of ours that it kept would look as if we still ran."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    bench.submit("--wrap", HOLD)
    os.close(writing)
    # At its end at once, although the job still runs.
    assert os.read(reading, 1) == b""
    os.close(reading)
    (bench.folder / "go").touch()


def test_killed_dispatcher(bench: Bench) -> None:
    bench.use(slots=2)
    job_id = bench.submit("-a", "1-5", "--wrap", f"echo $SLURM_ARRAY_TASK_ID >> ran; {HOLD}")
    later = bench.submit("-d", f"afterany:{job_id}", "--wrap", "echo later >> ran")
    bench.until(lambda: bench.progress(job_id).running == 2)
    bench.kill_dispatcher()
    lost = bench.progress(job_id).started[1]
    os.killpg(lost.pid, signal.SIGKILL)
    bench.until(lambda: not alive(lost.pid, lost.born))
    assert bench.states(job_id) == ["NODE_FAIL", "RUNNING", *["PENDING"] * 3]
    # The question has started another dispatcher, which respects the slots.
    bench.until(lambda: bench.is_dispatched)
    bench.until(lambda: bench.progress(job_id).running == 2)
    time.sleep(0.2)
    assert bench.states(job_id) == ["NODE_FAIL", "RUNNING", "RUNNING", "PENDING", "PENDING"]
    (bench.folder / "go").touch()
    assert bench.wait(later).phase is Phase.COMPLETED
    # Its end was seen by nobody who could have read the exit code.
    assert bench.states(job_id) == ["NODE_FAIL", "NODE_FAIL", *["COMPLETED"] * 3]
    *tasks, last = bench.text("ran").split()
    # Those that run side by side write in any order.
    assert (sorted(tasks), last) == (["1", "2", "3", "4", "5"], "later")
    status = bench.status(job_id)
    assert status
    assert "queue was killed" in status.tasks[0].reason


def test_dispatcher_killed_again_and_again(bench: Bench) -> None:
    """Whatever it was doing, no task is started twice and none is forgotten."""
    bench.use(slots=3)
    count = 200
    job_id = bench.submit("-a", f"1-{count}", "-o", "none", "--wrap", "echo $SLURM_JOB_ID >> ran")
    for stage in (10, 20, 30, 40):
        bench.until(lambda stage=stage: len(bench.progress(job_id).ended) >= stage)  # type: ignore[misc]
        bench.kill_dispatcher()
        bench.status(job_id)
    bench.wait(job_id)
    numbers = bench.text("ran").split()
    assert len(numbers) == len(set(numbers))
    # A task that was killed with its dispatcher before it became the script is started, not run.
    assert len(numbers) >= bench.progress(job_id).completed
    assert len(bench.progress(job_id).started) == count


def test_submissions_race_with_the_end_of_the_dispatcher(bench: Bench) -> None:
    for _ in range(30):
        jobs = [bench.submit("-o", "none", "--wrap", "true")]
        bench.until(lambda jobs=jobs: bench.progress(jobs[0]).over)  # type: ignore[misc]

        def submit(jobs: list[str] = jobs) -> None:
            jobs.append(bench.submit("-o", "none", "--wrap", "true"))

        racers = [threading.Thread(target=submit) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert len(set(jobs)) == 3
        # By the files alone: a question would start a missing dispatcher.
        bench.until(lambda: not bench.spool.queued())
        assert all(bench.progress(job_id).completed == 1 for job_id in jobs)


def test_submissions_from_many_processes(bench: Bench) -> None:
    submit = command(bench, "-o", "none", "--wrap", "echo $SLURM_JOB_ID >> ran")
    racers = [
        subprocess.Popen(submit, stdout=subprocess.PIPE, env=environment(), text=True)
        for _ in range(6)
    ]
    jobs = [racer.communicate()[0].strip() for racer in racers]
    bench.until(lambda: not bench.spool.queued())
    assert sorted(bench.text("ran").split()) == sorted(jobs)
    assert len(set(jobs)) == 6


@pytest.mark.parametrize(
    "before",
    [
        "local_spool.Spool._take_ids = die",
        "local_spool._write = die",
        "Path.rename = die",
    ],
)
def test_submission_killed_before_the_job_is_there(bench: Bench, before: str) -> None:
    bench.spool.create()
    died = subprocess.run(
        command(bench, "--wrap", "touch ran", before=before), env=environment(), check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert bench.local.find("token", SINCE) is None
    assert bench.run("--wrap", "true").phase is Phase.COMPLETED
    bench.until(lambda: not bench.is_dispatched)
    assert bench.spool.queued() == []
    assert not (bench.folder / "ran").exists()
    assert not list(bench.spool.jobs.glob(".*"))


@pytest.mark.parametrize("before", ["Local._attend = die", "Local._start_dispatcher = die"])
def test_submission_killed_after_the_job_is_there(bench: Bench, before: str) -> None:
    died = subprocess.run(
        command(bench, "--wrap", "echo x >> ran", before=before), env=environment(), check=False
    )
    assert died.returncode == -signal.SIGKILL
    found = bench.local.find("token", SINCE)
    assert found
    assert not bench.is_dispatched
    assert bench.wait(found.job_id).phase is Phase.COMPLETED
    assert bench.text("ran") == "x\n"


def test_dispatcher_finds_the_package(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert bench.run("--wrap", "true").phase is Phase.COMPLETED


def test_queue_without_a_job_keeps_nobody_alive(bench: Bench) -> None:
    bench.run("--wrap", "true")
    bench.until(lambda: not bench.is_dispatched)
    stray = Path(bench.spool.queue / "99")
    stray.touch()
    assert bench.run("--wrap", "true").phase is Phase.COMPLETED
    bench.until(lambda: not bench.is_dispatched)
    assert not stray.exists()
