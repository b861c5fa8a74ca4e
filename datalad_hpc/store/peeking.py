"""A glance at a store for those who must not wait, and change nothing: not even its layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import select

from datalad_hpc.job import Job
from datalad_hpc.store.engine import connected, in_plain_words, readable, reading, store_exists
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.tables import SCHEMA_VERSION, jobs

PATIENCE = 0.5
"""Seconds to wait for somebody who writes."""


@contextlib.contextmanager
def peeked(url: str, scope: str) -> Iterator[Store | None]:
    """Open a store as it is; nothing where there is none, or one of another layout.

    Raises
    ------
    StoreUnusable
      It is locked, or cannot be read.
    """
    if not store_exists(url):
        yield None
        return
    with connected(url, PATIENCE) as connection:
        with in_plain_words(url, PATIENCE), reading(connection):
            layout = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        yield Store(connection, url, scope, PATIENCE) if layout == SCHEMA_VERSION else None


def newest_jobs(store: Store, number: int) -> list[Job]:
    """The jobs that were scheduled last, whatever became of them, oldest first."""
    query = select(jobs.c.key).where(jobs.c.scope == store._scope).order_by(jobs.c.key.desc())
    with store._reading() as connection, readable(store._url):
        keys = list(connection.execute(query.limit(number)).scalars())
    return store.jobs_of(keys)
