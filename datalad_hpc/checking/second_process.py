"""Run as a program of its own: tries the locks on three files that another process may hold.

Its only argument is their folder. It prints what it could lock, as JSON, and changes nothing.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path


def try_all(folder: Path) -> dict[str, str]:
    """What became of each try: ``taken``, ``denied``, or what the system said."""
    tries: dict[str, Callable[[], None]] = {
        "sqlite": lambda: _sqlite(folder / "sqlite"),
        "fcntl": lambda: _lock(folder / "fcntl", fcntl.lockf),
        "flock": lambda: _lock(folder / "flock", fcntl.flock),
    }
    return {name: _outcome(attempt) for name, attempt in tries.items()}


def _outcome(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except BlockingIOError:
        return "denied"
    except PermissionError:
        # Some systems say so of an fcntl lock that another process holds (man page fcntl(2)).
        return "denied"
    except (OSError, sqlite3.Error) as error:
        return "denied" if "locked" in str(error) else str(error)
    return "taken"


def _lock(path: Path, take: Callable[[int, int], None]) -> None:
    with path.open("r+b") as file:
        take(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sqlite(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_all(Path(sys.argv[1]))))
