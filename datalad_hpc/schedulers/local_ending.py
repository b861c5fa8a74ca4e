"""Tasks of the local scheduler that are to end: they are told, and then made to."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace

from datalad_hpc.schedulers.local_job import Event, Wish
from datalad_hpc.schedulers.local_tasks import alive, birth, lost
from datalad_hpc.schedulers.people import user_of

GRACE = 5.0
"""Seconds between the signal that a task may heed and the one that it cannot; KillWait in Slurm."""


class Ending:
    """Who was told to end, and when."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}

    def tell(self, start: Event) -> None:
        """Have a task end that runs, with all that it started; to be called until it has."""
        clock = time.monotonic()
        told = self._told.setdefault(start.pid, clock)
        if told == clock:
            # In this order, so that what was stopped does nothing else before.
            _signal(start, signal.SIGTERM)
            _signal(start, signal.SIGCONT)
        elif clock - told > GRACE:
            _signal(start, signal.SIGKILL)

    def forget(self, pid: int) -> bool:
        """Whether a task that has ended was told to."""
        return self._told.pop(pid, None) is not None


def _signal(start: Event, number: signal.Signals) -> None:
    if alive(start.pid, start.born):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(start.pid, number)


def cancelled(end: Event, wish: Wish) -> Event:
    """The end of a task that was cancelled; the words are Slurm's, but for a name."""
    return replace(end, state="CANCELLED", reason=f"by {user_of(str(wish.by))}")


def end_unseen(start: Event, wish: Wish | None) -> Event:
    """The end of a task that is gone, and of which nobody has the exit code.

    Parameters
    ----------
    wish:
      What of its job is to end, if anything is.
    """
    end = lost(start)
    if wish is None or not wish.covers(start.task):
        return end
    if not birth(start.pid):
        # The number is not another's: what is left of the group is the task's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(start.pid, signal.SIGKILL)
    return cancelled(end, wish)
