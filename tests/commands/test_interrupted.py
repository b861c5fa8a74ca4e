"""Processes that are killed in the middle, and schedulers that give no answer."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in, text_of
from tests.helpers import wait_for


def schedule_in_a_process(lab: Lab, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(Path(sys.executable).parent / "datalad", "schedule"),
            *("--scheduler", lab.scheduler, *arguments),
        ],
        cwd=lab.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slurm
def test_a_job_whose_id_was_never_told_is_adopted(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    stand_in(before, "sbatch", 'REAL "$@" >/dev/null; kill -9 $PPID\n')
    killed = schedule_in_a_process(lab, "-o", "out.txt", "sbatch", "job.sh")
    assert killed.wait() == -signal.SIGKILL
    (before / "sbatch").unlink()
    (job_id,) = lab.listed()
    assert job_id.isdecimal()
    assert lab.schedule("sbatch job.sh", outputs=["out.txt"])["status"] == "impossible"
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert lab.committed() == {"out.txt", f"slurm-{job_id}.out", f"slurm-job-{job_id}.env.json"}
    assert lab.changes() == ""


@pytest.mark.slurm
def test_a_job_that_was_never_accepted_is_released(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    lab.write("out.txt", "old\n")
    stand_in(before, "sbatch", "kill -9 $PPID\n")
    killed = schedule_in_a_process(lab, "-o", "out.txt", "sbatch", "job.sh")
    assert killed.wait() == -signal.SIGKILL
    (before / "sbatch").unlink()
    assert lab.listed() == {}
    assert lab.changes() == ""
    assert lab.schedule("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"
    lab.wait()


@pytest.mark.slurm
def test_a_submission_that_is_under_way_is_left_alone(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    stand_in(before, "sbatch", f'until test -e {before}/go; do sleep 0.05; done; exec REAL "$@"\n')
    slow = schedule_in_a_process(lab, "-o", "out.txt", "sbatch", "job.sh")
    wait_for(lambda: "SUBMITTING" in str(lab.listed()))
    # Even when the process itself is gone, its sbatch may still get through.
    slow.kill()
    slow.wait()
    (listed,) = lab.listed().values()
    assert listed["slurm_job_status"] == "SUBMITTING"
    (left,) = lab.finish()
    assert left["status"] == "impossible"
    (before / "go").touch()
    wait_for(lambda: all(job.isdecimal() for job in lab.listed()))
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]


def test_a_process_killed_before_submission_leaves_nothing(local_lab: Lab, before: Path) -> None:
    """Killed while inputs are retrieved: the claim is there, the scheduler knows nothing."""
    lab = local_lab
    lab.script("echo x > out.txt")
    lab.write("in.dat")
    lab.git("annex", "drop", "--force", "in.dat")
    stand_in(before, "git-annex", f"touch {before}/reached; sleep 60\n")
    stuck = schedule_in_a_process(lab, "-i", "in.dat", "-o", "out.txt", "sbatch", "job.sh")
    wait_for((before / "reached").exists)
    stuck.kill()
    stuck.wait()
    (before / "git-annex").unlink()
    assert lab.listed() == {}
    assert lab.schedule("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"
    lab.wait()


@pytest.mark.slurm
def test_a_scheduler_without_an_answer_closes_nothing(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("exit 1")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait()
    for program in ("sacct", "squeue", "scontrol"):
        stand_in(before, program, "echo 'no answer today' >&2; exit 1\n")
    for options in ({}, {"close_failed_jobs": True}, {"commit_failed_jobs": True}):
        results = lab.finish(**options)
        assert {res["status"] for res in results} == {"error", "impossible"}
        assert any("no answer today" in text_of(res) for res in results)
    assert lab.listed()[job["slurm_job_id"]]["slurm_job_status"] == "UNKNOWN"
    for program in ("sacct", "squeue", "scontrol"):
        (before / program).unlink()
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok"]


def test_two_worktrees_share_the_claims(local_lab: Lab, tmp_path: Path) -> None:
    lab = local_lab
    lab.script("until test -e go; do sleep 0.05; done; echo x > out.txt")
    lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    other = Lab(Dataset(tmp_path / "other"), "local")
    first = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    refused = other.schedule("sbatch job.sh", outputs=["out.txt"])
    assert refused["status"] == "impossible"
    assert f"job {first['slurm_job_id']}" in text_of(refused)
    (lab.root / "go").touch()
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]


def test_two_finishes_at_once_commit_once(local_lab: Lab) -> None:
    local_lab.script("mkdir -p out; echo $1 > out/$1")
    for number in range(6):
        local_lab.schedule(f"sbatch job.sh {number}", outputs=[f"out/{number}"])
    local_lab.wait()
    start = local_lab.git("rev-parse", "HEAD").strip()
    finish: Any = [Path(sys.executable).parent / "datalad", "finish"]
    crowd = [
        subprocess.Popen(finish, cwd=local_lab.root, stdout=subprocess.DEVNULL) for _ in range(3)
    ]
    assert [process.wait() for process in crowd] == [0, 0, 0]
    assert local_lab.git("rev-list", "--count", f"{start}..HEAD").strip() == "6"
    assert local_lab.changes() == ""


def test_a_store_that_is_busy_for_a_while_is_waited_for(local_lab: Lab) -> None:
    local_lab.script("echo x > out.txt")
    local_lab.run("sbatch job.sh", outputs=["out.txt"])
    store = local_lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(1.5)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, store], stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    start = time.monotonic()
    assert local_lab.schedule("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"
    assert time.monotonic() - start > 0.5
    holder.communicate()
    local_lab.wait()


def test_a_job_is_finished_in_its_own_worktree(local_lab: Lab, tmp_path: Path) -> None:
    lab = local_lab
    lab.script("echo x > out.txt")
    lab.write("out.txt", "old\n")
    lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    other = Lab(Dataset(tmp_path / "other"), "local")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait()
    (left,) = other.finish(close_failed_jobs=True)
    assert left["status"] == "impossible"
    assert str(lab.root) in text_of(left)
    assert other.changes() == ""
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert {"out.txt", f"slurm-{job['slurm_job_id']}.out"} < lab.committed()


def test_a_job_of_a_removed_worktree_can_be_closed(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.script("echo x > out.txt")
    local_lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    other = Lab(Dataset(tmp_path / "other"), "local")
    other.schedule("sbatch job.sh", outputs=["out.txt"])
    other.wait()
    shutil.rmtree(other.root)
    local_lab.git("worktree", "prune")
    assert [res["status"] for res in local_lab.finish()] == ["impossible"]
    assert [res["status"] for res in local_lab.finish(close_failed_jobs=True)] == ["ok"]
    assert local_lab.listed() == {}


@pytest.mark.parametrize("option", ["close_failed_jobs", "commit_failed_jobs"])
def test_a_forgotten_job_can_be_ended_by_name(
    local_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    lab = local_lab
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait()
    lab.git("config", "datalad.hpc.local.spool", str(tmp_path / "another"))
    monkeypatch.delenv("DATALAD_HPC_LOCAL_SPOOL")
    lab.dataset.config.reload(force=True)
    (late,) = lab.finish(job, **{option: True})
    assert late["status"] == "impossible"
    assert "in a moment" in text_of(late)
    store = sqlite3.connect(lab.root / ".git" / "datalad" / "hpc" / "jobs.db")
    store.execute("UPDATE jobs SET submitted = '2020-01-01T00:00:00+00:00'")
    store.commit()
    store.close()
    (left,) = lab.finish(**{option: True})
    assert left["status"] == "impossible"
    assert f"--commit-failed-jobs {job}" in text_of(left)
    (ended,) = lab.finish(job, **{option: True})
    assert ended["status"] == "ok", text_of(ended)
    assert lab.listed() == {}
    if option == "commit_failed_jobs":
        assert f"Slurm job {job}: Unknown" in lab.message()
        assert "out.txt" in lab.committed()
