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


@contextlib.contextmanager
def following(label: str, unit: str) -> Iterator[Following]:
    """Show a bar for something that others do, for as long as the context lasts.

    On a terminal it is a bar; in a log there is a line whenever something has changed.
    """
    shown = Following(label, unit)
    try:
        yield shown
    finally:
        shown.end()


@dataclass
class Following:
    """How far something is that is looked at now and then."""

    label: str
    unit: str
    _last: tuple[int, int, str] | None = None

    def tell(self, done: int, total: int, states: str) -> bool:
        """Show how far it is; gives whether that is news.

        Parameters
        ----------
        states:
          What the rest is at, in few words.
        """
        now = (done, total, states)
        label = f"{self.label} ({states})" if states else self.label
        if self._last is None:
            self._say("Start", _UNSEEN, total=total, label=label, unit=self.unit, initial=done)
        changed = now != self._last
        text = f"{done} of {total}{self.unit.lower()} are over"
        text += f": {states}" * bool(states)
        self._say(
            text,
            None if changed else _UNSEEN,
            update=done,
            total=total,
            label=label,
            unit=self.unit,
        )
        self._last = now
        self.refresh()
        return changed

    def refresh(self) -> None:
        """Have the bar drawn again."""
        self._say("Refresh", _UNSEEN, maint="refresh")

    def end(self) -> None:
        """Take the bar away."""
        if self._last:
            self._say("Done", _UNSEEN)

    def _say(self, text: str, level: int | None, **what: object) -> None:
        from datalad.log import log_progress

        identity = f"hpc-{id(self)}"
        log_progress(lgr.info, identity, "%s", text, noninteractive_level=level, **what)


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
