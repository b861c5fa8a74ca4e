"""Pure: the jobs of one submission program, taken together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from datalad_hpc.job import Job
from datalad_hpc.status import JobKey, JobStatus, TaskStatus
from datalad_hpc.wording import ranges


def all_ids(job: Job) -> tuple[str, ...]:
    """All ids that the scheduler knows a job by."""
    return tuple(member.job_id for member in job.members) or (job.job_id,)


def all_names(job: Job) -> frozenset[str]:
    """All that the user may call a job."""
    return frozenset((job.label, *all_ids(job))) - {""}


def scheduler_keys(job: Job) -> tuple[JobKey, ...]:
    """What the scheduler needs to recognise a job, or each of its members."""
    when = job.submitted or job.created
    return tuple(
        JobKey(each.job_id, each.cluster, each.token, when, each.tasks) for each in job.members
    ) or (job.scheduler_key,)


def together(job: Job, told: Mapping[str, JobStatus]) -> JobStatus:
    """One status of those of all members.

    Parameters
    ----------
    told:
      The status of each by id, with all tasks that were asked for.

    Returns
    -------
    JobStatus
      All their tasks in order, each with the id of its job. Among the facts ``jobs`` has those of
      each member by id.
    """
    found = [told[job_id] for job_id in all_ids(job)]
    tasks = [replace(task, job_id=each.job_id) for each in found for task in each.tasks]
    numbered = tuple(replace(task, number=number) for number, task in enumerate(tasks))
    facts = {"jobs": {each.job_id: each.facts for each in found}}
    return JobStatus(job.job_id, numbered, facts, found[0].identity)


def by_job(tasks: Sequence[TaskStatus]) -> dict[str, list[TaskStatus]]:
    """Tasks by the id of their job, in order."""
    found: dict[str, list[TaskStatus]] = defaultdict(list)
    for task in tasks:
        found[task.job_id].append(task)
    return found


def states_of(status: JobStatus) -> dict[str, dict[str, str]]:
    """For each member by id, the indices of its tasks by state; no indices for a plain job."""
    found: dict[str, dict[str, list[int]]] = {}
    for task in status.tasks:
        indices = found.setdefault(task.job_id, {}).setdefault(task.state, [])
        indices += [] if task.index is None else [task.index]
    return {
        job_id: {state: ranges(indices) for state, indices in states.items()}
        for job_id, states in found.items()
    }
