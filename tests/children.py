"""Calls in processes of their own: forks, since what is imported need not be imported again."""

from __future__ import annotations

import json
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Prepare = Callable[[int], None]
"""Is called in the new process, with a descriptor that may be told a last word."""


@dataclass(frozen=True)
class Outcome:
    """What became of a process."""

    killed: bool
    """Whether SIGKILL ended it."""
    last_word: str = ""
    """What it said before it was killed."""
    value: Any = None
    """What the call returned, as far as JSON has it."""


@dataclass
class Child:
    """A process that does one call."""

    pid: int
    _answers: int

    def outcome(self) -> Outcome:
        """Wait for its end; an error in the call fails the test."""
        with os.fdopen(self._answers, "rb") as answers:
            told = answers.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            return Outcome(killed=True, last_word=told.decode())
        failed, value = pickle.loads(told)
        assert not failed, value
        return Outcome(killed=False, value=value)


def start(call: Callable[[], Any], prepare: Prepare | None = None) -> Child:
    """Begin a call in a process of its own."""
    receiver, sender = os.pipe()
    with warnings.catch_warnings():
        # Threads of the test runner are of no use to the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(receiver)
        _be_the_child(call, prepare, sender)
    os.close(sender)
    return Child(child, receiver)


def _be_the_child(call: Callable[[], Any], prepare: Prepare | None, sender: int) -> None:
    failed, value = True, None
    try:
        if prepare:
            prepare(sender)
        value = json.loads(json.dumps(call(), default=str))
        failed = False
    except BaseException:  # noqa: BLE001 (the parent fails with it)
        value = traceback.format_exc()
    finally:
        with os.fdopen(sender, "wb") as answers:
            answers.write(pickle.dumps((failed, value)))
        os._exit(0)
