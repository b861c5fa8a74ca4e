"""How far long work is, shown by DataLad's own progress bars."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

lgr = logging.getLogger("datalad.hpc.progress")

INTERVAL = 0.1
"""Seconds between two updates: each costs as much as a small file."""

_UNSEEN = 5
"""Log level of what is of use to a bar only."""


@contextlib.contextmanager
def showing(label: str, unit: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar for as long as the context lasts.

    Parameters
    ----------
    label:
      What is done.
    unit:
      What is counted, with a blank before it.
    total:
      How many there are.

    Yields
    ------
    callable
      To be called after each of them, from any thread.
    """
    bar = _Bar(label, unit, total)
    bar.tell("Start: %s", total=total, label=label, unit=unit)
    try:
        yield bar.step
    finally:
        bar.flush()
        bar.tell("Done: %s")


@dataclass
class _Bar:
    label: str
    unit: str
    total: int
    _steps: int = 0
    _shown: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self) -> None:
        """Count one more."""
        with self._lock:
            self._steps += 1
            if time.monotonic() - self._shown >= INTERVAL:
                self.flush()

    def flush(self) -> None:
        """Show what was counted since the last time."""
        if self._steps:
            self.tell("Done so far: %s", update=self._steps, increment=True)
        self._steps, self._shown = 0, time.monotonic()

    def tell(self, text: str, **what: object) -> None:
        """Tell DataLad, which does not write it to a log that is no terminal."""
        from datalad.log import log_progress

        identity = f"hpc-{id(self)}"
        log_progress(lgr.info, identity, text, self.label, noninteractive_level=_UNSEEN, **what)
