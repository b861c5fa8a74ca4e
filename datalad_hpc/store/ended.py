"""How jobs and tasks have ended, for those who count rather than act: no claims, no requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, select, true

from datalad_hpc.collection import paused
from datalad_hpc.store import rows
from datalad_hpc.store.engine import readable
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.makers import in_chunks
from datalad_hpc.store.tables import jobs, tasks

_COLUMNS = (
    jobs.c.key,
    jobs.c.job_id,
    jobs.c.token,
    jobs.c.scheduler,
    jobs.c.command,
    jobs.c.facts,
    tasks.c.number,
    tasks.c.state,
    tasks.c.facts,
    tasks.c.commit,
)


@dataclass(frozen=True)
class EndedTask:
    """One row of the table ``tasks``."""

    index: int | None
    """``None`` for a plain job."""
    job_id: str
    """Which of the jobs of a submission program it belongs to; empty for any other."""
    state: str
    facts: Mapping[str, Any]
    commit: str


@dataclass(frozen=True)
class EndedJob:
    """A job, and those of its tasks whose end is known."""

    key: int
    label: str
    scheduler: str
    command: str
    facts: Mapping[str, Any]
    tasks: list[EndedTask] = field(default_factory=list)


def ended_jobs(store: Store, keys: Iterable[int] | None = None) -> list[EndedJob]:
    """Jobs of which some task has ended, oldest first.

    Parameters
    ----------
    keys:
      Rows of the jobs; all that there are if not given.
    """
    conditions = [true()] if keys is None else list(in_chunks(keys))
    with paused():
        return [job for condition in conditions for job in _ended(store, condition)]


def _ended(store: Store, condition: ColumnElement[bool]) -> Iterator[EndedJob]:
    query = (
        select(*_COLUMNS)
        .join(tasks, tasks.c.job == jobs.c.key)
        .where(condition, jobs.c.scope == store._scope, tasks.c.state != "")
        .order_by(tasks.c.job, tasks.c.number)
    )
    with store._reading() as connection, readable(store._url):
        found = connection.execute(query).all()
    for key, of_job in groupby(found, itemgetter(0)):
        told = list(of_job)
        _, job_id, token, scheduler, command, facts = told[0][:6]
        ended = [_task(tuple(row)) for row in told]
        label = rows.label_of(job_id, token)
        yield EndedJob(key, label, scheduler, command, json.loads(facts), ended)


def _task(row: Sequence[Any]) -> EndedTask:
    number, state, text, commit = row[6:]
    facts = json.loads(text)
    # Of a submission program the numbers go on from one job to the next.
    index = facts["index"] if "job_id" in facts else number
    return EndedTask(
        None if index == rows.PLAIN_TASK else index, facts.get("job_id", ""), state, facts, commit
    )
