"""``datalad hpc-cancel``: jobs are ended, and it is said what became of them."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

import pytest

from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.schedulers.local import Local
from datalad_hpc.status import JobKey
from tests.commands.conftest import QUIET, Lab, ask_store, text_of
from tests.commands.test_submission_programs import program, submit
from tests.helpers import wait_for

SLEEP = "echo begun > begun.txt; sleep 60"


@pytest.fixture(autouse=True)
def _slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of an array run at a time on the local scheduler."""
    monkeypatch.setenv("DATALAD_HPC_LOCAL_SLOTS", "8")


def cancel(lab: Lab, *job_ids: str, **options: Any) -> list[dict[str, Any]]:
    return lab.dataset.hpc_cancel(list(job_ids) or None, **QUIET, **options)


def running(lab: Lab, text: str = SLEEP, **options: Any) -> str:
    """Schedule a job and wait until it has begun."""
    lab.script(text)
    job: str = lab.schedule("sbatch job.sh", **options)["slurm_job_id"]
    wait_for((lab.root / "begun.txt").exists)
    return job


def sweep(lab: Lab, command: str, number: int, **options: Any) -> str:
    values = ",".join(map(str, range(number)))
    job: str = lab.schedule(command, outputs=["out-{n}.txt"], foreach=[f"n={values}"], **options)[
        "slurm_job_id"
    ]
    return job


def test_a_job_that_runs_is_ended_and_closed(lab: Lab) -> None:
    lab.write("kept.txt")
    lab.write("changed.txt")
    outputs = ["kept.txt", "changed.txt", "begun.txt", "never.txt"]
    job = running(lab, f"echo x > changed.txt; {SLEEP}", outputs=outputs)
    (done,) = cancel(lab, job)
    text = text_of(done)
    assert (done["action"], done["status"], done["outcome"]) == ("hpc-cancel", "ok", "closed")
    assert done["slurm_job_id"] == job
    assert done["slurm_job_status"] == "CANCELLED"
    assert done["elapsed"] >= 0
    assert f"Job {job} was cancelled after " in text
    for name in ("changed.txt", "begun.txt"):
        assert name in text
    for name in ("kept.txt", "never.txt", "slurm-"):
        assert name not in text
    assert lab.listed() == {}
    assert (lab.root / "kept.txt").is_symlink()
    assert (lab.root / "changed.txt").read_text() == "x\n"
    assert lab.changes().count("kept.txt") == 0
    # Its outputs are free, and history tells.
    lab.script("echo y > begun.txt")
    assert lab.schedule("sbatch job.sh", outputs=["begun.txt"])["status"] == "ok"
    (over,) = lab.finish(job)
    assert "closed without a commit" in text_of(over)
    assert "cancelled by the user" in text_of(over)


def test_a_job_that_waits_is_ended(lab: Lab) -> None:
    first = running(lab, outputs=["begun.txt"])
    lab.script("true", "second.sh")
    waits = lab.schedule("sbatch second.sh", inputs=["begun.txt"], outputs=["b.txt"])
    (done,) = cancel(lab, waits["slurm_job_id"])
    assert done["outcome"] == "closed"
    assert "before it started and closed without a commit; its outputs are free" in text_of(done)
    assert set(lab.listed()) == {first}
    (done,) = cancel(lab, all_jobs=True)
    assert (done["slurm_job_id"], done["outcome"]) == (first, "closed")
    assert lab.listed() == {}
    assert [res["status"] for res in cancel(lab, all_jobs=True)] == ["notneeded"]


def test_what_waits_for_a_cancelled_job_is_named(lab: Lab) -> None:
    first = running(lab, outputs=["begun.txt"])
    lab.script("cp begun.txt b.txt", "second.sh")
    lab.script("cp b.txt c.txt", "third.sh")
    second, third = (
        lab.schedule(f"sbatch {script}", inputs=[made], outputs=[makes])["slurm_job_id"]
        for script, made, makes in (
            ("second.sh", "begun.txt", "b.txt"),
            ("third.sh", "b.txt", "c.txt"),
        )
    )
    (done,) = cancel(lab, first)
    assert done["waiting_jobs"] == [second, third]
    assert f"jobs {second}, {third}, waiting for it, can never start" in text_of(done)
    assert f"`datalad hpc-cancel {second} {third}`" in text_of(done)
    # Whether their scheduler has ended them by itself meanwhile or not.
    both = cancel(lab, second) + cancel(lab, all_jobs=True)
    assert [res["outcome"] for res in both] == ["closed", "closed"]
    assert lab.listed() == {}


def test_all_of_a_chain(local_lab: Lab) -> None:
    lab = local_lab
    first = running(lab, outputs=["begun.txt"])
    lab.script("cp begun.txt b.txt", "second.sh")
    job = lab.schedule("sbatch second.sh", inputs=["begun.txt"], outputs=["b.txt"])
    done = cancel(lab, all_jobs=True)
    assert [res["slurm_job_id"] for res in done] == [first, job["slurm_job_id"]]
    assert [res["outcome"] for res in done] == ["closed", "closed"]
    assert all("can never start" not in text_of(res) for res in done)


def test_a_job_that_completed_is_not_closed(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(job)
    (done,) = cancel(lab, job)
    assert (done["status"], done["outcome"]) == ("notneeded", "completed")
    assert f"`datalad finish {job}`" in text_of(done)
    assert lab.finish(job)[-1]["status"] == "ok"
    assert "out.txt" in lab.committed()
    (over,) = cancel(lab, job)
    assert (over["action"], over["status"]) == ("hpc-cancel", "notneeded")
    assert "is over already: committed as" in text_of(over)


def test_a_job_that_failed_stays_open(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("exit 3")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(job)
    for options in ({}, {"all_jobs": True}):
        (done,) = cancel(lab, *([job] * (not options)), **options)
        assert (done["status"], done["outcome"]) == ("notneeded", "failed")
        assert "exit code 3" in text_of(done)
        assert f"`datalad finish --close-failed-jobs {job}`" in text_of(done)
    assert set(lab.listed()) == {job}


def test_what_somebody_else_has_cancelled_is_closed_if_it_is_named(local_lab: Lab) -> None:
    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    (token,) = ask_store(lab, "SELECT token FROM jobs")[0]
    key = JobKey(job, "", token, datetime.now(timezone.utc))
    Local.configured(lambda name: os.environ.get(_variable(name), "")).cancel([Cancellation(key)])
    lab.wait(job)
    (left,) = cancel(lab, all_jobs=True)
    assert (left["status"], left["outcome"]) == ("notneeded", "failed")
    assert f"Job {job} was cancelled: CANCELLED" in text_of(left)
    assert f"`datalad finish --close-failed-jobs {job}`" in text_of(left)
    (done,) = cancel(lab, job)
    assert (done["status"], done["outcome"]) == ("ok", "closed")
    assert lab.listed() == {}


def _variable(name: str) -> str:
    return name.upper().replace(".", "_").replace("-", "_")


def test_tasks_of_a_sweep(lab: Lab) -> None:
    job = sweep(lab, "test {n} -gt 0 || exit 0; echo x > out-{n}.txt; sleep 60", 4)
    wait_for(lambda: lab.listed()[job].get("tasks", {}).get("COMPLETED") == "0")
    names = [f"{job}_1", f"{job}_3"]
    (done,) = cancel(lab, *names)
    assert (done["status"], done["outcome"]) == ("ok", "closed")
    assert f"Tasks 1,3 of job {job} were cancelled" in text_of(done)
    assert done["tasks"] == {"CANCELLED": "1,3"}
    (over,) = cancel(lab, names[0])
    assert "over already: closed without a commit" in text_of(over)
    assert set(lab.listed()[job]["tasks"]) <= {"COMPLETED", "RUNNING", "PENDING"}
    (done,) = cancel(lab, job)
    assert done["outcome"] == {"closed": "2", "completed": "0"}
    assert f"Task 2 of job {job} was cancelled" in text_of(done)


def test_a_sweep_keeps_the_tasks_that_completed(local_lab: Lab) -> None:
    lab = local_lab
    job = sweep(lab, "echo x > out-{n}.txt; test {n} -lt 2 || sleep 60", 4)
    wait_for(lambda: lab.listed()[job].get("tasks", {}).get("COMPLETED") == "0-1")
    (done,) = cancel(lab, all_jobs=True)
    assert done["outcome"] == {"completed": "0-1", "closed": "2-3"}
    assert f"asks 2-3 of job {job} were cancelled" in text_of(done)
    assert f"tasks 0-1 of job {job} completed before that: `datalad finish {job}`" in text_of(done)
    assert [res["status"] for res in lab.finish()] == ["ok", "ok"]
    assert lab.listed() == {}


def array(lab: Lab, text: str, *, per_task: bool = True) -> str:
    lab.script(text)
    outputs = ["out-{task}.txt"] if per_task else ["out/"]
    job: str = lab.schedule("sbatch --array=0-3 job.sh", outputs=outputs)["slurm_job_id"]
    return job


def test_an_array_of_which_some_tasks_completed_stays_open(local_lab: Lab) -> None:
    lab = local_lab
    job = array(
        lab,
        "echo x > out-$SLURM_ARRAY_TASK_ID.txt; test $SLURM_ARRAY_TASK_ID -lt 2 || sleep 60",
    )
    wait_for(lambda: lab.listed()[job]["tasks"].get("COMPLETED") == "0-1")
    (done,) = cancel(lab, job)
    assert done["status"] == "ok"
    assert done["outcome"] == {"completed": "0-1", "failed": "2-3"}
    for way in ("--commit-good-tasks", "--close-failed-jobs"):
        assert f"`datalad finish {way} {job}`" in text_of(done)
    (left,) = lab.finish()
    assert left["status"] == "impossible"
    (done,) = lab.finish(job, commit_good_tasks=True)
    assert done["status"] == "ok"
    assert {"out-0.txt", "out-1.txt"} <= lab.committed()
    assert "out-2.txt" not in lab.committed()


def test_an_array_of_which_nothing_completed_is_closed(local_lab: Lab) -> None:
    lab = local_lab
    job = array(lab, "test $SLURM_ARRAY_TASK_ID -gt 0 && sleep 60; exit 3")
    wait_for(lambda: lab.listed()[job].get("tasks", {}).get("FAILED") == "0", timeout=30)
    (done,) = cancel(lab, job)
    assert (done["status"], done["outcome"]) == ("ok", "closed")
    assert lab.listed() == {}


def test_a_task_of_an_array_that_goes_on(lab: Lab) -> None:
    job = array(
        lab,
        "i=$SLURM_ARRAY_TASK_ID; echo x > out-$i.txt; test $i = 1 && sleep 60;"
        " until test -e go; do sleep 0.1; done",
    )
    wait_for(lambda: (lab.root / "out-1.txt").exists())
    (done,) = cancel(lab, f"{job}_1")
    assert (done["status"], done["outcome"]) == ("ok", "failed")
    assert f"`datalad finish --commit-good-tasks {job}`" in text_of(done)
    assert set(lab.listed()) == {job}
    (lab.root / "go").touch()
    lab.wait(job)
    (lab.root / "go").unlink()
    (left,) = lab.finish()
    assert left["status"] == "impossible"
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok"
    assert "out-3.txt" in lab.committed()


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ([], {}, "say which jobs are to end"),
        (["1"], {"all_jobs": True}, "either name jobs"),
        (["99999999"], {}, "There is no job 99999999 in this dataset"),
        (["99999999_1"], {}, "There is no job 99999999_1 in this dataset"),
    ],
)
def test_what_cannot_be_cancelled(
    local_lab: Lab, names: list[str], options: dict[str, Any], words: str
) -> None:
    (refused,) = cancel(local_lab, *names, **options)
    assert (refused["action"], refused["status"]) == ("hpc-cancel", "impossible")
    assert words in text_of(refused)


def test_all_jobs_of_a_submission_program(lab: Lab) -> None:
    lab.script(SLEEP, "slow.sh")
    program(lab, "set -e; sbatch slow.sh; sbatch --array=0-1 slow.sh; sbatch --hold slow.sh")
    job = submit(lab, outputs=["begun.txt"])
    wait_for((lab.root / "begun.txt").exists)
    (done,) = cancel(lab, job["slurm_job_ids"][-1])
    assert (done["status"], done["outcome"]) == ("ok", "closed")
    assert done["slurm_job_ids"] == job["slurm_job_ids"]
    assert lab.listed() == {}


def test_the_newest_attempt_of_a_job(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("test -e begun.txt || { touch begun.txt; exit 3; }; touch again.txt; sleep 60")
    first = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(first)
    again = lab.dataset.reschedule(failed=True, **QUIET)[-1]["slurm_job_id"]
    wait_for((lab.root / "again.txt").exists)
    # By its old name.
    (done,) = cancel(lab, first)
    assert (done["slurm_job_id"], done["outcome"]) == (again, "closed")
    assert lab.listed() == {}
