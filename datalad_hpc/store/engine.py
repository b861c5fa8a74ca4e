"""Opening a store: its version, its transactions, and its errors in plain words."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool

from datalad_hpc.errors import BadRequest, StoreUnusable
from datalad_hpc.store.migrations import migrate
from datalad_hpc.store.tables import SCHEMA_VERSION, metadata

WAYS_OUT = (
    "restore it from a backup, or move it away to start anew (jobs that are open run on, but are "
    "not tracked any more)"
)

LOCKED = "database is locked"

STEP = 0.5
"""Seconds that SQLite waits for a lock before we look whether we are to stop."""

COMPLAINTS = {
    LOCKED: "another process has kept it locked for {timeout:g} seconds",
    "not a database": f"the file is not a job store, or it is damaged; {WAYS_OUT}",
    "malformed": f"the file is damaged; {WAYS_OUT}",
    "readonly": "it cannot be written; check the permissions of the file and of its folder",
    "unable to open": "the file cannot be opened; check that its folder exists and is yours",
    "disk is full": "there is no room left on the disk; free some and try again",
    "disk I/O error": "the file system reports an error; check its state and quota",
    "no such table": f"it lacks a table and is damaged; {WAYS_OUT}",
    "decode to UTF-8": f"it holds what is no text and is damaged; {WAYS_OUT}",
}
"""What SQLite says, and what it means to the user."""


def parsed_url(url: str) -> URL:
    """What a URL says; an absolute path stands for a SQLite file, whatever characters it has."""
    return URL.create("sqlite", database=url) if url.startswith("/") else make_url(url)


def file_of(url: str) -> str:
    """Path of a SQLite store's file; empty for any other kind of store."""
    parsed = parsed_url(url)
    return (parsed.database or "") if parsed.get_backend_name() == "sqlite" else ""


def store_exists(url: str) -> bool:
    """Whether there is a store that could hold jobs; asks no server."""
    with in_plain_words(url, 0):
        path = file_of(url)
    return not path or os.path.exists(path)


@contextlib.contextmanager
def connected(url: str, timeout: float) -> Iterator[Connection]:
    """A connection to a store, for all transactions of a command.

    To open the file anew for each of them would cost dozens of metadata operations.
    """
    with in_plain_words(url, timeout):
        if (path := file_of(url)) and not os.path.exists(path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            # Whoever moved a store away wants a new one.
            _marker(path).unlink(missing_ok=True)
        connection = _engine(url, timeout).connect()
    try:
        yield connection
    finally:
        connection.close()


@cache
def _engine(url: str, timeout: float) -> Engine:
    """An engine whose transactions take SQLite's write lock at their start.

    The default of Python's driver is to begin late and to upgrade a read lock
    on the first write: two processes that both checked the claims would then
    both go on. SQLite stays in its rollback journal mode, since its newer
    write-ahead log needs shared memory, which network file systems lack.

    An engine holds no connection, and is kept for what it has learned: to work
    statements out takes longer than to execute them.
    """
    if not file_of(url):
        return create_engine(parsed_url(url), poolclass=NullPool)
    arguments = {"timeout": timeout, "isolation_level": None}
    engine = create_engine(parsed_url(url), poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "begin", partial(_begin, timeout))
    return engine


def _begin(timeout: float, connection: Connection) -> None:
    """Begin a transaction with the lock that it needs, and wait for it in small steps.

    SQLite itself would wait without an ear for Ctrl-C.
    """
    reads_only = connection.get_execution_options().get("reads_only")
    give_up = time.monotonic() + timeout
    _tell(connection, f"PRAGMA busy_timeout = {int(min(STEP, timeout) * 1000)}")
    while True:
        try:
            _tell(connection, "BEGIN" if reads_only else "BEGIN IMMEDIATE")
            if reads_only:
                # Its lock is taken with the first look at the file.
                _tell(connection, "PRAGMA schema_version")
            break
        except OperationalError as error:
            with contextlib.suppress(OperationalError):
                _tell(connection, "ROLLBACK")
            if LOCKED not in str(error.orig) or time.monotonic() > give_up:
                raise
    _tell(connection, f"PRAGMA busy_timeout = {int(timeout * 1000)}")


def _tell(connection: Connection, statement: str) -> None:
    """Execute a statement, the answer of which nobody wants.

    It has to be closed: a statement that was not read to its end keeps SQLite's read lock, even
    when its connection is closed, until Python collects it. The next command of this process
    would wait for that in vain.
    """
    connection.exec_driver_sql(statement).close()


def prepare_schema(connection: Connection, url: str, timeout: float) -> None:
    """Create the tables of a new store, migrate an older one, refuse one that is newer.

    Raises
    ------
    StoreUnusable
      The store is from a newer version, is empty though it had jobs, or cannot be read.
    """
    with in_plain_words(url, timeout):
        with reading(connection):
            is_ready = _version(connection, url) == SCHEMA_VERSION
        if not is_ready:
            _renew(connection, url)
        if path := file_of(url):
            _mark(_marker(path))


def _renew(connection: Connection, url: str) -> None:
    with writing(connection):
        # Another process may have done it while we waited for the lock.
        version = _version(connection, url)
        if version == 0:
            _refuse_emptied(url)
            metadata.create_all(connection)
        else:
            migrate(connection, version)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _refuse_emptied(url: str) -> None:
    """To SQLite an empty file is a new database; open jobs would be forgotten without a word."""
    if (path := file_of(url)) and _marker(path).exists():
        raise StoreUnusable(
            f"The job store {url} is empty, although jobs were kept in it, so it was cut off; "
            f"{WAYS_OUT}"
        )


def _marker(path: str) -> Path:
    """A file beside a store that says that the store has had its tables."""
    return Path(f"{path}-made")


def _mark(marker: Path) -> None:
    if not marker.exists():
        # A store that can only be read is good for reading.
        with contextlib.suppress(OSError):
            marker.touch()


def _version(connection: Connection, url: str) -> int:
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"The job store {url} was written by a newer version of datalad-hpc (layout "
            f"{version}, this one knows {SCHEMA_VERSION}); please upgrade"
        )
    return version


@contextlib.contextmanager
def reading(connection: Connection) -> Iterator[Connection]:
    """A transaction that only reads, and so works beside a writer that has not committed."""
    with connection.execution_options(reads_only=True).begin():
        yield connection


@contextlib.contextmanager
def writing(connection: Connection) -> Iterator[Connection]:
    """A transaction that nobody else writes beside."""
    with connection.execution_options(reads_only=False).begin():
        yield connection


@contextlib.contextmanager
def in_plain_words(url: str, timeout: float) -> Iterator[None]:
    """Turn what the database driver says into a sentence for the user."""
    try:
        yield
    except DBAPIError as error:
        raise StoreUnusable(_sentence(url, timeout, error.orig)) from error
    except (ArgumentError, NoSuchModuleError, ImportError, OSError) as error:
        raise StoreUnusable(_sentence(url, timeout, error)) from error
    except UnicodeEncodeError as error:
        raise BadRequest(f"{error.object!r} is not valid UTF-8 and cannot be kept") from error


@contextlib.contextmanager
def readable(url: str) -> Iterator[None]:
    """Rows that nobody can have written mean a damaged store."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise StoreUnusable(
            f"The job store {url} cannot be used: a job in it cannot be read, the file is damaged "
            f"({error}); {WAYS_OUT}"
        ) from error


def _sentence(url: str, timeout: float, error: Any) -> str:
    words = str(error)
    meaning = next((text for key, text in COMPLAINTS.items() if key in words), "")
    what, semicolon, way_out = meaning.format(timeout=timeout).partition(";")
    told = f"{what} ({words}){semicolon}{way_out}" if meaning else words
    return f"The job store {url} cannot be used: {told}"
