"""Values of the local scheduler: a job as it was submitted, and what became of its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from datalad_hpc.schedulers.arrays import array_indices, array_limit

ENDED_WELL = "COMPLETED"


@dataclass(frozen=True)
class LocalJob:
    """What was submitted: the contents of ``job.json``."""

    token: str
    name: str
    user: str
    group: str
    submitted: str
    """ISO 8601, UTC."""
    submit_folder: str
    folder: str
    """Absolute path of the folder where the tasks run."""
    arguments: tuple[str, ...] = ()
    array: str = ""
    """The array as it was asked for, such as ``1-9%2``; empty for a plain job."""
    output: str | None = None
    """Patterns of the log files and of the input, None where none was given."""
    error: str | None = None
    input: str | None = None
    append: bool = False
    """Whether logs are appended to."""
    dependency: str = ""
    cpus_per_task: str = ""
    requested: Mapping[str, str] = field(default_factory=dict)
    """Options by long name that say what it needs; see :mod:`datalad_hpc.requested`."""
    umask: int = 0o022
    job_id: int = 0

    @cached_property
    def indices(self) -> tuple[int | None, ...]:
        """The array index of each task, or a single None for a plain job."""
        return array_indices(self.array) if self.array else (None,)

    @cached_property
    def limit(self) -> int | None:
        """How many tasks of the array may run at a time."""
        return array_limit(self.array) if self.array else None


@dataclass(frozen=True)
class Wish:
    """That a job is to end, or some tasks of it: the contents of ``queue/ID.cancel``."""

    by: int
    """Number of the user who asked for it."""
    tasks: frozenset[int] | None = None
    """Array indices; None for the whole job."""

    @classmethod
    def of_us(cls, tasks: Iterable[int] | None) -> Wish:
        """What the user asks for whose process this is."""
        return cls(os.getuid(), None if tasks is None else frozenset(tasks))

    def covers(self, task: int | None) -> bool:
        """Whether a task is meant."""
        return self.tasks is None or task in self.tasks

    def joined(self, other: Wish | None) -> Wish:
        """This wish and an earlier one."""
        if other is None or self.tasks is None:
            return self
        if other.tasks is None:
            return other
        return Wish(self.by, self.tasks | other.tasks)


@dataclass(frozen=True)
class Event:
    """A task started or ended: one line of ``events.jsonl``."""

    task: int | None
    """The array index; None for a plain job."""
    time: str
    """ISO 8601, UTC."""
    pid: int = 0
    """Process of a task that started; 0 in the event of its end."""
    born: str = ""
    """What tells the process from a later one with the same number."""
    state: str = ""
    """How the task ended; empty in the event of its start."""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    elapsed: float | None = None
    """Seconds."""
    cpu_time: float | None = None
    """Seconds."""
    peak_memory: int | None = None
    """Bytes."""


@dataclass
class Progress:
    """How far the tasks of one job are."""

    indices: tuple[int | None, ...]
    started: dict[int | None, Event] = field(default_factory=dict)
    ended: dict[int | None, Event] = field(default_factory=dict)
    completed: int = 0
    ended_unstarted: int = 0

    def apply(self, event: Event) -> None:
        """Take note of an event."""
        if not event.state:
            self.started[event.task] = event
        elif event.task not in self.ended:
            self.ended[event.task] = event
            self.completed += event.state == ENDED_WELL
            self.ended_unstarted += event.task not in self.started

    @property
    def total(self) -> int:
        """Number of the job's tasks."""
        return len(self.indices)

    @property
    def over(self) -> bool:
        """Whether all tasks have ended."""
        return len(self.ended) == self.total

    @property
    def running(self) -> int:
        """How many tasks have started and not ended."""
        return len(self.started) + self.ended_unstarted - len(self.ended)

    @property
    def unended(self) -> list[Event]:
        """The start of each task that has not ended."""
        return [event for task, event in self.started.items() if task not in self.ended]

    @cached_property
    def _tasks(self) -> frozenset[int | None]:
        return frozenset(self.indices)

    def has(self, task: int | None) -> bool:
        """Whether the job has a task with this index (None: whether it is a plain job)."""
        return task in self._tasks
