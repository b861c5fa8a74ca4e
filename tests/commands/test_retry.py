"""Failed open jobs are submitted again as the same jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.commands.conftest import Lab, ask_store, text_of
from tests.commands.test_failed_tasks import record_of

FAILS_ONCE = "echo $SLURM_JOB_ID >> out/tries; [ -e repaired ] || exit 3; echo good > out/made"


def retry(lab: Lab, *names: str, **options: Any) -> list[dict[str, Any]]:
    return lab.dataset.reschedule(
        list(names) or None,
        failed=True,
        result_renderer="disabled",
        on_failure="ignore",
        return_type="list",
        **options,
    )


def repair(lab: Lab) -> None:
    (lab.root / "repaired").touch()


@pytest.fixture
def failed(lab: Lab) -> tuple[Lab, str]:
    """A job that has failed, and its id."""
    return lab, a_failed_job(lab)


@pytest.fixture
def local_failed(local_lab: Lab, local_spool: Any) -> tuple[Lab, str]:
    return local_lab, a_failed_job(local_lab)


def a_failed_job(lab: Lab) -> str:
    lab.script(FAILS_ONCE)
    (lab.root / "out").mkdir()
    job = lab.schedule("sbatch job.sh", outputs=["out/"])["slurm_job_id"]
    lab.wait()
    return str(job)


def test_a_failed_job_runs_again_as_the_same_job(failed: tuple[Lab, str]) -> None:
    lab, first = failed
    repair(lab)
    (again,) = retry(lab)
    assert again["status"] == "ok", text_of(again)
    second = again["slurm_job_id"]
    assert second != first
    assert (again["attempt"], again["slurm_job_ids"]) == (2, [first, second])
    assert f"attempt 2, after job {first} (FAILED (exit code 3" in text_of(again)
    assert ask_store(lab, "SELECT count(*) FROM jobs") == [(1,)]
    lab.wait()
    assert [*lab.listed()] == [second]
    # The old name still names the job.
    (done,) = lab.finish(first)
    assert done["status"] == "ok", text_of(done)
    assert (done["slurm_job_id"], done["attempt"]) == (second, 2)
    assert (lab.root / "out" / "tries").read_text().split() == [first, second]
    logs = {f"slurm-{first}.out", f"slurm-{second}.out", f"slurm-job-{second}.env.json"}
    assert lab.committed() == {"out/tries", "out/made", *logs}
    record = record_of(lab)
    assert record["slurm_job_id"] == int(second)
    (before,) = record["hpc"]["attempts"]
    assert before["job_id"] == first
    assert before["state"] == "FAILED"
    assert before["failure"] == {"cause": "exit-code", "exit_code": 3}
    assert before["elapsed"] is not None
    facts = json.loads((lab.root / f"slurm-job-{second}.env.json").read_text())
    assert [each["job_id"] for each in facts["attempts"]] == [first]
    assert lab.changes().split() == ["??", "repaired"]
    # The record is one like any other.
    (rerun,) = lab.reschedule()
    assert rerun["status"] == "ok", text_of(rerun)


def test_nothing_has_failed(local_lab: Lab) -> None:
    (said,) = retry(local_lab)
    assert said["status"] == "notneeded"
