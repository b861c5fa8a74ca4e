"""Pure: what a job used, as the store keeps it or its scheduler tells it."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone

from datalad_hpc.job import Job, JobState
from datalad_hpc.placeholders import is_submission
from datalad_hpc.shares import asked_by_id, tasks_by_id
from datalad_hpc.spent import Asked, Measured, number
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.usage.values import JobUse, TaskUse


def uses_of(job: Job, status: JobStatus) -> list[JobUse]:
    """What a job used; of a submission program each of its jobs, of a retried one each attempt."""
    asked = asked_by_id(job, status)
    commits = {part.index: part.commit for part in job.parts if part.state is JobState.FINISHED}
    commands = _earlier_commands(job)
    whole = job.commit if job.state is JobState.FINISHED else ""
    return [
        JobUse.of(
            job_id,
            job.scheduler,
            commands.get(job_id, job.request.command),
            asked.get(job_id, Asked()),
            [_use(task, commits.get(task.index or 0, whole)) for task in tasks],
        )
        for job_id, tasks in tasks_by_id(job, status).items()
    ]


def _earlier_commands(job: Job) -> dict[str, str]:
    """By id those of earlier attempts: a retry may have options that they did not have."""
    if job.request.submits or not is_submission(job.request.command):
        return {}
    lines = {attempt.job_id: attempt.submit_line for attempt in job.attempts}
    return {job_id: shlex.join(line) for job_id, line in lines.items() if line}


def _use(task: TaskStatus, commit: str) -> TaskUse:
    if task.phase is not Phase.LIVE:
        return TaskUse(task.index, task.state, Measured.of_task(task), commit)
    # While it runs only its time is certain.
    so_far = (datetime.now(timezone.utc) - task.started).total_seconds() if task.started else None
    return TaskUse(task.index, task.state, Measured(number(so_far)), commit)
