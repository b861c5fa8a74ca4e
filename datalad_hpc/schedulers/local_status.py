"""What the spool of the local scheduler says of a job, in the words of the interface."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from datalad_hpc.outlook import Chance, Outlook
from datalad_hpc.requested import requested_by
from datalad_hpc.schedulers.local_dependencies import SINGLETON, Verdict, parse_dependencies
from datalad_hpc.schedulers.local_ending import end_unseen
from datalad_hpc.schedulers.local_job import LocalJob, Progress
from datalad_hpc.schedulers.local_spool import Spool
from datalad_hpc.schedulers.local_tasks import PARTITION, alive, host
from datalad_hpc.status import JobStatus, Phase, TaskStatus

PHASES = {
    "PENDING": Phase.LIVE,
    "RUNNING": Phase.LIVE,
    "COMPLETED": Phase.COMPLETED,
    "FAILED": Phase.FAILED,
    "CANCELLED": Phase.FAILED,
    "NODE_FAIL": Phase.FAILED,
}

OUTLOOKS = {
    "Dependency": Outlook(Chance.WAITS, "waits for another job"),
    "JobArrayTaskLimit": Outlook(Chance.WAITS, "waits for other tasks of its array"),
    "Resources": Outlook(Chance.WAITS, "waits for a free slot"),
}
"""By reason. No job of this machine waits for ever: what is in vain is ended."""


class View:
    """What the spool's files say at one moment."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._known: dict[int, Progress] = {}

    def status(self, job: LocalJob, facts: bool) -> JobStatus:
        """What became of a job; ``facts`` and identity on request."""
        progress = self._progress(job)
        wanted = parse_dependencies(job.dependency)
        taken = any(item.kind == SINGLETON for item in wanted.conditions) and self._name_taken(job)
        full = job.limit is not None and progress.running >= job.limit

        def reason(index: int | None) -> str:
            if wanted.judge(index, self._progress_of, taken) is not Verdict.SATISFIED:
                return "Dependency"
            return "JobArrayTaskLimit" if full else "Resources"

        tasks = tuple(
            self._task(progress, index)
            or TaskStatus(index, "PENDING", PHASES["PENDING"], reason(index))
            for index in job.indices
        )
        if not facts:
            return JobStatus(str(job.job_id), tasks)
        identity = {"user": job.user, "group": job.group}
        return JobStatus(str(job.job_id), tasks, _facts(job, tasks), identity)

    def _task(self, progress: Progress, index: int | None) -> TaskStatus | None:
        """The status of a task that is not waiting."""
        start, end = progress.started.get(index), progress.ended.get(index)
        started = _time(start.time) if start else None
        if end:
            return TaskStatus(
                index,
                end.state,
                PHASES.get(end.state, Phase.FAILED),
                end.reason,
                exit_code=end.exit_code,
                signal=end.signal,
                elapsed=end.elapsed,
                cpu_time=end.cpu_time,
                peak_memory=end.peak_memory,
                nodes=host() if start else "",
                started=started,
                ended=_time(end.time),
            )
        if not start:
            return None
        return TaskStatus(index, "RUNNING", PHASES["RUNNING"], nodes=host(), started=started)

    def _progress(self, job: LocalJob) -> Progress:
        if job.job_id not in self._known:
            self._known[job.job_id] = self.spool.progress(job)
        return self._known[job.job_id]

    def _progress_of(self, job_id: int) -> Progress:
        job = self.spool.read(job_id)
        return self._progress(job) if job else Progress(())

    def _name_taken(self, job: LocalJob) -> bool:
        earlier = (self.spool.read(other) for other in self.spool.queued() if other < job.job_id)
        return any(other and other.name == job.name for other in earlier)


def settle(spool: Spool) -> None:
    """Record the end of all tasks that are gone while nobody was there to see it.

    To be called while it is sure that no dispatcher is alive, nor starts.
    """
    for job in filter(None, map(spool.read, spool.queued())):
        wish = spool.wish(job.job_id)
        for start in spool.progress(job).unended:
            if not alive(start.pid, start.born):
                spool.record(job.job_id, end_unseen(start, wish))


def _facts(job: LocalJob, tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    starts = [task.started for task in tasks if task.started]
    ends = [task.ended for task in tasks if task.ended]
    facts: dict[str, Any] = {"name": job.name, "partition": PARTITION}
    facts |= requested_by(job.requested)
    facts["submitted"] = job.submitted
    if starts:
        facts["started"] = min(starts).isoformat()
    if len(ends) == len(tasks):
        facts["ended"] = max(ends).isoformat()
    return facts


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
