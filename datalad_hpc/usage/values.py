"""Pure: a job, or one task, with what it asked for and what it used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datalad_hpc.spent import Asked, Measured, Spent

COMPLETED = "COMPLETED"
OUT_OF_MEMORY = "OUT_OF_MEMORY"
TIMEOUT = "TIMEOUT"
"""States of which something follows for the next request; all schedulers spell them so."""


@dataclass(frozen=True)
class TaskUse:
    """What one task used."""

    index: int | None
    """``None`` for a plain job."""
    state: str
    """The scheduler's word."""
    measured: Measured
    commit: str = ""


@dataclass(frozen=True)
class JobUse:
    """What all tasks of one job used."""

    job_id: str
    scheduler: str
    command: str
    """As it was given; that of a sweep with its placeholders, where they are known."""
    asked: Asked
    """Of the job, or of each task."""
    spent: Spent
    states: Mapping[str, int]
    """How many tasks have which state."""
    commits: Sequence[str] = ()
    tasks: Sequence[TaskUse] = field(default=(), repr=False)
    """Empty where no more is known than the sum of them."""

    @classmethod
    def of(
        cls, job_id: str, scheduler: str, command: str, asked: Asked, tasks: Sequence[TaskUse]
    ) -> JobUse:
        """One of whose tasks all is known."""
        return cls(
            job_id,
            scheduler,
            command,
            asked,
            Spent.of(task.measured for task in tasks),
            Counter(task.state for task in tasks),
            tuple(dict.fromkeys(task.commit for task in tasks if task.commit)),
            tasks,
        )

    @property
    def number(self) -> int:
        """How many tasks it has."""
        return sum(self.states.values())

    def each_task(self) -> list[JobUse]:
        """Every task as a job of its own; the whole where they are not told apart."""
        if not any(task.index is not None for task in self.tasks):
            return [self]
        return [self._only(task) for task in self.tasks]

    def _only(self, task: TaskUse) -> JobUse:
        name = f"{self.job_id}_{task.index}"
        plain = [replace(task, index=None)]
        return JobUse.of(name, self.scheduler, self.command, self.asked, plain)

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it in plain numbers: seconds and bytes."""
        used = {
            **self.spent.as_json,
            "memory": self.spent.memory(self.asked),
            "cpu_efficiency": self.spent.cpu_efficiency(self.asked),
        }
        return {
            "slurm_job_id": self.job_id,
            "scheduler": self.scheduler,
            "command": self.command,
            "number_of_tasks": self.number,
            "states": dict(self.states),
            "asked": self.asked.as_json,
            "used": {name: value for name, value in used.items() if value is not None},
            "commits": list(self.commits),
        }
