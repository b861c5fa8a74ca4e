"""Who holds a path that a job wants: the cost is that of the claims near it, not of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    and_,
    bindparam,
    not_,
    select,
    text,
)

from datalad_hpc.claims import ClaimedPaths, shown, spans_near, stem_of
from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import OPEN_STATES, Claim, Unit
from datalad_hpc.store import rows
from datalad_hpc.store.tables import claims, jobs
from datalad_hpc.wording import MOST_SHOWN, some_of

OPEN = [state.value for state in OPEN_STATES]

NOBODY = Unit(0)

_NEAR = text(
    """
    SELECT claims.path, claims.kind, claims.role, jobs.key AS job, jobs.job_id, jobs.token
    FROM wanted CROSS JOIN claims CROSS JOIN jobs
    WHERE claims.stem BETWEEN wanted.first AND wanted.last
    AND jobs.key = claims.job
    AND NOT (jobs.key = :but AND (:but_task IS NULL OR claims.task IS :but_task))
    AND jobs.scope = :scope AND jobs.state IN :states
    """
).bindparams(bindparam("states", OPEN, expanding=True))
"""CROSS JOIN keeps SQLite to this order: it would start with all of the open jobs."""


def is_open(scope: str) -> ColumnElement[bool]:
    """Whether a job of the dataset is neither finished nor given up."""
    return and_(jobs.c.scope == scope, jobs.c.state.in_(OPEN))


def refuse_claimed(
    connection: Connection, scope: str, wanted: Sequence[Claim], *, but: Unit = NOBODY
) -> None:
    """Raise if an open job, or open task of a sweep, other than ``but`` holds a wanted path.

    Raises
    ------
    OutputsClaimed
      With all that are held, and by whom.
    """
    held = ClaimedPaths(
        (rows.claim_of(near.path, near.kind), rows.label_of(near.job_id, near.token))
        for near in claims_near(connection, scope, wanted, but)
    )
    conflicts = [(claim, held.holder(claim)) for claim in wanted]
    texts = [f"{shown(claim)} (job {holder})" for claim, holder in conflicts if holder]
    if texts:
        holders = dict.fromkeys(holder for _, holder in conflicts if holder)
        named = f" {' '.join(holders)}" if len(holders) <= MOST_SHOWN else ""
        raise OutputsClaimed(
            f"open jobs hold {some_of(texts)}; finish them first (`datalad finish{named}`), or "
            "choose other outputs"
        )


def claims_near(
    connection: Connection, scope: str, wanted: Iterable[Claim], but: Unit = NOBODY
) -> Sequence[Any]:
    """Claims of open jobs that may meet wanted paths, with who holds them."""
    spans = spans_near(map(stem_of, wanted))
    if spans == []:
        return []
    if spans is None:
        return connection.execute(_all_claims(scope, but)).all()
    # As rows they are looked up in one query, however many there are.
    connection.exec_driver_sql('CREATE TEMPORARY TABLE wanted ("first" TEXT, "last" TEXT)')
    connection.exec_driver_sql("INSERT INTO wanted VALUES (?, ?)", spans)
    found = connection.execute(_NEAR, {"scope": scope, "but": but.job, "but_task": but.task}).all()
    connection.exec_driver_sql("DROP TABLE wanted")
    return found


def _all_claims(scope: str, but: Unit) -> Executable:
    own = claims.c.job == but.job
    if but.task is not None:
        own = and_(own, claims.c.task.is_not_distinct_from(but.task))
    # Those of a sweep's tasks that are over have no stem, though the job is open.
    return (
        select(
            *(claims.c.path, claims.c.kind, claims.c.role),
            *(jobs.c.key.label("job"), jobs.c.job_id, jobs.c.token),
        )
        .join(jobs, jobs.c.key == claims.c.job)
        .where(is_open(scope), claims.c.stem.is_not(None), not_(own))
    )
