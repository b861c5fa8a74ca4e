"""What the store keeps of jobs that are over."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from datalad_hpc.collection import paused
from datalad_hpc.job import Job
from datalad_hpc.status import JobStatus, TaskStatus
from datalad_hpc.store import rows
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.makers import in_chunks
from datalad_hpc.store.tables import jobs, tasks


def all_jobs(store: Store, since: datetime | None = None) -> list[Job]:
    """All jobs of the dataset that were ever kept, oldest first.

    Parameters
    ----------
    since:
      Only those that were submitted then or later, in UTC; of a job that never was it counts when
      that was tried.
    """
    condition = jobs.c.scope == store._scope
    if since:
        # Times are kept as ISO texts in UTC, whose order is theirs.
        condition &= func.coalesce(jobs.c.submitted, jobs.c.created) >= since.isoformat()
    return store._jobs(condition)


def ends_of(store: Store, keys: Collection[int]) -> Mapping[int, JobStatus]:
    """How the tasks of jobs have ended, by number of the job's row, with the facts of the job.

    Tasks of which nothing is kept, since they have not ended or nobody knew how, are left out.
    """
    facts: dict[int, dict[str, Any]] = {}
    ended: dict[int, list[TaskStatus]] = defaultdict(list)
    of_job = select(jobs.c.key, jobs.c.facts)
    of_task = select(tasks.c.job, tasks.c.number, tasks.c.state, tasks.c.facts)
    of_task = of_task.join(jobs, jobs.c.key == tasks.c.job).where(tasks.c.state != "")
    with paused(), store._reading() as connection:
        for some in in_chunks(keys):
            for key, text in connection.execute(of_job.where(some)):
                facts[key] = json.loads(text)
            found = connection.execute(of_task.where(some).order_by(tasks.c.job, tasks.c.number))
            for job, number, state, text in found:
                ended[job].append(rows.ended_task(number, state, text))
    return {key: JobStatus("", tuple(ended[key]), facts[key]) for key in facts}
