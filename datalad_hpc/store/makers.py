"""Which open jobs make what a new one reads: the cost is that of the claims near it, not of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, func, select

from datalad_hpc.errors import InputsClaimed
from datalad_hpc.job import Claim, Job, JobState
from datalad_hpc.reads import Reads
from datalad_hpc.store import rows
from datalad_hpc.store.held import claims_near
from datalad_hpc.store.tables import jobs

AT_ONCE = 500
"""How many values a statement has: SQLite has a limit, which used to be 999."""

GIVEN_UP = [JobState.CLOSED.value, JobState.REFUSED.value]


def in_chunks(keys: Iterable[int]) -> Iterator[ColumnElement[bool]]:
    """Conditions for the jobs of these rows, the lowest first."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), AT_ONCE):
        yield jobs.c.key.in_(ordered[start : start + AT_ONCE])


def makers(
    connection: Connection, scope: str, worktree: str, read: Sequence[Claim]
) -> frozenset[int]:
    """Rows of the open jobs that make what is read in a worktree.

    What a job of another worktree makes is not what has the same name in this one.
    """
    if not read:
        return frozenset()
    reads = Reads(read)
    found = {
        near.job
        for near in claims_near(connection, scope, read)
        if reads.meets(rows.claim_of(near.path, near.kind, near.role))
    }
    told = select(jobs.c.key, jobs.c.details)
    return frozenset(
        key
        for rows_of_some in in_chunks(found)
        for key, details in connection.execute(told.where(rows_of_some))
        if rows.worktree_of(details) == worktree
    )


def refuse_other_makers(
    connection: Connection, scope: str, job: Job, read: Sequence[Claim]
) -> None:
    """Raise if the jobs that make what this one reads are not those that it depends on.

    No cycle can come of that: jobs depend on older ones only, as the numbers of their rows tell.

    Raises
    ------
    InputsClaimed
      One was scheduled after somebody had looked for such jobs, or given up since.
    """
    if makers(connection, scope, job.worktree, read) - {*job.depends_on} or any(
        connection.execute(
            select(func.count()).where(rows_of_some, jobs.c.state.in_(GIVEN_UP))
        ).scalar_one()
        for rows_of_some in in_chunks(job.depends_on)
    ):
        raise InputsClaimed(
            "jobs that make an input were scheduled or given up just now; run the same command "
            "again"
        )
