"""What was asked for when a job was scheduled, for those who know its commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, func, select

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
    others = {commit: name for commit, name in commits.items() if commit not in job_of}
    earlier = _of_attempts(connection, scope, others) if others else {}
    return {**{commit: told[key] for commit, key in job_of.items()}, **earlier}


def _of_attempts(
    connection: Connection, scope: str, commits: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """The same for tasks of sweeps that were committed before others were tried again."""
    tried_again = select(jobs.c.key, jobs.c.details).where(
        jobs.c.scope == scope, func.instr(jobs.c.details, rows.ANY_ATTEMPT) > 0
    )
    found: dict[str, Mapping[str, str]] = {}
    for key, details in connection.execute(tried_again).all():
        of_ids = rows.resources_of_attempts(details)
        wanted = {commit: of_ids[name] for commit, name in commits.items() if name in of_ids}
        for some in _chunks(wanted):
            own = select(tasks.c.commit).where(tasks.c.job == key, tasks.c.commit.in_(some))
            found |= {commit: wanted[commit] for commit in connection.execute(own).scalars()}
    return found


def _chunks(values: Iterable[Value]) -> Iterator[Sequence[Value]]:
    left = iter(dict.fromkeys(values))
    while chunk := list(islice(left, AT_ONCE)):
        yield chunk
