"""What was asked for when a job was scheduled, for those who know its commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, select

from datalad_hpc.store import rows
from datalad_hpc.store.tables import jobs, tasks

Value = TypeVar("Value", int, str)

AT_ONCE = 500
"""How many values a statement has: SQLite has a limit, which used to be 999."""


def resources_of(
    connection: Connection, scope: str, commits: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """The resources of finished jobs, by commit; those that are not of this store are left out.

    Parameters
    ----------
    commits:
      Ids of jobs, by the commit that is said to be theirs.
    """
    job_of = {
        commit: key
        for ids in _chunks(commits.values())
        for commit, key in connection.execute(
            select(tasks.c.commit, jobs.c.key)
            .join(jobs, jobs.c.key == tasks.c.job)
            .where(jobs.c.scope == scope, jobs.c.job_id.in_(ids))
            .distinct()
        )
        if commit in commits
    }
    told = {
        key: rows.resources_of(details)
        for keys in _chunks(job_of.values())
        for key, details in connection.execute(
            select(jobs.c.key, jobs.c.details).where(jobs.c.key.in_(keys))
        )
    }
    return {commit: told[key] for commit, key in job_of.items()}


def _chunks(values: Iterable[Value]) -> Iterator[Sequence[Value]]:
    left = iter(dict.fromkeys(values))
    while chunk := list(islice(left, AT_ONCE)):
        yield chunk
