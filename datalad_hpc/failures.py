"""Why a task did not succeed, as data: decided from what its scheduler said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from datalad_hpc.status import Phase, TaskStatus

_BY_WHOM = re.compile(r"\bby (\S+?)(?:,|$)")


class Cause(str, Enum):
    """What kind of end it was."""

    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"
    NODE_FAILURE = "node-failure"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    DEADLINE = "deadline"
    DEPENDENCY = "dependency-never-satisfied"
    SIGNAL = "signal"
    EXIT_CODE = "exit-code"
    MISSING_OUTPUT = "missing-output"
    """It succeeded to its scheduler, but a declared output is not there."""
    UNKNOWN = "unknown"
    """It failed, and nobody can tell why any more."""


_OF_STATE = {
    "OUT_OF_MEMORY": Cause.OUT_OF_MEMORY,
    "TIMEOUT": Cause.TIMEOUT,
    "NODE_FAIL": Cause.NODE_FAILURE,
    "BOOT_FAIL": Cause.NODE_FAILURE,
    "CANCELLED": Cause.CANCELLED,
    "REVOKED": Cause.CANCELLED,
    "PREEMPTED": Cause.PREEMPTED,
    "DEADLINE": Cause.DEADLINE,
}
"""Of the words that tell all; see JOB STATE CODES in sacct(1)."""


@dataclass(frozen=True)
class Failure:
    """Why a task did not succeed."""

    cause: Cause
    exit_code: int | None = None
    """Of ``EXIT_CODE``."""
    signal: int | None = None
    """Of ``SIGNAL``."""
    by: str = ""
    """Of ``CANCELLED``: who did it, as the scheduler names people; empty where it does not say."""
    outputs: tuple[str, ...] = ()
    """Of ``MISSING_OUTPUT``: paths relative to the dataset's root."""

    @property
    def text(self) -> str:
        """In words: ``exit code 3``, ``cancelled by 1000``."""
        if self.cause is Cause.EXIT_CODE:
            return f"exit code {self.exit_code}"
        if self.cause is Cause.SIGNAL:
            return f"signal {self.signal}"
        words = self.cause.value.replace("-", " ")
        return f"{words} by {self.by}" if self.by else words

    @property
    def as_json(self) -> dict[str, Any]:
        """What tells, and no more: ``{"cause": "exit-code", "exit_code": 3}``."""
        told = {
            "exit_code": self.exit_code,
            "signal": self.signal,
            "by": self.by,
            "outputs": list(self.outputs),
        }
        return {
            "cause": self.cause.value,
            **{name: value for name, value in told.items() if value not in (None, "", [])},
        }


def failure_of(task: TaskStatus) -> Failure | None:
    """Why a task failed; ``None`` for one that did not, or that is not over."""
    if task.phase is not Phase.FAILED:
        return None
    cause = _OF_STATE.get(task.state)
    if cause is Cause.CANCELLED:
        whom = _BY_WHOM.search(task.reason)
        return Failure(cause, by=whom[1] if whom else "")
    if cause:
        return Failure(cause)
    if task.signal:
        return Failure(Cause.SIGNAL, signal=task.signal)
    if task.exit_code:
        return Failure(Cause.EXIT_CODE, exit_code=task.exit_code)
    return Failure(Cause.UNKNOWN)
