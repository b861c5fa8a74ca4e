"""The three tables, and the version of their layout."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, text

SCHEMA_VERSION = 5
"""Kept in SQLite's ``user_version``; a change of the tables below raises it by one and
needs a migration."""

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("key", Integer, primary_key=True),
    # Empty for a store inside its dataset; the dataset's Git folder for a shared store.
    Column("scope", Text, nullable=False),
    Column("token", String(32), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("scheduler", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Column("submitted", String(32)),
    Column("command", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("message", Text, nullable=False),
    # The rest of the request and of the submission, as one JSON object.
    Column("details", Text, nullable=False),
    # Never filled in: earlier attempts are in the details. SQLite cannot drop a key of this kind.
    Column("attempt_of", Integer, ForeignKey("jobs.key")),
    Column("commit", String(64), nullable=False),
    Column("ref", Text, nullable=False),
    Column("note", Text, nullable=False),
    # Which line of which file of jobs it is from; empty for jobs that were scheduled alone.
    Column("batch", Text, nullable=False, server_default=""),
    # When the user asked for its end; empty where nobody did.
    Column("cancelled", Text, nullable=False, server_default=""),
    # What the scheduler said of the whole job at its end, as one JSON object.
    Column("facts", Text, nullable=False, server_default="{}"),
    Index("jobs_by_state", "scope", "state"),
    Index("jobs_by_id", "scope", "job_id"),
    Index("jobs_by_batch", "batch", sqlite_where=text("batch != ''")),
)

tasks = Table(
    "tasks",
    metadata,
    Column("job", Integer, ForeignKey("jobs.key"), primary_key=True),
    # -1 is the one task of a plain job.
    Column("number", Integer, primary_key=True),
    Column("sweep_values", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    # Of the tasks of sweeps, which are committed one by one: the state as in jobs, and the ref.
    Column("standing", Text, nullable=False, server_default=""),
    Column("ref", Text, nullable=False, server_default=""),
    # Likewise, when the user asked for its end.
    Column("cancelled", Text, nullable=False, server_default=""),
)

claims = Table(
    "claims",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("job", Integer, ForeignKey("jobs.key"), nullable=False),
    Column("task", Integer),
    Column("path", Text, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("role", String(8), nullable=False),
    # See claims.stem_of; NULL once the job is over. What an older program puts in while its store
    # is migrated under its feet is near to all paths.
    Column("stem", Text, server_default=""),
    Index("claims_by_job", "job"),
    Index("claims_by_stem", "stem", sqlite_where=text("stem IS NOT NULL")),
)
