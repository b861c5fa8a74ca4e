"""The main job, from schedule over finish to reschedule, on each scheduler."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from datalad.api import Dataset

from datalad_hpc.record import read_record
from tests.commands.conftest import Lab, text_of


def test_a_completed_job_becomes_one_commit_with_a_record(lab: Lab) -> None:
    lab.write("in.dat")
    lab.script("mkdir -p out; cat $1 $1 > out/twice.dat")
    before = lab.git("rev-parse", "HEAD").strip()
    done = lab.run(
        "sbatch job.sh {inputs}", inputs=["in.dat"], outputs=["out/"], message="said at schedule"
    )
    job_id = done["slurm_job_id"]
    assert done["status"] == "ok", text_of(done)
    assert done["commit"] == lab.git("rev-parse", "HEAD").strip()
    assert lab.git("rev-parse", "HEAD^").strip() == before
    assert lab.committed() == {
        "out/twice.dat",
        f"slurm-{job_id}.out",
        f"slurm-job-{job_id}.env.json",
    }
    assert lab.changes() == ""
    subject, *_ = lab.message().splitlines()
    assert subject == f"[DATALAD SLURM RUN] Slurm job {job_id}: Completed"
    assert "said at schedule" in lab.message()
    record = read_record(lab.message())
    assert record
    assert record.request.command == "sbatch job.sh {inputs}"
    assert record.request.outputs == ("out/",)
    assert record.request.inputs == ("in.dat",)
    assert lab.listed() == {}


def test_both_messages_stand_in_the_commit(lab: Lab) -> None:
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"], message="first words")
    lab.wait()
    lab.finish(job["slurm_job_id"], message="last words")
    message = lab.message()
    assert message.index("last words") < message.index("first words")
    assert message.index("first words") < message.index("=== Do not change")


def test_the_facts_tell_the_truth_at_the_end(lab: Lab) -> None:
    lab.script(
        "#SBATCH --account=root\n"
        "python3 -c 'import time; x = b\"1\" * 10**8; time.sleep(1.2)'; echo x > out.txt"
    )
    job_id = lab.run("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    text = (lab.root / f"slurm-job-{job_id}.env.json").read_text()
    facts = json.loads(text)
    (task,) = facts["tasks"]
    assert task["state"] == "COMPLETED"
    assert task["exit_code"] == 0
    assert task["elapsed"] >= 1
    assert task["nodes"]
    assert task["cpu_time"] is not None
    assert task["peak_memory"] > 5e7
    assert "time.sleep(1.2)" in facts["script"]
    assert facts["submit_line"] == ["sbatch", "job.sh"]
    assert "identity" not in facts
    assert "root" not in text
    assert str(lab.root) not in text
    record = json.loads(re.findall(r"===\n(.*)\n\^\^\^", lab.message(), re.DOTALL)[0])
    assert record["hpc"]["exit_code"] == 0
    assert record["hpc"]["elapsed"] >= 1


def test_an_array_reports_each_of_its_tasks(lab: Lab) -> None:
    lab.script(
        "#SBATCH --array=1-3\nmkdir -p out; echo x > out/$SLURM_ARRAY_TASK_ID.dat\n"
        "test $SLURM_ARRAY_TASK_ID != 2 || exit 7"
    )
    job = lab.schedule("sbatch job.sh", outputs=["out/*.dat"])
    lab.wait()
    job_id = job["slurm_job_id"]
    assert lab.listed()[job_id]["tasks"] == {"COMPLETED": "1,3", "FAILED": "2"}
    (left,) = lab.finish()
    assert left["status"] == "impossible"
    assert "task 2: FAILED (exit code 7)" in text_of(left)
    assert lab.listed().keys() == {job_id}
    (done,) = lab.finish(commit_failed_jobs=True)
    assert done["status"] == "ok", text_of(done)
    assert f"Slurm job {job_id}: Failed (1 of 3 tasks)" in lab.message()
    assert {f"slurm-{job_id}_{task}.out" for task in (1, 2, 3)} < lab.committed()
    assert lab.changes() == ""


def test_a_failed_job_stays_until_it_is_closed(lab: Lab) -> None:
    lab.script("echo half > out.txt; exit 3")
    before = lab.git("rev-parse", "HEAD")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait()
    (left,) = lab.finish()
    assert (left["status"], left["slurm_job_status"]) == ("impossible", "FAILED")
    assert "exit code 3" in text_of(left)
    assert "--close-failed-jobs" in text_of(left)
    (closed,) = lab.finish(close_failed_jobs=True)
    assert closed["status"] == "ok"
    assert lab.git("rev-parse", "HEAD") == before
    assert lab.listed() == {}
    # Its outputs are free again, and its fate is remembered.
    assert lab.schedule("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"
    (past,) = lab.finish(job["slurm_job_id"])
    assert past["status"] == "notneeded"
    assert "closed" in text_of(past)
    lab.wait()


def test_a_job_that_waits_is_left_alone(lab: Lab) -> None:
    lab.script("until test -e go; do sleep 0.1; done; echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    for options in ({}, {"close_failed_jobs": True}, {"commit_failed_jobs": True}):
        (left,) = lab.finish(**options)
        assert left["status"] == "impossible"
        assert lab.listed()[job["slurm_job_id"]]["slurm_job_status"] in ("PENDING", "RUNNING")
    (lab.root / "go").touch()
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert lab.changes() == "?? go\n"


def test_reschedule_runs_the_record_again(lab: Lab) -> None:
    lab.write("in.dat", "1\n")
    lab.script("mkdir -p out; cat in.dat in.dat > out/twice.dat")
    first = lab.run("sbatch job.sh", inputs=["in.dat"], outputs=["out/"], message="why")
    lab.write("in.dat", "2\n")
    (again,) = lab.reschedule(first["commit"])
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out" / "twice.dat").read_text() == "2\n2\n"
    assert lab.changes() == ""
    record = read_record(lab.message())
    assert record
    assert record.request.chain == (first["commit"],)
    assert "why" in lab.message()
    (_,) = lab.reschedule(message="other words")
    lab.wait()
    lab.finish()
    latest = read_record(lab.message())
    assert latest
    assert latest.request.chain == (first["commit"], done["commit"])
    assert "other words" in lab.message()
    assert "why" not in lab.message()


def test_many_jobs_are_finished_in_one_go(lab: Lab) -> None:
    lab.script("mkdir -p out/$1; echo $1 > out/$1/a.dat; echo b > out/$1/b.txt")
    ids = [
        lab.schedule(f"sbatch job.sh {n}", outputs=[f"out/{n}/"])["slurm_job_id"] for n in range(5)
    ]
    lab.wait()
    done = lab.finish()
    assert [res["status"] for res in done] == ["ok"] * 5
    assert lab.git("rev-list", "--count", "HEAD~5..HEAD").strip() == "5"
    for number, job_id in enumerate(ids):
        revision = f"HEAD~{4 - number}"
        assert f"job {job_id}:" in lab.message(revision)
        assert {f"out/{number}/a.dat", f"out/{number}/b.txt"} < lab.committed(revision)
        assert len(lab.committed(revision)) == 4
    assert lab.changes() == ""


@pytest.mark.slurm
def test_who_cancelled_is_not_recorded(dataset: Dataset) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("sleep 60")
    job_id = lab.schedule("sbatch job.sh", outputs=["x"])["slurm_job_id"]
    subprocess.run(["scancel", job_id], check=True)
    lab.wait()
    (left,) = lab.finish()
    assert left["slurm_job_status"] == "CANCELLED"
    (done,) = lab.finish(commit_failed_jobs=True)
    assert done["status"] == "ok"
    assert f"Slurm job {job_id}: Cancelled" in lab.message()
    facts = json.loads((lab.root / f"slurm-job-{job_id}.env.json").read_text())
    assert "by " not in facts["tasks"][0]["reason"]
