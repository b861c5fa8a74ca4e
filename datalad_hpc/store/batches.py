"""What the store knows of the lines of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, select

from datalad_hpc.job import Job, JobState
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.tables import jobs

_LINE, _AFTER_LINE = ":", ";"
"""What stands between a batch and the number of a line, and the character that follows it."""
_VALUES = "/"
"""What stands before the number of values of a sweep."""


def line_mark(batch: str, line: int, values: int = 0) -> str:
    """How a job is marked that a line of a batch asked for.

    Parameters
    ----------
    values:
      How many tasks the line's sweep has; it may take several arrays.
    """
    return f"{batch}{_LINE}{line}" + f"{_VALUES}{values}" * bool(values)


def is_whole(of_line: Sequence[Job]) -> bool:
    """Whether nothing is missing of what a line asked for."""
    if not of_line:
        return False
    values = of_line[-1].batch.partition(_VALUES)[2]
    return sum(len(job.parts) for job in of_line) >= int(values or 0)


def newest_key(store: Store) -> int:
    """The highest number of a row so far."""
    with store._reading() as connection:
        return connection.execute(select(func.max(jobs.c.key))).scalar_one() or 0


def jobs_of_batch(store: Store, batch: str, above: int) -> dict[int, list[Job]]:
    """Jobs by the line that asked for them, but for those that the scheduler never accepted.

    Parameters
    ----------
    above:
      Only jobs count whose row has a higher number: an earlier run was another one.
    """
    found = store._jobs(
        and_(
            jobs.c.scope == store._scope,
            jobs.c.key > above,
            jobs.c.state != JobState.REFUSED.value,
            # Said for SQLite, whose index holds no others.
            jobs.c.batch != "",
            jobs.c.batch.between(batch + _LINE, batch + _AFTER_LINE),
        )
    )
    of_lines: dict[int, list[Job]] = {}
    for job in found:
        line = job.batch.removeprefix(batch + _LINE).partition(_VALUES)[0]
        of_lines.setdefault(int(line), []).append(job)
    return of_lines
