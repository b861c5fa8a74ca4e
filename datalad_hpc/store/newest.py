"""The newest job that is over."""

from __future__ import annotations

from sqlalchemy import and_, func, select

from datalad_hpc.job import Job, JobState
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.tables import jobs

_OVER = (JobState.FINISHED.value, JobState.CLOSED.value)


def newest_over(store: Store) -> Job | None:
    """The job that was scheduled last, of those that are finished or given up."""
    is_over = and_(jobs.c.scope == store._scope, jobs.c.state.in_(_OVER))
    with store._reading() as connection:
        key = connection.execute(select(func.max(jobs.c.key)).where(is_over)).scalar()
    return next(iter(store.jobs_of([key] if key is not None else [])), None)
