"""What a record says of what was asked for and what was used, so that no other source is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from datalad_hpc.job import Job
from datalad_hpc.shares import asked_by_id, tasks_by_id
from datalad_hpc.spent import Asked, Measured, Spent
from datalad_hpc.status import JobStatus, TaskStatus

_ALWAYS = ("elapsed", "cpu_time", "peak_memory")
"""What stands in every record, be it null; the rest differs from it for several tasks only."""


def of_usage(job: Job, status: JobStatus) -> dict[str, Any]:
    """The fields of a record about one job, an array, the jobs of a program, or a part."""
    spent = _spent(status.tasks)
    told: dict[str, Any] = {name: spent.get(name) for name in _ALWAYS}
    if asked := Asked.of_facts(status.facts).as_json:
        told["asked"] = asked
    if job.tasks is not None:
        told["usage"] = {name: spent[name] for name in spent if name not in _ALWAYS}
    if job.members or job.attempts:
        told["usage_by_job"] = _by_job(job, status)
    return told


def _by_job(job: Job, status: JobStatus) -> dict[str, Any]:
    """The same for each id: of each job of a submission program, or of each attempt."""
    asked = asked_by_id(job, status)
    suffix = f"_{job.parts[0].index}" if job.is_part else ""
    when = {f"{each.job_id}{suffix}": each.submitted.isoformat() for each in job.attempts}
    return {
        job_id: {
            **({"submitted": when[job_id]} if job_id in when else {}),
            "asked": asked.get(job_id, Asked()).as_json,
            "states": dict(Counter(task.state for task in tasks)),
            **_spent(tasks),
        }
        for job_id, tasks in tasks_by_id(job, status).items()
    }


def _spent(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    return Spent.of(map(Measured.of_task, tasks)).as_json
