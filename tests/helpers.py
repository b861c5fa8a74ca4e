"""What more than one test module needs and is no fixture."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)


def wait_for(
    condition: Callable[[], object], timeout: float = 60, interval: float = 0.05
) -> object:
    """Ask again and again until the answer is true.

    Parameters
    ----------
    condition:
      What is asked.
    timeout:
      Seconds after which the test fails.
    interval:
      Seconds between two questions.

    Returns
    -------
    object
      The answer.
    """
    end = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{condition} did not come true within {timeout:g} seconds")
        time.sleep(interval)
    return answer


def git_says(folder: Path, *arguments: str) -> str:
    """What a Git command prints; the test fails with the command."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def soak(ordinary: Number, many: Number) -> Number:
    """A number for every day, or the one for ``make soak``, which has all the time."""
    return many if os.environ.get("DATALAD_HPC_SOAK") else ordinary
