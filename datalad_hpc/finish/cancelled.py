"""Jobs whose end the user asked for: whether they have ended so, and what that is worth."""

from __future__ import annotations

from dataclasses import replace

from datalad_hpc.job import Job
from datalad_hpc.polling import Answers, is_forgotten, is_untold, status_of
from datalad_hpc.status import JobStatus, Phase, TaskStatus

CANCELLED = "CANCELLED"
"""The word of all schedulers."""

NO_RECORD = "no record left"


def is_wished(job: Job, index: int | None = None) -> bool:
    """Whether the user asked for the end of a job, of a part, or of one task of a sweep."""
    if job.parts:
        return any(part.cancelled for part in job.parts if job.is_part or part.index == index)
    return job.cancelled is not None


def ended_as_wished(job: Job, status: JobStatus) -> bool:
    """Whether a job, or a part of a sweep, that the user cancelled has ended for that.

    One that failed before by itself has not, nor an array some tasks of which completed: what they
    made may be of worth.
    """
    tasks = status.tasks
    return (
        is_wished(job)
        and any(map(was_cancelled, tasks))
        and all(task.phase is Phase.FAILED for task in tasks)
    )


def was_cancelled(task: TaskStatus) -> bool:
    """Whether a task is over since somebody cancelled it."""
    return task.phase is Phase.FAILED and task.state == CANCELLED


def unseen_end(job: Job, answers: Answers) -> JobStatus | None:
    """The end of what the user cancelled, and of which the scheduler has no record any more.

    Slurm's accounting never hears of an array's task that was cancelled while it waited, and its
    queue forgets. What is live it would know.
    """
    wished = job.cancelled or any(part.cancelled for part in job.open_parts)
    if not (wished and is_forgotten(job, answers)):
        return None
    known = answers.of(job) or status_of(job, {})
    answers.statuses[job.key] = replace(
        known, tasks=tuple(_ended(job, task) for task in known.tasks)
    )
    return answers.statuses[job.key]


def _ended(job: Job, task: TaskStatus) -> TaskStatus:
    if not (is_untold(task) and is_wished(job, task.index)):
        return task
    return replace(task, state=CANCELLED, phase=Phase.FAILED, reason=NO_RECORD)
