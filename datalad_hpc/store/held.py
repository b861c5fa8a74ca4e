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
    select,
    text,
)

from datalad_hpc.claims import ClaimedPaths, shown, spans_near, stem_of
from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import OPEN_STATES, Claim
from datalad_hpc.store import rows
from datalad_hpc.store.tables import claims, jobs
from datalad_hpc.wording import MOST_SHOWN, some_of

OPEN = [state.value for state in OPEN_STATES]

_NEAR = text(
    """
    SELECT claims.path, claims.kind, jobs.job_id, jobs.token
    FROM wanted CROSS JOIN claims CROSS JOIN jobs
    WHERE claims.stem BETWEEN wanted.first AND wanted.last
    AND jobs.key = claims.job AND jobs.key != :but
    AND jobs.scope = :scope AND jobs.state IN :states
    """
).bindparams(bindparam("states", OPEN, expanding=True))
"""CROSS JOIN keeps SQLite to this order: it would start with all of the open jobs."""


def is_open(scope: str) -> ColumnElement[bool]:
    """Whether a job of the dataset is neither finished nor given up."""
    return and_(jobs.c.scope == scope, jobs.c.state.in_(OPEN))


def refuse_claimed(
    connection: Connection, scope: str, wanted: Sequence[Claim], *, but: int = 0
) -> None:
    """Raise if an open job, other than the one whose row is ``but``, holds a wanted path.

    Raises
    ------
    OutputsClaimed
      With all that are held, and by whom.
    """
    held = ClaimedPaths(
        (rows.claim_of(path, kind), rows.label_of(job_id, token))
        for path, kind, job_id, token in _claims_near(connection, scope, wanted, but)
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


def _claims_near(
    connection: Connection, scope: str, wanted: Iterable[Claim], but: int
) -> Sequence[Any]:
    spans = spans_near(map(stem_of, wanted))
    if spans == []:
        return []
    if spans is None:
        return connection.execute(_all_claims(scope, but)).all()
    # As rows they are looked up in one query, however many there are.
    connection.exec_driver_sql('CREATE TEMPORARY TABLE wanted ("first" TEXT, "last" TEXT)')
    connection.exec_driver_sql("INSERT INTO wanted VALUES (?, ?)", spans)
    found = connection.execute(_NEAR, {"scope": scope, "but": but}).all()
    connection.exec_driver_sql("DROP TABLE wanted")
    return found


def _all_claims(scope: str, but: int) -> Executable:
    return (
        select(claims.c.path, claims.c.kind, jobs.c.job_id, jobs.c.token)
        .join(jobs, jobs.c.key == claims.c.job)
        .where(is_open(scope), jobs.c.key != but)
    )
