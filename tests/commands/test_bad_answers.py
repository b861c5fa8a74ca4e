"""Slurm's programs fail, hang, or print something that is no answer: no job is ended on that."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datalad_hpc.schedulers.slurm_queue import FIELD_END
from tests.commands.conftest import Lab, ask_store, let_time_pass, stand_in, text_of
from tests.helpers import wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

pytestmark = pytest.mark.slurm

PROGRAMS = ("sacct", "squeue", "scontrol")

BAD_ANSWERS = {
    "fails": "echo 'no answer today' >&2; exit 1",
    "fails after an answer": 'REAL "$@"; exit 1',
    "is killed": "kill -9 $$",
    "rubbish": r"printf 'gar\377bage\n7|x\n'",
    "nothing": "true",
    "breaks off at once": 'REAL "$@" | head -c 40',
    "breaks off at its end": 'REAL "$@" | head -c -4',
    "other headings": """REAL "$@" | sed '1s/^[A-Za-z]*/Word/'""",
    "unheard-of state": """REAL "$@" | sed 's/PENDING/FROBNICATED/'""",
    "a banner before it": """echo 'Maintenance on 24 December'; REAL "$@" """,
}

BY_ALL_MEANS = {"close_failed_jobs": True, "commit_failed_jobs": True}


@pytest.fixture
def lab(dataset: Dataset) -> Lab:
    return Lab(dataset, "slurm")


def mend(before: Path) -> None:
    """The real programs come first again."""
    for program in before.iterdir():
        program.unlink()


def assert_not_ended(lab: Lab, job: str, why: str) -> None:
    """Neither by name nor with all others."""
    for named in ((job,), ()):
        for result in lab.finish(*named, **BY_ALL_MEANS):
            assert result["status"] in ("impossible", "error"), f"{why}: {text_of(result)}"


@pytest.mark.parametrize("programs", [*((name,) for name in PROGRAMS), PROGRAMS])
def test_a_job_that_lives_is_ended_on_no_bad_answer(
    lab: Lab, before: Path, programs: Sequence[str]
) -> None:
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch --hold job.sh", outputs=["out.txt"])["slurm_job_id"]
    let_time_pass(lab)
    for why, text in BAD_ANSWERS.items():
        for program in programs:
            stand_in(before, program, text)
        assert_not_ended(lab, job, why)
        mend(before)
    assert list(lab.listed()) == [job]
    subprocess.run(["scontrol", "release", job], check=True)
    lab.wait(job)
    assert [res["status"] for res in lab.finish()] == ["ok"]


def test_a_job_that_accounting_lacks_is_not_ended_while_the_queue_is_silent(
    lab: Lab, before: Path
) -> None:
    lab.script("exit 1")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(job)
    let_time_pass(lab)
    stand_in(before, "sacct", 'REAL "$@" | head -n 1')
    for why in ("fails", "nothing", "breaks off at its end"):
        stand_in(before, "squeue", BAD_ANSWERS[why])
        assert_not_ended(lab, job, why)
        (left,) = lab.finish()
        assert "gave no answer about it; try again later" in text_of(left)
    (before / "squeue").unlink()
    # The queue makes up for what accounting lacks.
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok"]


def test_a_job_that_has_left_the_queue_waits_for_accounting(lab: Lab, before: Path) -> None:
    """Accounting is down, which does not mean that the job was forgotten."""
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(job)
    let_time_pass(lab)
    stand_in(before, "squeue", 'case "$*" in *Format*) REAL "$@" --user=nobody;; esac')
    for why in ("fails", "is killed", "rubbish", "nothing"):
        stand_in(before, "sacct", BAD_ANSWERS[why])
        assert_not_ended(lab, job, why)
    mend(before)
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert f"Slurm job {job}: Completed" in lab.message()


def test_tasks_that_no_answer_tells_of_are_ended_by_name_only(lab: Lab, before: Path) -> None:
    lab.script("echo x > out.$SLURM_ARRAY_TASK_ID; exit $SLURM_ARRAY_TASK_ID")
    job = lab.schedule("sbatch --array=0-1 job.sh", outputs=["out.*"])["slurm_job_id"]
    lab.wait(job)
    ask_store(lab, "UPDATE jobs SET submitted = '2026-01-01T00:00:00+00:00'")
    for program in ("sacct", "squeue"):
        stand_in(before, program, f"""REAL "$@" | sed '/^{job}_1[{FIELD_END}]/d'""")
    (left,) = lab.finish(**BY_ALL_MEANS)
    assert left["status"] == "impossible", text_of(left)
    assert f"does not know task 1 of job {job} any more" in text_of(left)
    assert lab.listed()[job]["tasks"] == {"COMPLETED": "0", "UNKNOWN": "1"}
    (ended,) = lab.finish(job, commit_failed_jobs=True)
    assert ended["status"] == "ok", text_of(ended)
    assert ended["tasks"] == {"COMPLETED": "0", "UNKNOWN": "1"}
    assert {"out.0", "out.1"} < lab.committed()


def test_accounting_that_lags_is_made_up_for(lab: Lab, before: Path) -> None:
    """The first calls know nothing."""
    lab.script("echo x > out.txt")
    stand_in(
        before,
        "sacct",
        f'echo >> {before}/calls; test $(wc -l < {before}/calls) -gt 2 && exec REAL "$@"\n'
        'REAL "$@" | head -n 1',
    )
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    assert lab.listed()[job]["slurm_job_status"] != "UNKNOWN"
    lab.wait(job)
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert f"Slurm job {job}: Completed" in lab.message()


@pytest.mark.parametrize("unsettled", [False, True])
def test_each_program_that_hangs_is_stopped_with_all_that_it_started(
    lab: Lab, before: Path, unsettled: bool
) -> None:
    lab.script("echo x > out.txt")
    if unsettled:
        stand_in(before, "sbatch", 'REAL "$@" > /dev/null; kill -9 $$')
    lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.git("config", "datalad.hpc.scheduler-timeout", "0.5")
    lab.dataset.config.reload(force=True)
    for program in PROGRAMS:
        stand_in(before, program, f"sleep 300 & echo $$ $! >> {before}/{program}.started; wait")
    (left,) = lab.listed().values()
    assert left["slurm_job_status"] == ("SUBMITTING" if unsettled else "UNKNOWN")
    for calls in before.glob("*.started"):
        assert len(calls.read_text().splitlines()) == 1, "it is not asked again"
    started = [pid for name in before.glob("*.started") for pid in name.read_text().split()]
    assert len(started) >= 4
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started))
    lab.git("config", "datalad.hpc.scheduler-timeout", "60")
    lab.dataset.config.reload(force=True)
    mend(before)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]


def test_a_job_that_is_requeued_by_hand_is_followed_to_its_end(lab: Lab) -> None:
    lab.script("echo x >> starts; until test -e go; do sleep 0.05; done; echo x > out.txt")
    starts = lab.root / "starts"
    job = lab.schedule("sbatch job.sh", outputs=["out.txt", "starts"])["slurm_job_id"]
    wait_for(starts.exists)
    subprocess.run(["scontrol", "requeue", job], check=True)
    for _ in range(3):
        assert_not_ended(lab, job, "requeued")
    wait_for(lambda: "PENDING" in lab.listed()[job]["slurm_job_status"])
    subprocess.run(["scontrol", "update", f"job={job}", "StartTime=now"], check=True)
    wait_for(lambda: len(starts.read_text().split()) == 2)
    assert_not_ended(lab, job, "running again")
    (lab.root / "go").touch()
    lab.wait(job)
    (lab.root / "go").unlink()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert lab.changes() == ""
