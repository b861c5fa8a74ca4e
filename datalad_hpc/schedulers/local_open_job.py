"""What the dispatcher of the local scheduler has in hand: jobs that have not ended."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from datalad_hpc.schedulers.local_dependencies import parse_dependencies
from datalad_hpc.schedulers.local_job import Event, LocalJob, Progress, Wish


class OpenJob:
    """A job that has not ended, with what is still to be started of it."""

    def __init__(self, job: LocalJob, progress: Progress, environment: dict[str, str]) -> None:
        self.job = job
        self.progress = progress
        self.environment = environment
        self.dependencies = parse_dependencies(job.dependency)
        gone = progress.started.keys() | progress.ended.keys()
        self.waiting = deque(
            position for position, index in enumerate(job.indices) if index not in gone
        )

    @property
    def may_start(self) -> bool:
        """Whether the limit of the array lets another task run."""
        limit = self.job.limit
        return bool(self.waiting) and (limit is None or self.progress.running < limit)

    def drop(self, wish: Wish) -> list[int | None]:
        """Have the tasks of a wish wait no more; their indices."""
        meant = [at for at in self.waiting if wish.covers(self.job.indices[at])]
        gone = set(meant)
        self.waiting = deque(at for at in self.waiting if at not in gone)
        return [self.job.indices[at] for at in meant]


@dataclass(frozen=True)
class Running:
    """A task that runs."""

    open_job: OpenJob
    start: Event
    clock: float = 0.0
    """When it started, by the clock that is never set back."""
    floor: int = 0
    """Bytes that we had ourselves then: see :func:`.peak_memory`."""
