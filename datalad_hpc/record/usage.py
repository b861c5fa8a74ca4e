"""What a record says of what was asked for and what was used, so that no other source is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datalad_hpc.job import Job
from datalad_hpc.members import by_job
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
    if job.members:
        facts = status.facts.get("jobs", {})
        told["usage_by_job"] = {
            job_id: {"asked": Asked.of_facts(facts.get(job_id, {})).as_json, **_spent(tasks)}
            for job_id, tasks in by_job(status.tasks).items()
        }
    return told


def _spent(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    return Spent.of(map(Measured.of_task, tasks)).as_json
