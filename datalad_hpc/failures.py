"""Why a task did not succeed, as data: decided from what its scheduler said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from datalad_hpc.status import NEVER, OUT_OF_MEMORY, JobStatus, Phase, TaskStatus
from datalad_hpc.wording import ranges

BY_WHOM = re.compile("^by (.+?)(?:, |$)")
"""How the reason of a cancelled task begins where its scheduler tells who did it."""

NOT_STARTED = "it did not start"
"""How the local scheduler's reason begins where it could not start a script."""


MOST_OUTPUTS = 100
"""How many missing outputs of an array's tasks a record names; of more it has the tasks."""


class Cause(str, Enum):
    """What kind of end it was."""

    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"
    NODE_FAILURE = "node-failure"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    DEADLINE = "deadline"
    DEPENDENCY = "dependency-never-satisfied"
    LAUNCH = "launch-failure"
    """The scheduler could not start it: a log that cannot be opened, a script that cannot run."""
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

_OF_SLURMD = {
    42: "its script could not be written on the node",
    46: "its environment could not be made",
    48: "its user is not known on the node",
    52: "its script could not be executed",
    53: "its log could not be opened, or its folder is not there",
    54: "the prolog of its node failed",
}
"""What Slurm shows as a signal where slurmd itself failed: its numbers of errors from 4000 on
(slurm_errno.h), of which seven bits are left."""

_SHELLS = 128
"""A shell adds it to the signal that has ended its command."""

_LAST_SIGNAL = 31
"""Of those that end programs; the real-time signals above do not."""


@dataclass(frozen=True)
class Failure:
    """Why a task did not succeed."""

    cause: Cause
    exit_code: int | None = None
    """Of ``EXIT_CODE``, of ``SIGNAL`` where a shell told of it, and of ``LAUNCH``."""
    signal: int | None = None
    """Of ``SIGNAL`` and, where it stands for an error of Slurm's, of ``LAUNCH``."""
    by: str = ""
    """Of ``CANCELLED`` and ``DEPENDENCY``: who ended it, as the scheduler names people; empty
    where it does not say, or did so itself."""
    outputs: tuple[str, ...] = ()
    """Of ``MISSING_OUTPUT``: paths relative to the dataset's root."""

    @property
    def text(self) -> str:
        """In words: ``exit code 3``, ``cancelled by alice``."""
        if self.cause is Cause.EXIT_CODE:
            return f"exit code {self.exit_code}"
        if self.cause is Cause.SIGNAL:
            shells = f" (exit code {self.exit_code})" if self.exit_code else ""
            return f"signal {self.signal}{shells}"
        words = self.cause.value.replace("-", " ")
        if self.signal in _OF_SLURMD:
            return f"not started: {_OF_SLURMD[self.signal]}"
        return f"{words} by {self.by}" if self.by and self.cause is Cause.CANCELLED else words

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
    if task.phase is Phase.COMPLETED and task.missing:
        return Failure(Cause.MISSING_OUTPUT, outputs=task.missing)
    if task.phase is not Phase.FAILED:
        return None
    cause = _OF_STATE.get(task.state)
    if cause is Cause.CANCELLED:
        whom = BY_WHOM.search(task.reason)
        cause = Cause.DEPENDENCY if NEVER in task.reason else cause
        return Failure(cause, by=whom[1] if whom else "")
    return Failure(cause) if cause else _of_end(task)


def _of_end(task: TaskStatus) -> Failure:
    """Of a task whose state says no more than that it failed."""
    if task.reason == OUT_OF_MEMORY:
        return Failure(Cause.OUT_OF_MEMORY)
    if task.signal in _OF_SLURMD or task.reason.startswith(NOT_STARTED):
        return Failure(Cause.LAUNCH, task.exit_code or None, task.signal)
    if task.signal:
        return Failure(Cause.SIGNAL, signal=task.signal)
    if task.exit_code and _SHELLS < task.exit_code <= _SHELLS + _LAST_SIGNAL:
        return Failure(Cause.SIGNAL, task.exit_code, task.exit_code - _SHELLS)
    if task.exit_code:
        return Failure(Cause.EXIT_CODE, exit_code=task.exit_code)
    return Failure(Cause.UNKNOWN)


def whom_of(task: TaskStatus) -> str:
    """With what a task's reason begins where one has ended it; empty where it does not say."""
    whom = BY_WHOM.match(task.reason)
    return f"by {whom[1]}, " if whom else ""


def trouble_of(task: TaskStatus) -> Failure | None:
    """The same, also of a task that is not over, but waits for what cannot come any more."""
    if task.phase is Phase.LIVE and task.reason.startswith(NEVER):
        return Failure(Cause.DEPENDENCY)
    return failure_of(task)


def failure_fields(
    status: JobStatus,
    *,
    of_tasks: bool,
    kept: Callable[[Failure], Failure] = lambda failure: failure,
) -> dict[str, Any]:
    """Fields of a result or a record with the failures of a job; none where nothing failed.

    Parameters
    ----------
    of_tasks:
      Whether the job has tasks or members, so that the field is the list ``failures``: an entry
      for each kind of failure and, for members, of each, with the indices in ``tasks``. Otherwise
      it is the object ``failure``.
    kept:
      What of a failure is told.
    """
    groups: dict[tuple[str, Failure], list[TaskStatus]] = {}
    for task in status.tasks:
        if found := trouble_of(task):
            alike = (task.job_id, replace(kept(found), outputs=()))
            groups.setdefault(alike, []).append(task)
    told = [_entry(job_id, failure, tasks) for (job_id, failure), tasks in groups.items()]
    if not told:
        return {}
    return {"failures": told} if of_tasks else {"failure": told[0]}


def recorded_failures(
    status: JobStatus, *, of_tasks: bool, kept: Callable[[Failure], Failure]
) -> dict[str, Any]:
    """The same for a record, which names no more than :data:`MOST_OUTPUTS` missing outputs."""
    fields = failure_fields(status, of_tasks=of_tasks, kept=kept)
    for entry in fields.get("failures", fields.values()):
        if len(entry.get("outputs", ())) > MOST_OUTPUTS:
            del entry["outputs"]
    return fields


def _entry(job_id: str, failure: Failure, tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    outputs = dict.fromkeys(path for task in tasks for path in task.missing)
    indices = [task.index for task in tasks if task.index is not None]
    return {
        **replace(failure, outputs=tuple(outputs)).as_json,
        **({"job_id": job_id} if job_id else {}),
        **({"tasks": ranges(indices)} if indices else {}),
    }


def without_name(failure: Failure, owner: str) -> Failure:
    """A failure in which nobody is named: what is told is in which role one has ended a job.

    Parameters
    ----------
    owner:
      Name of the job's user; empty where it is not known.
    """
    if failure.by in ("", "root"):
        return failure
    other = "another user" if owner else ""
    return replace(failure, by="owner" if failure.by == owner else other)
