"""Tasks as they are kept: with their job's end, or one by one where they are parts of a sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from datalad_hpc.job import JobState, Part, Unit
from datalad_hpc.status import TaskStatus
from datalad_hpc.store import rows
from datalad_hpc.store.tables import claims, jobs, tasks

OF: BindParameter[int] = bindparam("of")
"""The row of the job that a statement is about."""

OF_TASK: BindParameter[int] = bindparam("of_task")

OPEN = JobState.OPEN.value

_IS_IT = and_(tasks.c.job == OF, tasks.c.number == OF_TASK)

_OVER = select(tasks.c.number).where(
    tasks.c.job == OF,
    # Not as a list, which no statement for many rows can have.
    or_(tasks.c.standing == JobState.FINISHED.value, tasks.c.standing == JobState.CLOSED.value),
)

NOT_OVER = or_(claims.c.task.is_(None), claims.c.task.not_in(_OVER))
"""Of claims: those of the whole job, and of its tasks that are not finished or given up."""

_FREE = (
    update(claims)
    .where(claims.c.job == OF, claims.c.stem.is_not(None), claims.c.task.in_(_OVER))
    .values(stem=None)
)
"""One look at a sweep's claims, however many of its tasks are over."""


def for_each(
    connection: Connection, statement: Executable, values: Sequence[Mapping[str, Any]]
) -> None:
    """Run a statement once for each of many values, all of which the driver gets at once."""
    if values:
        connection.execute(statement, values)


def insert_parts(
    connection: Connection, key: int, values: Sequence[Mapping[str, str]]
) -> tuple[Part, ...]:
    """Keep the tasks of a sweep that is new, the job's row being ``key``."""
    numbered = list(enumerate(values))
    for_each(connection, insert(tasks), [rows.part_row(key, *each) for each in numbered])
    return tuple(Part(index, values=of_task) for index, of_task in numbered)


def read_parts(
    connection: Connection, condition: ColumnElement[bool]
) -> Mapping[int, Sequence[Sequence[Any]]]:
    """What :func:`.rows.part_of` takes of each task of the sweeps that are meant, by job."""
    query = (
        select(
            tasks.c.job,
            tasks.c.number,
            tasks.c.sweep_values,
            tasks.c.standing,
            tasks.c.commit,
            tasks.c.ref,
            tasks.c.cancelled,
        )
        .join(jobs, jobs.c.key == tasks.c.job)
        .where(condition, tasks.c.standing != "")
        .order_by(tasks.c.job, tasks.c.number)
    )
    of_job: dict[int, list[Sequence[Any]]] = defaultdict(list)
    for job, *columns in connection.execute(query):
        of_job[job].append(columns)
    return of_job


def keep_tasks(
    connection: Connection,
    ended: Mapping[Unit, tuple[Sequence[TaskStatus], str]],
    left_out: Mapping[Unit, Collection[int]] = MappingProxyType({}),
) -> None:
    """Keep how tasks ended, with the commit that covers them, in the place of what was kept.

    The one task of a part is kept where its values stand.
    """
    whole = {unit: end for unit, end in ended.items() if unit.task is None}
    for_each(
        connection, delete(tasks).where(tasks.c.job == OF), [{"of": unit.job} for unit in whole]
    )
    values = [
        rows.task_row(unit.job, task, "" if task.index in left_out.get(unit, ()) else commit)
        for unit, (of_job, commit) in whole.items()
        for task in of_job
    ]
    for_each(connection, insert(tasks), values)
    of_parts = [
        {**_named(unit), **rows.end_of(of_part[0]), "commit": commit}
        for unit, (of_part, commit) in ended.items()
        if unit.task is not None and of_part
    ]
    for_each(connection, update(tasks).where(_IS_IT), of_parts)


def plan_refs(connection: Connection, refs: Mapping[Unit, str]) -> None:
    """Remember which refs the commits of parts are meant for."""
    for_each(
        connection,
        update(tasks).where(_IS_IT),
        [{**_named(unit), "ref": ref} for unit, ref in refs.items() if unit.task is not None],
    )


def end_parts(
    connection: Connection, units: Iterable[Unit], standing: JobState
) -> dict[int, JobState]:
    """Have parts of sweeps be over, and set their claims free.

    Returns
    -------
    dict
      The sweeps of which no part is open any more, by row, with the state that is theirs now.
    """
    parts = [unit for unit in units if unit.task is not None]
    ending = update(tasks).where(_IS_IT, tasks.c.standing == OPEN).values(standing=standing.value)
    for_each(connection, ending, [_named(unit) for unit in parts])
    sweeps = dict.fromkeys(unit.job for unit in parts)
    for_each(connection, _FREE, [{"of": sweep} for sweep in sweeps])
    standings = {sweep: _standings(connection, sweep) for sweep in sweeps}
    return {
        sweep: JobState.FINISHED if JobState.FINISHED.value in found else JobState.CLOSED
        for sweep, found in standings.items()
        if OPEN not in found
    }


def _named(unit: Unit) -> dict[str, Any]:
    return {"of": unit.job, "of_task": unit.task}


def _standings(connection: Connection, sweep: int) -> Collection[str]:
    query = select(tasks.c.standing).distinct().where(tasks.c.job == sweep)
    return connection.execute(query).scalars().all()
