"""What the store, and for open jobs the scheduler, tells of usage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from datalad_hpc.job import Job
from datalad_hpc.spent import Asked, Measured, number
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.store.ended import EndedJob, EndedTask
from datalad_hpc.usage.values import JobUse, TaskUse


def of_ended(job: EndedJob) -> list[JobUse]:
    """What a job used as it is kept in the store; of a submission program each of its jobs."""
    told = {"": job.facts, **job.facts.get("jobs", {})}
    return [
        JobUse.of(
            job_id or job.label,
            job.scheduler,
            job.command,
            Asked.of_facts(told.get(job_id, {})),
            [
                TaskUse(task.index, task.state, Measured.of_facts(task.facts), task.commit)
                for task in job.tasks
                if task.job_id == job_id
            ],
        )
        for job_id in dict.fromkeys(task.job_id for task in job.tasks)
    ]


def of_open(job: Job, status: JobStatus, ended: Iterable[EndedTask] = ()) -> list[JobUse]:
    """What an open job used so far, as its scheduler tells.

    Parameters
    ----------
    ended:
      Tasks of a sweep that are over, and which the scheduler was not asked for.
    """
    told = {"": status.facts, **status.facts.get("jobs", {})}
    tasks = [(task.job_id, _of_status(task)) for task in status.tasks]
    over = [
        ("", TaskUse(task.index, task.state, Measured.of_facts(task.facts), task.commit))
        for task in ended
        if job.parts and all(task.index != other.index for _, other in tasks)
    ]
    return [
        JobUse.of(
            job_id or job.label,
            job.scheduler,
            job.request.command,
            Asked.of_facts(told.get(job_id, {})),
            [task for whose, task in (*over, *tasks) if whose == job_id],
        )
        for job_id in dict.fromkeys(whose for whose, _ in (*over, *tasks))
    ]


def _of_status(task: TaskStatus) -> TaskUse:
    if task.phase is not Phase.LIVE:
        return TaskUse(task.index, task.state, Measured.of_task(task))
    # While it runs only its time is certain.
    so_far = (datetime.now(timezone.utc) - task.started).total_seconds() if task.started else None
    return TaskUse(task.index, task.state, Measured(number(so_far)))
