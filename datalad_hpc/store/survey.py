"""A look at a store as it is: nothing is made, migrated or changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from datalad_hpc.errors import StoreUnusable
from datalad_hpc.store.engine import connected, file_of, in_plain_words, reading
from datalad_hpc.store.tables import SCHEMA_VERSION, jobs

LARGEST_CHECKED = 64 * 2**20
"""Bytes of a store that is read as a whole: more would take seconds on a network's disk."""

SOUND = "ok"
"""What SQLite says of a file without damage."""


@dataclass(frozen=True)
class Survey:
    """What was seen."""

    layout: int
    """Version of its tables; 0 where it has none yet."""
    known: int
    """The version that this program writes."""
    states: Mapping[str, int]
    """How many jobs are in each state; nothing of a newer layout."""
    size: int
    """In bytes."""
    damage: str
    """What SQLite complains of; empty where it was not asked, or has found nothing."""
    is_checked: bool
    """Whether it was asked."""


def survey(url: str, scope: str, timeout: float) -> Survey:
    """Look at a store that exists.

    Parameters
    ----------
    timeout:
      Seconds to wait for another process that writes.

    Raises
    ------
    StoreUnusable
      It is locked for too long, cannot be read, or is no file.
    """
    if not file_of(url):
        raise StoreUnusable(f"The job store {url} is no file of SQLite and was not looked at")
    with (
        connected(url, timeout) as connection,
        in_plain_words(url, timeout),
        reading(connection),
    ):
        return _seen(connection, url, scope)


def _seen(connection: Connection, url: str, scope: str) -> Survey:
    layout = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    size = os.path.getsize(file_of(url))
    is_checked = size <= LARGEST_CHECKED
    told = SOUND
    if is_checked:
        told = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    states: dict[str, int] = {}
    if 0 < layout <= SCHEMA_VERSION and told == SOUND:
        query = select(jobs.c.state, func.count()).where(jobs.c.scope == scope)
        found = connection.execute(query.group_by(jobs.c.state)).all()
        states = {row[0]: row[1] for row in found}
    damage = "" if told == SOUND else told
    return Survey(layout, SCHEMA_VERSION, states, size, damage, is_checked)
