"""What a file system really does: tried in a folder of our own, which goes at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datalad_hpc import process
from datalad_hpc.errors import ProcessFailed

PATIENCE = 10.0
"""Seconds for a second process to try three locks."""

WORKS = "works"

OTHER_PROGRAM = Path(__file__).with_name("second_process.py")

CLOSE = ("fcntl", "flock")


@dataclass
class Trials:
    """What was found out in a folder."""

    locks: dict[str, str] = field(default_factory=dict)
    """Of ``sqlite``, ``fcntl`` and ``flock``: :data:`WORKS`, or what is wrong."""
    features: dict[str, bool] = field(default_factory=dict)
    """Whether there are symbolic links, hard links and a bit for programs."""
    clock: float = 0.0
    """Seconds by which the times of new files are ahead of our clock."""


def try_out(folder: Path) -> Trials:
    """Try all in a folder below the one that is given.

    Raises
    ------
    OSError
      Nothing can be written there.
    """
    place = Path(tempfile.mkdtemp(prefix="hpc-check-", dir=folder))
    try:
        return Trials(_locks(place), _features(place), _clock(place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _locks(place: Path) -> dict[str, str]:
    """Whether each lock that we hold keeps a second process away, and lets it in afterwards."""
    ours: dict[str, str] = {}
    with contextlib.ExitStack() as held:
        for name, hold in (("sqlite", _sqlite), *((name, _held(name)) for name in CLOSE)):
            try:
                held.enter_context(hold(place / name))
            except (OSError, sqlite3.Error) as error:
                ours[name] = str(error)
        during = _second_process(place)
    after = _second_process(place)
    names = ("sqlite", *CLOSE)
    return {name: ours.get(name) or _verdict(during[name], after[name]) for name in names}


def _verdict(during: str, after: str) -> str:
    if (during, after) == ("denied", "taken"):
        return WORKS
    if during == "taken":
        return "two programs got it at once"
    return "it stays taken when it was given back" if after == "denied" else after


def _second_process(place: Path) -> dict[str, str]:
    argv = [sys.executable, "-I", "-S", str(OTHER_PROGRAM), str(place)]
    try:
        tried: dict[str, str] = json.loads(process.check(argv, folder="/", timeout=PATIENCE).text)
    except (ProcessFailed, ValueError) as error:
        return dict.fromkeys(("sqlite", *CLOSE), str(error))
    return tried


@contextlib.contextmanager
def _sqlite(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("CREATE TABLE tried (it)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO tried VALUES (1)")
        yield
        connection.execute("COMMIT")
    finally:
        connection.close()


def _held(name: str) -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    take = {"fcntl": fcntl.lockf, "flock": fcntl.flock}[name]

    @contextlib.contextmanager
    def hold(path: Path) -> Iterator[None]:
        with path.open("wb") as file:
            take(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    return hold


def _features(place: Path) -> dict[str, bool]:
    plain = place / "plain"
    plain.touch(mode=0o600)

    def is_program() -> None:
        plain.chmod(0o700)
        plain.chmod(0o600)
        if plain.stat().st_mode & 0o100:
            raise OSError("the bit cannot be taken away")

    tries: dict[str, Callable[[], Any]] = {
        "symbolic_links": lambda: (place / "symlink").symlink_to("plain"),
        "hard_links": lambda: os.link(plain, place / "hard"),
        "execute_bit": is_program,
    }
    return {name: _succeeds(attempt) for name, attempt in tries.items()}


def _succeeds(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _clock(place: Path) -> float:
    new = place / "new"
    before = time.time()
    new.touch()
    after, written = time.time(), new.stat().st_mtime
    # What lies between is the time that it took.
    return min(written - before, 0.0) if written < before else max(written - after, 0.0)
