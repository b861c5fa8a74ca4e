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
    wish_end(store, [over.unit, still.unit])
    kept = store.jobs_of([over.key, still.key])
    assert [bool(job.cancelled) for job in kept] == [False, True]
    forget_wish(store, [still.unit])
    assert not store.jobs_of([still.key])[0].cancelled
