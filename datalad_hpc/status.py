"""What a scheduler says of a job and its tasks, and how it recognises them.

Times are timezone-aware UTC, durations are seconds and sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

NEVER = "DependencyNeverSatisfied"
"""Slurm's word for a task that waits for what cannot come any more: the reason begins with it."""

OUT_OF_MEMORY = "OutOfMemory"
"""Slurm's reason for a task that was ended for its memory."""


class Phase(str, Enum):
    """All that the stories need to know of a scheduler's state."""

    LIVE = "live"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskStatus:
    """What the scheduler said of one task.

    Numbers are trusted with an ended phase only; ``None`` means "not told".
    """

    index: int | None
    """The array index; ``None`` for a plain job."""
    state: str
    """The scheduler's own word, such as ``RUNNING`` or ``OUT_OF_MEMORY``."""
    phase: Phase
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    elapsed: float | None = None
    """Seconds of wall time."""
    cpu_time: float | None = None
    """Seconds of processor time, user and system."""
    peak_memory: int | None = None
    """Bytes, the largest of the task's steps."""
    nodes: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    expected: datetime | None = None
    """When it is to start as things are; of a task that waits."""
    job_id: str = ""
    """Which of the jobs of a submission program it belongs to; empty for any other."""
    number: int | None = None
    """Its place among the tasks of all these jobs, whose indices may be the same."""
    missing: tuple[str, ...] = ()
    """Declared outputs that it had to make and that are not there; no scheduler knows of them."""


@dataclass(frozen=True)
class JobStatus:
    """What the scheduler said of one job: a status per task, and facts of the job."""

    job_id: str
    tasks: tuple[TaskStatus, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Name, partition, what was asked for, and the like; JSON values only."""
    identity: dict[str, str] = field(default_factory=dict)
    """User, group and account: kept apart, since they are recorded on request only."""

    @property
    def phase(self) -> Phase:
        """Live while any task is, completed when all tasks are, failed otherwise."""
        if len(self.tasks) == 1:
            return self.tasks[0].phase
        phases = {task.phase for task in self.tasks}
        if Phase.LIVE in phases or not phases:
            return Phase.LIVE
        return Phase.FAILED if Phase.FAILED in phases else Phase.COMPLETED


@dataclass(frozen=True)
class Submission:
    """What a scheduler answered to an accepted submission."""

    job_id: str
    cluster: str = ""


@dataclass(frozen=True)
class JobKey:
    """How a scheduler recognises one of our jobs.

    Ids come around again after years, so the token that was handed over with
    the submission and its time go with the id.
    """

    job_id: str
    cluster: str
    token: str
    """Empty for a job that was not submitted by us: the time alone has to tell."""
    submitted: datetime
    tasks: tuple[int, ...] | None = None
    """The array indices that were asked for; ``None`` for a plain job."""
