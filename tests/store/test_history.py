"""Jobs that are over, and what is kept of their tasks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from datalad_hpc.job import JobState
from datalad_hpc.status import Phase, Submission, TaskStatus
from datalad_hpc.store import Store
from datalad_hpc.store.history import all_jobs, ends_of
from tests.store.conftest import NewJob

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


def test_what_is_kept_of_a_task_is_told_again(store: Store, new_job: NewJob) -> None:
    plain, array = store.reserve(new_job("a")), store.reserve(new_job("b"))
    one = TaskStatus(
        None,
        "COMPLETED",
        Phase.COMPLETED,
        elapsed=1.5,
        nodes="n1",
        started=NOON,
        ended=NOON + timedelta(seconds=1.5),
    )
    bad = TaskStatus(3, "TIMEOUT", Phase.FAILED, "TimeLimit", exit_code=0, signal=15)
    store.closed(plain, [one], "a test")
    store.closed(array, [bad], "a test")
    ends = ends_of(store, [plain.key, array.key])
    assert ends[plain.key].tasks == (one,)
    assert ends[array.key].tasks == (bad,)


def test_tasks_of_members_keep_their_job_and_index(store: Store, new_job: NewJob) -> None:
    job = store.reserve(new_job("a"))
    tasks = [
        TaskStatus(index, "COMPLETED", Phase.COMPLETED, job_id=job_id, number=number)
        for number, (job_id, index) in enumerate([("7", 0), ("7", 1), ("8", None)])
    ]
    store.closed(job, tasks, "a test")
    told = ends_of(store, [job.key])[job.key].tasks
    assert told == tuple(tasks)


def test_of_a_job_that_goes_on_nothing_is_kept(store: Store, new_job: NewJob) -> None:
    job = store.reserve(new_job("a"))
    assert ends_of(store, [job.key])[job.key].tasks == ()
    assert ends_of(store, []) == {}


def test_jobs_of_any_state_are_told_since_a_time(store: Store, new_job: NewJob) -> None:
    early = store.reserve(new_job("a", created=NOON - timedelta(days=2)))
    late = store.reserve(new_job("b", created=NOON - timedelta(days=2), submitted=NOON))
    store.opened(late, Submission("12"), ())
    store.move(early, JobState.REFUSED, note="a test")
    assert [job.key for job in all_jobs(store)] == [early.key, late.key]
    assert [job.key for job in all_jobs(store, NOON)] == [late.key]
    assert all_jobs(store, NOON + timedelta(seconds=0.1)) == []
