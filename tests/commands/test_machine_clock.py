"""A clock that was moved back or forward between two commands."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in, text_of
from tests.commands.soundness import assert_sound
from tests.commands.test_interrupted import schedule_in_a_process
from tests.helpers import wait_for

JUMPS = [timedelta(days=3000), -timedelta(days=3000)]
"""What our clock was wrong by when the jobs were scheduled."""


def moved(lab: Lab, jump: timedelta) -> None:
    """Let all jobs have been scheduled by a clock that was wrong."""
    then = (datetime.now(timezone.utc) + jump).isoformat()
    store = sqlite3.connect(lab.root / ".git" / "datalad" / "hpc" / "jobs.db")
    store.execute("UPDATE jobs SET created = ?", (then,))
    store.execute("UPDATE jobs SET submitted = ? WHERE submitted IS NOT NULL", (then,))
    store.commit()
    store.close()


def commits(lab: Lab) -> int:
    return lab.git("log", "--format=%s").count("[DATALAD SLURM RUN]")


@pytest.mark.parametrize("jump", JUMPS, ids=["back", "forward"])
def test_jobs_are_finished_whatever_the_clock_says(lab: Lab, jump: timedelta) -> None:
    lab.script("until test -e go; do sleep 0.05; done; echo x > out.txt")
    lab.schedule("sbatch job.sh", outputs=["out.txt"])
    moved(lab, jump)
    (left,) = lab.finish(close_failed_jobs=True)
    assert left["status"] == "impossible"
    assert left["live"], text_of(left)
    (lab.root / "go").touch()
    lab.wait()
    (lab.root / "go").unlink()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert (lab.listed(), commits(lab)) == ({}, 1)
    assert_sound(lab.root)


@pytest.mark.slurm
@pytest.mark.parametrize("jump", JUMPS, ids=["back", "forward"])
def test_a_submission_in_doubt_is_never_forgotten(
    dataset: Dataset, before: Path, jump: timedelta
) -> None:
    """Slurm's queue has forgotten the job already, and only accounting knows it."""
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    stand_in(before, "sbatch", f'REAL "$@" > {before}/id; kill -9 $PPID\n')
    killed = schedule_in_a_process(lab, "-o", "out.txt", "sbatch", "job.sh")
    assert killed.wait() == -signal.SIGKILL
    (before / "sbatch").unlink()
    moved(lab, jump)
    stand_in(before, "squeue", "exit 0\n")
    if jump > timedelta():
        # Neither knows it, and there is no telling how long ago it was.
        stand_in(before, "sacct", "exit 0\n")
        assert [res["slurm_job_status"] for res in lab.listed().values()] == ["SUBMITTING"]
        (before / "sacct").unlink()
    job = (before / "id").read_text().split()[-1]
    wait_for(lambda: accounting_knows(job))
    # A cluster may have run very many jobs since; the window of time is left as it is.
    stand_in(before, "sacct", f'exec REAL "$@" --jobs={job}\n')
    assert list(lab.listed()) == [job]
    (before / "squeue").unlink()
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert (lab.listed(), commits(lab)) == ({}, 1)
    assert_sound(lab.root)


def accounting_knows(job: str) -> bool:
    """Whether it knows all: the submit line comes some seconds after the state."""
    argv = ["sacct", "-n", "-X", "-j", job, "-o", "State,SubmitLine%200"]
    said = subprocess.run(argv, capture_output=True, text=True).stdout
    return "COMPLETED" in said and "datalad-hpc:" in said


@pytest.mark.slurm
def test_a_job_from_the_future_can_be_given_up_by_name(dataset: Dataset, before: Path) -> None:
    """Nobody knows it, and by its own time it would be too young to be forgotten for years."""
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait()
    moved(lab, JUMPS[0])
    for program in ("squeue", "sacct"):
        stand_in(before, program, 'REAL "$@" | head -n 1\n')
    (left,) = lab.finish(close_failed_jobs=True)
    assert left["status"] == "impossible"
    assert f"--close-failed-jobs {job}" in text_of(left)
    assert [res["status"] for res in lab.finish(job, close_failed_jobs=True)] == ["ok"]
