"""Pure: what each id of a job at its scheduler stands for: an attempt, or one of several jobs."""

from __future__ import annotations

from collections import defaultdict

from datalad_hpc.job import Job
from datalad_hpc.members import as_attempted, is_about
from datalad_hpc.requested import requested_by
from datalad_hpc.spent import Asked
from datalad_hpc.status import JobStatus, TaskStatus


def tasks_by_id(job: Job, status: JobStatus) -> dict[str, list[TaskStatus]]:
    """Tasks by the id that they ran under, those of earlier attempts first and among them.

    Parameters
    ----------
    job:
      A job, or one task of a sweep, whose attempts are named like itself (``123_4``).
    status:
      How the tasks ended, or stand, that were not tried again.
    """
    found: dict[str, list[TaskStatus]] = defaultdict(list)
    for attempt in job.attempts:
        for task in attempt.ended:
            if not job.is_part or task.index == job.parts[0].index:
                found[_named_like(job, attempt.job_id)].append(task)
    for task in status.tasks:
        found[_id_of(job, task)].append(task)
    return {job_id: sorted(tasks, key=_index) for job_id, tasks in found.items()}


def asked_by_id(job: Job, status: JobStatus) -> dict[str, Asked]:
    """What each id had asked for.

    Its scheduler tells; of an attempt of which it did not, the options do.
    """
    earlier = {
        _named_like(job, attempt.job_id): Asked.of_facts(
            attempt.facts or requested_by(attempt.asked)
        )
        for attempt in job.attempts
    }
    members = {
        job_id: Asked.of_facts(facts) for job_id, facts in status.facts.get("jobs", {}).items()
    }
    newest = status.facts if job.is_part or is_about(status.facts, job.job_id) else {}
    return {**earlier, job.label: Asked.of_facts(newest), **members}


def _named_like(job: Job, attempt: str) -> str:
    return f"{attempt}_{job.parts[0].index}" if job.is_part else attempt


def _id_of(job: Job, task: TaskStatus) -> str:
    if task.job_id or not job.attempts or job.is_part:
        return task.job_id or job.label
    return as_attempted(job, task.index).label


def _index(task: TaskStatus) -> int:
    return -1 if task.index is None else task.index
