"""A value that a job may have several of: its earlier submissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from datalad_hpc.status import TaskStatus


@dataclass(frozen=True)
class Attempt:
    """One submission of a job that was submitted again since, or of some of its tasks."""

    job_id: str
    """The scheduler's id."""
    cluster: str
    token: str
    submitted: datetime
    replaced: datetime
    """When the next attempt was begun."""
    tasks: tuple[int, ...] | None
    """Array indices that it was submitted for; ``None`` for a plain job."""
    submit_line: tuple[str, ...] = ()
    script: str = ""
    """Text of its batch script."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """As :attr:`.Request.resources` at that time."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """What it asked the cluster for, wherever that was said; options by long name."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its scheduler said of it as a whole, when it was tried again."""
    head: str = ""
    """As :attr:`.Job.head` at that time."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """As :attr:`.Job.environment` at that time."""
    ended: tuple[TaskStatus, ...] = ()
    """How those of its tasks ended that were tried again."""

    def had(self, task: int | None) -> bool:
        """Whether it was submitted for a task; a plain job has the task ``None``."""
        return self.tasks is None or task in self.tasks
