"""Signals that ask a command to stop: it stops where nothing is cut in half, and says how to go on.

Python raises an exception for Ctrl-C only, and does so anywhere. Here SIGTERM and
SIGHUP are the same as SIGINT while a command of the command line runs; and there
are moments in which a signal has to wait. Users of the Python interface keep
their handlers, but for SIGINT in such a moment.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec

lgr = logging.getLogger("datalad.hpc.interruption")

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the polite kill, and the end of the terminal."""

CUT_SHORT = "This moment must not be cut short; the command stops as soon as it is over"

P = ParamSpec("P")
Results = Generator[dict[str, Any], None, None]


class Interruption(KeyboardInterrupt):
    """A signal asked the command to stop.

    Parameters
    ----------
    number:
      The signal.
    reported:
      Whether all that was done has been reported: it waited for a result.
    """

    def __init__(self, number: int, *, reported: bool = False) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
        self.reported = reported
        self.done = ""
        """What was done until then, if a story tells; for people."""

    @property
    def exit_code(self) -> int:
        """What a shell tells of a program that a signal has ended."""
        return 128 + self.number


class _Watch:
    """What became of the signals of one command."""

    def __init__(self) -> None:
        self.waits = False
        """Whether a signal has to wait for the next result."""
        self.came = 0
        """The signal that came."""
        self.words = CUT_SHORT
        """What is said if one has to wait."""

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Be the handler of a signal: stop now, or as soon as that is possible."""
        if self.came:
            self._again(number)
            return
        self.came = number
        if not self.waits:
            raise Interruption(number)
        lgr.warning("%s (Ctrl-C again ends it at once)", self.words)

    @staticmethod
    def _again(number: int) -> None:
        """Who presses Ctrl-C twice does not want to wait; other signals come in pairs anyway."""
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


_watches: list[_Watch] = []
"""That of the command of the command line which is running, if any."""


def interruptible(command: Callable[P, Iterator[dict[str, Any]]]) -> Callable[P, Results]:
    """Turn signals into an :class:`Interruption` while a command of the command line runs.

    While a result is rendered a signal waits, and so it does after :func:`uncut`.
    """

    @functools.wraps(command)
    def stepwise(*args: P.args, **kwargs: P.kwargs) -> Results:
        results = command(*args, **kwargs)
        if _watches or not _is_command_line():
            yield from results
            return
        watch = _Watch()
        with _handling(watch, STOPPING):
            _watches.append(watch)
            try:
                yield from _stepped(results, watch)
            finally:
                _watches.remove(watch)

    return stepwise


def _stepped(results: Any, watch: _Watch) -> Results:
    """Hand results out one by one; after one of them a command is told of a signal that came."""
    told = False
    outcome = next(results, None)
    while outcome is not None:
        watch.waits = True
        yield outcome
        watch.waits = False
        if watch.came and not told:
            told = True
            outcome = _told(results, Interruption(watch.came, reported=True))
        else:
            outcome = next(results, None)


def _told(results: Any, stop: Interruption) -> dict[str, Any] | None:
    """What a command has to say that is told to stop; nothing if it had ended anyway."""
    try:
        said: dict[str, Any] = results.throw(stop)
    except (Interruption, StopIteration):
        return None
    return said


@contextlib.contextmanager
def uncut(words: str = CUT_SHORT) -> Iterator[Callable[[], int]]:
    """Let a signal wait: on the command line until the next result, else to the end of the block.

    Parameters
    ----------
    words:
      What is said of that when one comes.

    Yields
    ------
    Callable
      Gives the signal that came, 0 if none did, to who can bring the moment to an early end.

    Raises
    ------
    KeyboardInterrupt
      At the end, where there is no command line.
    """
    watch = _watches[-1] if _watches else _Watch()
    watch.waits, watch.words = True, words
    if _watches:
        yield lambda: watch.came
        return
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with _handling(watch, STOPPING[:1] if mine and _in_main_thread() else ()):
        yield lambda: watch.came
    if watch.came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Let a signal wait, to the end of the block on the command line too.

    Raises
    ------
    KeyboardInterrupt
      At the end, if one came.
    """
    watch = _watches[-1] if _watches else _Watch()
    try:
        with uncut():
            yield
    finally:
        watch.waits = False
    if watch.came:
        raise Interruption(watch.came)


@contextlib.contextmanager
def ending_with_us() -> Iterator[None]:
    """Programs that DataLad's own runners have started end when we are interrupted.

    Ctrl-C reaches them as well, but a signal that was sent to us does not. Only
    Linux tells which they are (proc(5)).
    """
    try:
        yield
    except KeyboardInterrupt:
        for child in _children_in_our_group():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        raise


def _children_in_our_group() -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, parent, group = status.read_text(errors="replace").rpartition(") ")[2].split()[:3]
            if (int(parent), int(group)) == (os.getpid(), os.getpgrp()):
                yield int(status.parent.name)


def _is_command_line() -> bool:
    import datalad

    return datalad.get_apimode() == "cmdline" and _in_main_thread()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _handling(watch: _Watch, numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Give signals to a watch; what is ignored (``nohup``, ``&`` in a script) stays so."""
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, watch)
    try:
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, old)
