"""Tasks of arrays run again alone: those that failed, or those that a commit covers."""

from __future__ import annotations

import json
import subprocess

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of
from tests.commands.test_failed_tasks import claimed, record_of


@pytest.fixture
def partly(local_lab: Lab) -> Lab:
    """An array whose tasks 1 and 3 failed, committed for 0 and 2; asked for in the script."""
    local_lab.script(
        "#SBATCH --array=0-3%2\n"
        "[ -e repaired ] || ((SLURM_ARRAY_TASK_ID % 2 == 0)) || exit 1\n"
        'cat "$1" > x-$SLURM_ARRAY_TASK_ID; echo >> sum'
    )
    local_lab.write("a b.txt")
    local_lab.schedule(
        "sbatch --comment='a  {{b}}' job.sh '{inputs}'",
        inputs=["a b.txt"],
        outputs=["x-{task}", "sum"],
    )
    local_lab.wait()
    (done,) = local_lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    return local_lab


def test_report_and_script_of_failed_tasks(partly: Lab) -> None:
    (shown,) = partly.reschedule(since="", failed_tasks=True, report=True)
    assert shown["command"] == "sbatch --comment='a  {{b}}' --array=1,3%2 job.sh '{inputs}'"
    assert shown["argv"] == ["sbatch", "--comment=a  {b}", "--array=1,3%2", "job.sh", "a b.txt"]
    assert shown["outputs"] == ["sum", "x-{task}"]
    partly.reschedule(failed_tasks=True, script=str(partly.root / "again.sh"))
    assert "--array=1,3%2 job.sh 'a b.txt'" in (partly.root / "again.sh").read_text()
    assert partly.listed() == {}


def test_what_was_run_again_since_is_left_out(partly: Lab) -> None:
    (shown,) = partly.reschedule(report=True)
    assert shown["argv"][2] == "--array=0,2%2"
    (again,) = partly.reschedule(failed_tasks=True)
    assert claimed(partly, again) == ["sum", "x-1", "x-3"]
    partly.wait()
    partly.finish(commit_failed_jobs=True)
    assert record_of(partly)["hpc"]["covers"] == "1,3"
    first, second = partly.git("rev-parse", "HEAD~", "HEAD").split()
    (shown,) = partly.reschedule(since="", failed_tasks=True, report=True)
    assert shown["commit"] == second
    assert shown["command"].count("--array") == 1
    (partly.root / "repaired").touch()
    partly.reschedule(failed_tasks=True)
    partly.wait()
    (done,) = partly.finish()
    assert done["status"] == "ok", text_of(done)
    assert record_of(partly)["chain"] == [first, second]
    for since in (None, ""):
        (none,) = partly.reschedule(failed_tasks=True, since=since)
        assert none["status"] == "impossible"
        assert "failed tasks" in text_of(none)
    both = partly.reschedule(since="", report=True)
    assert [res["argv"][2] for res in both] == ["--array=0,2%2", "--array=1,3%2"]


def _with_record(lab: Lab, record: str) -> None:
    lab.script("true")
    message = (
        "[DATALAD SLURM RUN] Slurm job 1: Failed\n\n=== Do not change lines below ===\n"
        f"{record}\n^^^ Do not change lines above ^^^\n"
    )
    lab.git("commit", "-q", "--allow-empty", "-m", message)


def test_a_record_without_tasks_says_so(local_lab: Lab) -> None:
    _with_record(local_lab, '{"cmd": "sbatch job.sh x", "outputs": ["x"]}')
    (none,) = local_lab.reschedule(failed_tasks=True)
    assert none["status"] == "impossible"
    assert "datalad-slurm does not record them" in text_of(none)


def test_hostile_records_run_nothing(local_lab: Lab) -> None:
    hostile = [
        '{"tasks": {"FAILED": "3-x"}, "covers": "1"}',
        '{"tasks": {"FAILED": 3}}',
        '{"tasks": ["3"]}',
        '{"tasks": {"FAILED": "3"}, "task_outputs": ["{task.__class__}"]}',
        '{"tasks": {"FAILED": "3"}, "task_outputs": ["../{task}"]}',
        '{"tasks": {"FAILED": "3"}, "task_outputs": [".git/hooks/{task}"]}',
    ]
    for own in hostile:
        record = f'{{"cmd": "sbatch --array=1-3 job.sh", "outputs": ["x"], "hpc": {own}}}'
        _with_record(local_lab, record)
    refused = local_lab.reschedule(failed_tasks=True, since="")
    assert len(refused) == len(hostile)
    assert {res["status"] for res in refused} <= {"impossible", "error"}
    assert local_lab.listed() == {}


def test_an_array_that_a_placeholder_hides(local_lab: Lab) -> None:
    """What comes after our own option would overrule it: nothing is run in the place of task 3."""
    local_lab.git("config", "datalad.run.substitutions.how", "--array=1-3")
    local_lab.dataset.config.reload(force=True)
    record = (
        '{"cmd": "sbatch {how} job.sh", "outputs": ["x"],'
        ' "hpc": {"tasks": {"FAILED": "3", "COMPLETED": "1-2"}}}'
    )
    _with_record(local_lab, record)
    (refused,) = local_lab.reschedule(failed_tasks=True)
    assert refused["status"] == "impossible"
    assert "cannot be limited to the tasks 3" in text_of(refused)
    assert local_lab.listed() == {}


@pytest.mark.slurm
def test_thousands_of_scattered_tasks_become_several_jobs(dataset: Dataset) -> None:
    """Slurm refuses a list of more than 4096 characters."""
    lab = Lab(dataset, "slurm")
    failed = ",".join(str(task) for task in range(1000, 3000, 2))
    record = {
        "cmd": "sbatch --hold job.sh",
        "outputs": [],
        "hpc": {"tasks": {"FAILED": failed}, "task_outputs": ["x-{task}"]},
    }
    _with_record(lab, json.dumps(record))
    jobs = lab.reschedule(failed_tasks=True)
    try:
        assert [res["status"] for res in jobs] == ["ok", "ok"], text_of(jobs[-1])
        assert len(claimed(lab, jobs[0])) + len(claimed(lab, jobs[1])) == 1000
    finally:
        subprocess.run(["scancel", *(res["slurm_job_id"] for res in jobs)], check=True)
