"""From one state to another: of jobs, and of the tasks of sweeps, whose job follows the last."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Text, bindparam, or_, update

from datalad_hpc.job import Job, JobState, Unit
from datalad_hpc.members import ATTEMPT
from datalad_hpc.status import TaskStatus
from datalad_hpc.store.parts import NOT_OVER, OF, end_parts, for_each, keep_tasks, plan_refs
from datalad_hpc.store.tables import claims, jobs

End = tuple[Job, Sequence[TaskStatus], str]
"""A job or a part, its tasks as the scheduler reported them, and why it was given up."""


def put(connection: Connection, keys: Iterable[int], state: JobState, **values: Any) -> None:
    """Put jobs into a state; those that are over are found by no stem any more."""
    changed = [{"of": key} for key in keys]
    job = update(jobs).where(jobs.c.key == OF).values(state=state.value, **values)
    held = update(claims).where(claims.c.job == OF)
    if state.holds_claims:
        # Should it have been over: near to all paths is never wrong. Tasks of a sweep stay over.
        held = held.where(claims.c.stem.is_(None), NOT_OVER).values(stem="")
    else:
        held = held.where(claims.c.stem.is_not(None)).values(stem=None)
    for_each(connection, job, changed)
    for_each(connection, held, changed)


def plan(
    connection: Connection,
    planned: Mapping[Unit, tuple[str, str]],
    ended: Mapping[Unit, Sequence[TaskStatus]],
    left_out: Mapping[Unit, Collection[int]],
    facts: Mapping[Unit, Mapping[str, Any]],
) -> None:
    """Keep the planned commits of jobs and parts, and how they and their tasks have ended."""
    plans = [
        {"of": unit.job, "commit": commit, "ref": ref}
        for unit, (commit, ref) in planned.items()
        if unit.task is None
    ]
    for_each(connection, update(jobs).where(jobs.c.key == OF), plans)
    plan_refs(connection, {unit: ref for unit, (_, ref) in planned.items()})
    ends = {unit: (ended[unit], commit) for unit, (commit, _) in planned.items()}
    keep_tasks(connection, ends, left_out)
    keep_facts(connection, facts)


def finish(connection: Connection, units: Collection[Unit]) -> None:
    """Have jobs and parts be over with a commit."""
    put(connection, [unit.job for unit in units if unit.task is None], JobState.FINISHED)
    for sweep, state in end_parts(connection, units, JobState.FINISHED).items():
        put(connection, [sweep], state)


def close(
    connection: Connection, ends: Sequence[End], facts: Mapping[Unit, Mapping[str, Any]]
) -> None:
    """Have jobs and parts be over without a commit; of a sweep all parts that are open."""
    for job, _, note in ends:
        if not job.parts:
            put(connection, [job.key], JobState.CLOSED, note=note)
    told = [(job, ended) for job, ended, _ in ends if job.is_part or not job.parts]
    keep_tasks(connection, {job.unit: (ended, "") for job, ended in told})
    keep_facts(connection, facts)
    parts = [Unit(job.key, part.index) for job, _, _ in ends for part in job.open_parts]
    notes = {job.key: note for job, _, note in ends}
    for sweep, state in end_parts(connection, parts, JobState.CLOSED).items():
        put(connection, [sweep], state, note=notes[sweep])


def keep_facts(connection: Connection, facts: Mapping[Unit, Mapping[str, Any]]) -> None:
    """Keep what the scheduler said of whole jobs.

    Where it said nothing, or spoke of an earlier attempt, all stays.
    """
    # Parts of a sweep tell the same.
    told = {(unit.job, each.get(ATTEMPT)): each for unit, each in facts.items() if each}
    values = [
        {"of": key, "about": about, "told": json.dumps(each)} for (key, about), each in told.items()
    ]
    about: BindParameter[str | None] = bindparam("about", type_=Text)
    statement = (
        update(jobs)
        .where(jobs.c.key == OF, or_(about.is_(None), jobs.c.job_id == about))
        .values(facts=bindparam("told"))
    )
    for_each(connection, statement, values)
