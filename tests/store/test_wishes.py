"""The user's wish that a job ends, as the store keeps it."""

from __future__ import annotations

from datalad_hpc.status import Submission
from datalad_hpc.store import Store
from datalad_hpc.store.wishes import forget_wish, wish_end
from tests.store.conftest import NewJob


def test_a_job_that_was_finished_meanwhile_has_no_wish(store: Store, new_job: NewJob) -> None:
    over, still = jobs = [store.reserve(new_job(name)) for name in ("a", "b")]
    for number, job in enumerate(jobs):
        store.opened(job, Submission(str(number)), ())
    store.finished([over.unit])
    tokens = {job.key: job.token for job in jobs}
    wish_end(store, [over.unit, still.unit], tokens)
    kept = store.jobs_of([over.key, still.key])
    assert [bool(job.cancelled) for job in kept] == [False, True]
    forget_wish(store, [still.unit], tokens)
    assert not store.jobs_of([still.key])[0].cancelled


def test_a_job_that_was_submitted_again_meanwhile_has_no_wish(
    store: Store, new_job: NewJob
) -> None:
    job = store.reserve(new_job("a"))
    store.opened(job, Submission("1"), ())
    wish_end(store, [job.unit], {job.key: "of an earlier submission"})
    assert not store.jobs_of([job.key])[0].cancelled
