"""Why jobs failed, as data: in results, in records, in the file of facts and in the store."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc.failures import Failure, failure_of
from datalad_hpc.store.rows import ended_task
from tests.commands.conftest import QUIET, Lab, ask_store, text_of
from tests.commands.test_failed_tasks import record_of
from tests.helpers import wait_for

COMMITTED: dict[str, Any] = {"commit_failed_jobs": True}
CLOSED: dict[str, Any] = {"close_failed_jobs": True}


@pytest.fixture
def slurm_lab(dataset: Dataset) -> Lab:
    """On Slurm only."""
    return Lab(dataset, "slurm")


def failed(lab: Lab, command: str, **options: Any) -> str:
    """A job that is over; its id."""
    job = lab.schedule(command, **options)
    assert job["status"] == "ok", text_of(job)
    lab.wait(job["slurm_job_id"])
    return str(job["slurm_job_id"])


def kept(lab: Lab) -> list[Failure | None]:
    """What the store tells of the failure of each task."""
    rows = ask_store(lab, "SELECT number, state, facts FROM tasks ORDER BY job, number")
    return [failure_of(ended_task(*row)) for row in rows]


def in_history(lab: Lab) -> dict[str, Any]:
    """What ``hpc-status --all`` tells of the one job there ever was."""
    (told,) = lab.dataset.hpc_status(all_jobs=True, **QUIET)
    assert told["open_job"] is False
    return dict(told)


def facts_of(lab: Lab, job_id: str) -> Any:
    return json.loads((lab.root / f"slurm-job-{job_id}.env.json").read_text())


def test_an_exit_code(lab: Lab) -> None:
    lab.script("echo x > out.txt; exit 3")
    job = failed(lab, "sbatch job.sh", outputs=["out.txt"])
    told = {"cause": "exit-code", "exit_code": 3}
    assert lab.listed()[job]["failure"] == told
    (left,) = lab.finish()
    assert left["failure"] == told
    assert "FAILED (exit code 3)" in text_of(left)
    (done,) = lab.finish(**COMMITTED)
    assert done["failure"] == record_of(lab)["hpc"]["failure"] == told
    assert facts_of(lab, job)["tasks"][0]["failure"] == told
    assert [each and each.as_json for each in kept(lab)] == [told]


def test_a_signal(lab: Lab) -> None:
    lab.script("kill -SEGV $$; sleep 9")
    failed(lab, "sbatch job.sh", outputs=["out.txt"])
    (done,) = lab.finish(**CLOSED)
    assert done["failure"] == {"cause": "signal", "signal": 11}
    assert "FAILED (signal 11)" in text_of(done)
    assert [each and each.as_json for each in kept(lab)] == [done["failure"]]


def test_what_succeeds_has_none(lab: Lab) -> None:
    lab.script("echo x > out.txt")
    job = failed(lab, "sbatch job.sh", outputs=["out.txt"])
    assert "failure" not in lab.listed()[job]
    (done,) = lab.finish()
    assert done["status"] == "ok"
    told = json.dumps([done, record_of(lab), facts_of(lab, job)], default=str)
    assert "failure" not in told
    assert kept(lab) == [None]


def test_tasks_of_an_array_by_their_failure(lab: Lab) -> None:
    lab.script(
        "i=$SLURM_ARRAY_TASK_ID; echo x > $i.txt; case $i in 1|2|4) exit 7;; 5) exit 8;; esac"
    )
    told = [
        {"cause": "exit-code", "exit_code": 7, "tasks": "1-2,4"},
        {"cause": "exit-code", "exit_code": 8, "tasks": "5"},
    ]
    job = failed(lab, "sbatch --array=0-5 job.sh", outputs=["{task}.txt"])
    assert lab.listed()[job]["failures"] == told
    (left,) = lab.finish()
    assert left["failures"] == told
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["failures"] == record_of(lab)["hpc"]["failures"] == told
    assert in_history(lab)["failures"] == told
    causes = [each and each.exit_code for each in kept(lab)]
    assert causes == [None, 7, 7, None, 7, 8]


def test_tasks_of_a_sweep(local_lab: Lab) -> None:
    lab = local_lab
    command = "test {n} -gt 2 && echo {n} > {n}.txt"
    failed(lab, command, foreach=["n=1,2,3"], outputs=["{n}.txt"])
    left, done = lab.finish()
    assert "failure" not in done
    assert left["failures"] == [{"cause": "exit-code", "exit_code": 1, "tasks": "0-1"}]
    committed = lab.finish(**COMMITTED)
    assert [each["failure"] for each in committed] == [{"cause": "exit-code", "exit_code": 1}] * 2
    assert record_of(lab)["hpc"]["failure"] == {"cause": "exit-code", "exit_code": 1}


def test_members_of_a_submission_program(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("exit $1")
    lab.script("sbatch job.sh 0; sbatch --array=0-2 job.sh 4; sbatch job.sh 5", "all.sh")
    (lab.root / "all.sh").chmod(0o755)
    lab.save("all.sh")
    job = lab.schedule("./all.sh", submits=True, outputs=["out.txt"])
    _, second, third = job["slurm_job_ids"]
    lab.wait()
    (left,) = lab.finish()
    assert left["failures"] == [
        {"cause": "exit-code", "exit_code": 4, "job_id": second, "tasks": "0-2"},
        {"cause": "exit-code", "exit_code": 5, "job_id": third},
    ]
    (done,) = lab.finish(**COMMITTED)
    assert record_of(lab)["hpc"]["failures"] == done["failures"] == left["failures"]


def test_missing_outputs(lab: Lab) -> None:
    lab.script("echo x > out.txt")
    outputs = ["out.txt", "more.txt", "most/"]
    job = failed(lab, "sbatch job.sh", outputs=outputs)
    told = {"cause": "missing-output", "outputs": ["more.txt", "most/"]}
    (left,) = lab.finish()
    assert left["failure"] == told
    (done,) = lab.finish(**COMMITTED)
    assert "it did not produce more.txt, most/" in text_of(done)
    assert done["failure"] == record_of(lab)["hpc"]["failure"] == told
    assert facts_of(lab, job)["tasks"][0]["failure"] == told
    assert in_history(lab)["failure"] == told
    assert [each and each.as_json for each in kept(lab)] == [told]


def test_missing_outputs_of_tasks(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("i=$SLURM_ARRAY_TASK_ID; test $i = 2 || echo x > $i.txt; test $i != 3")
    failed(lab, "sbatch --array=0-3 job.sh", outputs=["{task}.txt"])
    (left,) = lab.finish(commit_good_tasks=True)
    told = [
        {"cause": "missing-output", "outputs": ["2.txt"], "tasks": "2"},
        {"cause": "exit-code", "exit_code": 1, "tasks": "3"},
    ]
    assert left["failures"] == told
    assert lab.finish(**CLOSED)[0]["status"] == "ok"


def test_outputs_whose_lack_is_no_failure(local_lab: Lab) -> None:
    lab = local_lab
    lab.git("config", "datalad.hpc.missing-outputs", "warning")
    lab.script("true")
    failed(lab, "sbatch job.sh", outputs=["out.txt"])
    (done,) = lab.finish()
    assert done["status"] == "ok"
    assert "failure" not in done
    assert "failure" not in record_of(lab)["hpc"]


@pytest.mark.parametrize("number", [9, 11])
def test_a_signal_of_which_a_shell_tells(lab: Lab, number: int) -> None:
    """Where sacct prints but the signal, the queue still knows the exit code."""
    lab.script(f"sh -c 'kill -{number} $$'")
    failed(lab, "sbatch job.sh", outputs=["out.txt"])
    (left,) = lab.finish()
    code = 128 + number
    assert left["failure"] == {"cause": "signal", "signal": number, "exit_code": code}
    assert f"FAILED (signal {number} (exit code {code}))" in text_of(left)


@pytest.mark.slurm
def test_who_cancelled_a_job(slurm_lab: Lab) -> None:
    lab = slurm_lab
    lab.script("echo x > out.txt; sleep 60")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    wait_for((lab.root / "out.txt").exists)
    subprocess.run(["scancel", job], check=True)
    user = pwd.getpwuid(os.getuid()).pw_name
    told = {"cause": "cancelled", "by": user}
    # Accounting, which knows by whom, is later than the queue.
    wait_for(lambda: lab.listed()[job].get("failure") == told, interval=0.3)
    (left,) = lab.finish()
    assert left["failure"] == told
    assert f"CANCELLED by {user}; it stays open" in text_of(left)
    (done,) = lab.finish(**COMMITTED)
    assert done["failure"] == told
    role = "root" if user == "root" else "owner"
    assert record_of(lab)["hpc"]["failure"] == {"cause": "cancelled", "by": role}
    assert facts_of(lab, job)["tasks"][0]["failure"] == {"cause": "cancelled", "by": role}
    assert [each and each.as_json for each in kept(lab)] == [told]


def test_who_cancelled_a_job_with_us(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("echo x > out.txt; sleep 60")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    wait_for((lab.root / "out.txt").exists)
    (done,) = lab.dataset.hpc_cancel(job, **QUIET)
    told = {"cause": "cancelled", "by": pwd.getpwuid(os.getuid()).pw_name}
    assert done["failure"] == in_history(lab)["failure"] == told


@pytest.mark.slurm
def test_a_log_that_cannot_be_opened(slurm_lab: Lab) -> None:
    lab = slurm_lab
    lab.script("echo x > out.txt")
    (lab.root / "logs").mkdir()
    job = lab.schedule("sbatch --hold -o logs/log job.sh", outputs=["out.txt"])["slurm_job_id"]
    (lab.root / "logs").rmdir()
    subprocess.run(["scontrol", "release", job], check=True)
    lab.wait()
    (left,) = lab.finish()
    assert left["failure"] == {"cause": "launch-failure", "signal": 53}
    assert "not started: its log could not be opened" in text_of(left)


def test_a_dependency_that_is_never_satisfied(lab: Lab) -> None:
    lab.script("until test -e .git/go; do sleep 0.1; done; exit $1")
    first = lab.schedule("sbatch job.sh 1", outputs=["a.txt"])["slurm_job_id"]
    command = f"sbatch --dependency=afterok:{first} job.sh 0"
    job = lab.schedule(command, outputs=["b.txt"])["slurm_job_id"]
    # A job that comes later is, once somebody has ended it, but cancelled to accounting.
    (lab.root / ".git" / "go").touch()
    told = {"cause": "dependency-never-satisfied"}
    wait_for(lambda: lab.listed()[job].get("failure") == told, interval=0.3)
    (left,) = lab.finish(job)
    assert left["failure"] == told
    if lab.scheduler == "slurm":
        assert left["live"] is True
        assert "so that it never starts" in text_of(left)
        subprocess.run(["scancel", job], check=True)
        told["by"] = pwd.getpwuid(os.getuid()).pw_name
        wait_for(lambda: lab.listed()[job].get("failure") == told, interval=0.3)
    (done,) = lab.finish(job, **CLOSED)
    assert done["failure"] == told
    assert [each and each.as_json for each in kept(lab)] == [told]
