"""Whether there is room to write: git-annex waits for ever where its database cannot grow."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from datalad_hpc.errors import CommitFailed

NEEDED = 2**18
"""Bytes that Git and git-annex need at the very least for what they write beside the outputs."""

PATIENCE = 10.0
"""Seconds without an answer after which it is looked whether room is the reason."""


def lacks_room(folder: Path) -> str:
    """Why a file cannot be written in a folder, be it a quota; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(NEEDED))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def require_room(folder: Path) -> None:
    """Refuse to begin what could not be brought to an end.

    Raises
    ------
    CommitFailed
      Nothing can be written.
    """
    if reason := lacks_room(folder):
        raise CommitFailed(
            f"Git can write nothing in {folder.parent.parent} ({reason}); no output was lost: put "
            "that right and run `datalad finish` again"
        )


@contextlib.contextmanager
def given_up_without_room(
    folder: Path, steps: Callable[[], int], stop: Callable[[], None]
) -> Iterator[None]:
    """Stop those who make no step any more, if there is no room left for them.

    Parameters
    ----------
    folder:
      Where they write.
    steps:
      How many steps they have made.
    stop:
      Stops them.
    """
    over = threading.Event()

    def watch() -> None:
        before = -1
        while not over.wait(PATIENCE):
            if steps() == before and lacks_room(folder):
                stop()
            before = steps()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
