"""The queue knows some things more exactly than accounting."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from datalad_hpc.schedulers.slurm_exactness import is_inexact, made_exact
from datalad_hpc.status import JobStatus, Phase, TaskStatus

# The tests may run long after this was read.
NOW = datetime.now(timezone.utc) + timedelta(hours=2)
LONG_AGO = NOW - timedelta(hours=3)


def status(state: str, reason: str = "", **more: Any) -> JobStatus:
    phase = Phase.LIVE if state == "PENDING" else Phase.FAILED
    task = TaskStatus(index=None, state=state, phase=phase, reason=reason, **more)
    return JobStatus("7", (task,))


NEVER = "DependencyNeverSatisfied"


@pytest.mark.parametrize(
    ("told", "inexact"),
    [
        (status("PENDING", "Dependency"), True),
        (status("PENDING", "Resources"), False),
        (status("CANCELLED", "Dependency", ended=NOW), True),
        (status("CANCELLED", "Dependency", ended=LONG_AGO), False),
        (status("CANCELLED", "by ada, Dependency", ended=NOW), True),
        (status("CANCELLED", "by ada", ended=NOW), True),
        (status("CANCELLED", ended=NOW), True),
        (status("CANCELLED", "Resources", ended=NOW), False),
        (status("CANCELLED", ended=NOW, nodes="n1", elapsed=3.0), False),
        (status("FAILED", exit_code=3, ended=NOW), True),
        (status("FAILED", exit_code=3, ended=LONG_AGO), False),
    ],
)
def test_where_the_queue_is_asked_as_well(told: JobStatus, inexact: bool) -> None:
    assert is_inexact(told) is inexact


def test_who_was_cancelled_had_waited_in_vain() -> None:
    told = status("CANCELLED", "by ada, Dependency", ended=NOW)
    exact = made_exact(told, status("CANCELLED", NEVER))
    assert exact == status("CANCELLED", f"by ada, {NEVER}", ended=NOW)


def test_a_better_reason_of_accounting_stays() -> None:
    told = status("CANCELLED", "TimeLimit", ended=NOW)
    assert made_exact(told, status("CANCELLED", "None")) == told


def test_a_queue_that_has_forgotten_changes_nothing() -> None:
    told = status("CANCELLED", "by ada, Dependency", ended=NOW)
    assert made_exact(told, None) == told
    assert made_exact(told, JobStatus("7", ())) == told


def test_what_was_requeued_since_is_live() -> None:
    queued = status("PENDING", "JobHeldUser")
    assert made_exact(status("FAILED", exit_code=3, ended=NOW), queued) == queued


def test_who_cancelled_is_all_that_is_known() -> None:
    told = status("CANCELLED", "by ada", ended=NOW)
    assert made_exact(told, status("CANCELLED")) == told
