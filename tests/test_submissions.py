"""The lock that says that somebody is at work on a submission."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc import submissions
from datalad_hpc.claims import claim_for
from datalad_hpc.job import Job, JobState
from datalad_hpc.status import Submission
from datalad_hpc.store import open_store, rows
from datalad_hpc.submissions import settle_submissions, submission_lock
from datalad_hpc.workplace import Workplace
from tests.jobs import a_job


@dataclass
class Place:
    """As much of a workplace as a lock needs."""

    local_state: Path


@dataclass
class Jobs:
    """A store, at the moment when it was asked and later."""

    unsettled: list[Job] = field(default_factory=list)
    state: JobState = JobState.OPEN

    def unsettled_jobs(self) -> list[Job]:
        return self.unsettled

    def state_of(self, _job: Job) -> JobState:
        return self.state

    def move(self, _job: Job, state: JobState, *, note: str) -> None:
        self.state = state


def settle(place: Place, jobs: Jobs | None = None) -> None:
    settle_submissions(place, jobs or Jobs(), None, None, None)  # type: ignore[arg-type]


def test_a_lock_that_nobody_holds_is_removed(tmp_path: Path) -> None:
    (tmp_path / "submission-left.lock").touch()
    (tmp_path / "jobs.db").touch()
    settle(Place(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]


def test_a_lock_that_is_held_stays(tmp_path: Path) -> None:
    with submission_lock(Place(tmp_path), "mine"):  # type: ignore[arg-type]
        settle(Place(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["submission-mine.lock"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", [JobState.OPEN, JobState.SUBMITTING])
def test_a_job_that_was_submitted_since_the_store_was_asked_is_left_alone(
    tmp_path: Path, state: JobState
) -> None:
    """Its process has let the lock go by now, which does not mean that it had died."""
    jobs = Jobs([a_reserved_job()], state)
    settle(Place(tmp_path), jobs)
    assert jobs.state is state
    assert list(tmp_path.iterdir()) == []


def test_a_job_whose_process_died_is_released(tmp_path: Path) -> None:
    (tmp_path / "submission-mine.lock").touch()
    jobs = Jobs([a_reserved_job()], JobState.RESERVED)
    settle(Place(tmp_path), jobs)
    assert jobs.state is JobState.REFUSED
    assert list(tmp_path.iterdir()) == []


def a_reserved_job() -> Job:
    """Prepared outside of the dataset, so that nothing is to be put back."""
    job = replace(a_job(1), token="mine", state=JobState.RESERVED)
    return replace(job, request=replace(job.request, alternative="/elsewhere"))


def test_a_lock_that_was_removed_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take it for left behind between its making and its locking."""
    path, real = tmp_path / "submission-mine.lock", fcntl.flock
    tries = []

    def flock(descriptor: int, operation: int) -> None:
        tries.append(descriptor)
        if len(tries) == 1:
            path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(submissions.fcntl, "flock", flock)
    with submission_lock(Place(tmp_path), "mine") as descriptor:  # type: ignore[arg-type]
        assert os.path.samestat(os.fstat(descriptor), path.stat())
    assert len(tries) == 2


def unsettled(output: str, state: JobState) -> Job:
    """A job that is being submitted at this moment."""
    token = secrets.token_hex(8)
    claims = (claim_for(output),)
    return a_job(0, token=token, state=state, job_id="", created=rows.now(), claims=claims)


@pytest.mark.parametrize("state", [JobState.RESERVED, JobState.SUBMITTING])
def test_a_job_that_was_submitted_while_another_was_looked_for_stays(
    dataset: Dataset, state: JobState
) -> None:
    """Its process was at work when the list was made, and at the end when it came to its turn."""
    workplace = Workplace.of(dataset, "test")
    asked = []
    with open_store(workplace.store_url) as store, contextlib.ExitStack() as at_work:
        lost = store.reserve(unsettled("a", JobState.SUBMITTING))
        busy = store.reserve(unsettled("b", state))
        at_work.enter_context(submission_lock(workplace, busy.token))

        class Slow:
            def find(self, token: str, _since: datetime) -> Submission | None:
                asked.append(token)
                if token == lost.token:
                    store.opened(busy, Submission("7"), ())
                    at_work.close()
                return None

        named: Any = {"slurm": Slow()}
        settle_submissions(workplace, store, named.get, lambda *_: (), lambda _: False)
        assert asked == [lost.token]
        assert [(job.job_id, job.state) for job in store.open_jobs()] == [("7", JobState.OPEN)]
