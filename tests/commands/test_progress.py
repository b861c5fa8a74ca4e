"""Long work shows how far it is, and results come out as jobs are committed."""

from __future__ import annotations

import logging

import pytest

from datalad_hpc import progress
from datalad_hpc.finish import completing
from tests.commands.conftest import Lab

UPDATE = "dlm_progress_update"


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    local_lab.script("mkdir -p out/$1; for i in 1 2 3; do echo $1$i > out/$1/$i; done")
    return local_lab


def _schedule(lab: Lab, *names: str) -> None:
    for name in names:
        lab.schedule(f"sbatch job.sh {name}", outputs=[f"out/{name}/"])
    lab.wait()


@pytest.mark.parametrize(
    ("bound", "value"), [("BATCH_JOBS", 1), ("BATCH_FILES", 4), ("BATCH_BYTES", 1)]
)
def test_a_result_comes_as_soon_as_its_job_is_committed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(completing, bound, value)
    _schedule(lab, "a", "b", "c")
    before = int(lab.git("rev-list", "--count", "HEAD"))
    counts = [
        int(lab.git("rev-list", "--count", "HEAD")) - before
        for _ in lab.dataset.finish(
            return_type="generator", on_failure="ignore", result_renderer="disabled"
        )
    ]
    assert counts == [1, 2, 3]


def test_jobs_and_files_are_counted(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    _schedule(lab, "a", "b")
    caplog.set_level(logging.INFO, "datalad.hpc.progress")
    lab.finish()
    records = [record for record in caplog.records if hasattr(record, "dlm_progress")]
    started = {
        record.dlm_progress_label: record.dlm_progress_total
        for record in records
        if getattr(record, "dlm_progress_total", None) is not None
    }
    # Three files, a log and the scheduler's facts of each job; the latter are written later.
    assert started == {"Finishing jobs": 2, "Hashing outputs": 10}
    for label, total in started.items():
        assert _told_of(records, label) == total


def _told_of(records: list[logging.LogRecord], label: str) -> int:
    of_bar = {record.dlm_progress for record in records
              if getattr(record, "dlm_progress_label", "") == label}  # type: ignore[attr-defined]  # fmt: skip
    return sum(
        getattr(record, UPDATE, None) or 0
        for record in records
        if record.dlm_progress in of_bar  # type: ignore[attr-defined]
    )


def test_a_bar_is_not_told_of_each_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "datalad.hpc.progress")
    with progress.showing("Trying", " Things", 10_000) as step:
        for _ in range(10_000):
            step()
    updates = [getattr(record, UPDATE, None) for record in caplog.records]
    told = [update for update in updates if update]
    assert sum(told) == 10_000
    assert len(told) < 100
