"""The job that ended last, and how the tasks of one did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select

from datalad_hpc.job import Job, JobState
from datalad_hpc.status import Phase, TaskStatus
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.rows import PLAIN_TASK
from datalad_hpc.store.tables import jobs, tasks

_OVER = (JobState.FINISHED.value, JobState.CLOSED.value)


def newest_over(store: Store) -> Job | None:
    """The job that was scheduled last, of those that are finished or given up."""
    is_over = and_(jobs.c.scope == store._scope, jobs.c.state.in_(_OVER))
    with store._reading() as connection:
        key = connection.execute(select(func.max(jobs.c.key)).where(is_over)).scalar()
    return next(iter(store.jobs_of([key] if key is not None else [])), None)


def ended_tasks(store: Store, job: Job) -> tuple[TaskStatus, ...]:
    """How tasks of a job ended, of those whose end is known: of a sweep also while it is open."""
    query = select(tasks.c.number, tasks.c.state, tasks.c.facts)
    query = query.where(tasks.c.job == job.key, tasks.c.state != "").order_by(tasks.c.number)
    with store._reading() as connection:
        found = connection.execute(query).all()
    return tuple(_task(number, state, json.loads(facts)) for number, state, facts in found)


def _task(number: int, state: str, facts: Mapping[str, Any]) -> TaskStatus:
    """The task that columns of its row stand for, as :func:`.rows.end_of` made them."""
    of_member = "job_id" in facts
    index = None if number == PLAIN_TASK else number
    return TaskStatus(
        index=facts["index"] if of_member else index,
        state=state,
        phase=Phase.COMPLETED if state == "COMPLETED" else Phase.FAILED,
        reason=facts.get("reason", ""),
        exit_code=facts.get("exit_code"),
        signal=facts.get("signal"),
        elapsed=facts.get("elapsed"),
        cpu_time=facts.get("cpu_time"),
        peak_memory=facts.get("peak_memory"),
        nodes=facts.get("nodes", ""),
        started=_time(facts.get("started")),
        ended=_time(facts.get("ended")),
        job_id=facts.get("job_id", ""),
        number=number if of_member else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
