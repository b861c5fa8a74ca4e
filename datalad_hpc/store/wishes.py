"""What the store keeps of the user's wish that jobs end."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import and_, bindparam, exists, update

from datalad_hpc.job import JobState, Unit
from datalad_hpc.store import rows
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.parts import OF, OF_TASK, for_each
from datalad_hpc.store.tables import jobs, tasks


def wish_end(store: Store, units: Collection[Unit], tokens: Mapping[int, str]) -> None:
    """Remember that the user asked for the end of jobs, and of tasks of sweeps.

    They stay open, and hold what they hold: the scheduler has yet to say that they ended.

    Parameters
    ----------
    tokens:
      Those of the jobs that the user meant, by their rows: nobody has asked for the end of what was
      submitted again meanwhile.
    """
    _put(store, units, tokens, rows.now().isoformat())


def forget_wish(store: Store, units: Collection[Unit], tokens: Mapping[int, str]) -> None:
    """The same taken back, where the scheduler refuses to end them."""
    _put(store, units, tokens, "")


def _put(store: Store, units: Collection[Unit], tokens: Mapping[int, str], when: str) -> None:
    if not units:
        return
    named = [(unit, {"of": unit.job, "of_token": tokens[unit.job]}) for unit in units]
    whole = [values for unit, values in named if unit.task is None]
    parts = [{**values, "of_task": unit.task} for unit, values in named if unit.task is not None]
    # Not of what somebody has finished meanwhile.
    is_same = and_(jobs.c.key == OF, jobs.c.token == bindparam("of_token"))
    of_job = and_(is_same, jobs.c.state == JobState.OPEN.value)
    of_part = and_(
        tasks.c.job == OF,
        tasks.c.number == OF_TASK,
        tasks.c.standing == JobState.OPEN.value,
        exists().where(is_same),
    )
    with store._writing() as connection:
        for_each(connection, update(jobs).where(of_job).values(cancelled=when), whole)
        for_each(connection, update(tasks).where(of_part).values(cancelled=when), parts)
