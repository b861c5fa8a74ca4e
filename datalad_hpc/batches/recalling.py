"""A scheduler that is asked once for many lines of a batch, each of which waits for some job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from datalad_hpc.job import Job, JobState
from datalad_hpc.members import scheduler_keys
from datalad_hpc.schedulers.base import Handover, Scheduler
from datalad_hpc.status import JobKey, JobStatus, Submission
from datalad_hpc.store.rows import now

FRESH = 60.0
"""Seconds for which an answer is relied on. Slurm forgets ended jobs after 300, by default."""


class Recalling(Scheduler):
    """The answers of a scheduler about all open jobs, asked for when the first is needed.

    Nothing is told of jobs that were submitted after that: they can be waited for in any case.

    Parameters
    ----------
    scheduler:
      Who is asked.
    open_jobs:
      Gives the jobs that are open at that moment.
    """

    def __init__(self, scheduler: Scheduler, open_jobs: Callable[[], Iterable[Job]]) -> None:
        self.name = scheduler.name
        self._scheduler = scheduler
        self._open_jobs = open_jobs
        self._asked: dict[str, JobKey] = {}
        self._told: Mapping[str, JobStatus | None] = {}
        self._when = now()
        self._until = 0.0

    @classmethod
    def configured(cls, setting: Callable[[str], str]) -> Scheduler:
        """There is none without another scheduler; see the base class."""
        raise NotImplementedError

    def submit(self, handover: Handover) -> Submission:
        """See the base class."""
        return self._scheduler.submit(handover)

    def find(self, token: str, since: datetime) -> Submission | None:
        """See the base class."""
        return self._scheduler.find(token, since)

    def status(
        self, jobs: Sequence[JobKey], *, facts: bool = False
    ) -> Mapping[str, JobStatus | None]:
        """What was told, if that is not long ago; see the base class."""
        if time.monotonic() > self._until:
            self._ask()
        recalled = {key.job_id for key in jobs if self._asked.get(key.job_id) == key}
        others = [key for key in jobs if key.job_id not in recalled and key.submitted <= self._when]
        told = {name: self._told[name] for name in recalled if name in self._told}
        return {**told, **(self._scheduler.status(others, facts=facts) if others else {})}

    def _ask(self) -> None:
        keys = [
            key
            for job in self._open_jobs()
            if job.scheduler == self.name and job.state is JobState.OPEN
            for key in scheduler_keys(job)
        ]
        # Of two with the same id, which comes around again after years, the newer one.
        self._asked = {key.job_id: key for key in keys}
        self._when = now()
        self._told = self._scheduler.status([*self._asked.values()]) if keys else {}
        self._until = time.monotonic() + FRESH
