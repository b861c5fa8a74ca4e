"""From the layout of one version to that of the next; the caller has the transaction.

In SQL of their own: the tables that the other modules know are those of the newest version.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from datalad_hpc.claims import stem_of
from datalad_hpc.store import rows


def migrate(connection: Connection, version: int) -> None:
    """Bring a store of an older version to the newest one, step by step."""
    for step in MIGRATIONS[version - 1 :]:
        step(connection)


def _add_stems(connection: Connection) -> None:
    """Version 2 finds claims by their stems; those of jobs that are over have none."""
    connection.exec_driver_sql("ALTER TABLE claims ADD COLUMN stem TEXT DEFAULT ''")
    connection.exec_driver_sql("UPDATE claims SET stem = NULL")
    held = connection.exec_driver_sql(
        "SELECT claims.key, path, kind FROM claims JOIN jobs ON jobs.key = claims.job "
        "WHERE jobs.state IN ('reserved', 'submitting', 'open')"
    ).all()
    stems = [(stem_of(rows.claim_of(path, kind)), key) for key, path, kind in held]
    if stems:
        connection.exec_driver_sql("UPDATE claims SET stem = ? WHERE key = ?", stems)
    connection.exec_driver_sql(
        "CREATE INDEX claims_by_stem ON claims (stem) WHERE stem IS NOT NULL"
    )


def _know_tasks(_connection: Connection) -> None:
    """Version 3 tells of outputs of tasks, which an older program cannot read; nothing moves."""


def _know_sweeps(connection: Connection) -> None:
    """Version 4 commits the tasks of a sweep one by one, and knows files of jobs."""
    for table, column in (("jobs", "batch"), ("tasks", "standing"), ("tasks", "ref")):
        connection.exec_driver_sql(
            f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT ''"
        )
    connection.exec_driver_sql("CREATE INDEX jobs_by_batch ON jobs (batch) WHERE batch != ''")


def _know_cancellations(connection: Connection) -> None:
    """Version 5 remembers whom the user cancelled, and what was asked for and used."""
    for table, column, default in (
        ("jobs", "cancelled", ""),
        ("jobs", "facts", "{}"),
        ("tasks", "cancelled", ""),
    ):
        connection.exec_driver_sql(
            f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT '{default}'"
        )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _add_stems,
    _know_tasks,
    _know_sweeps,
    _know_cancellations,
)
"""The first leads from version 1 to version 2, and so on."""
