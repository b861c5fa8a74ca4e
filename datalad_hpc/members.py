"""Pure: what a job is to its scheduler: one job, those of a submission program, or attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from datalad_hpc.attempt import Attempt
from datalad_hpc.job import Job
from datalad_hpc.status import JobKey, JobStatus, TaskStatus
from datalad_hpc.wording import ranges

ATTEMPT = "attempt"
"""Among the facts of a job that was tried several times, the id of whom they are about."""


def all_ids(job: Job) -> tuple[str, ...]:
    """All ids that the scheduler knows a job by, the newest last."""
    earlier = tuple(attempt.job_id for attempt in job.attempts)
    return tuple(member.job_id for member in job.members) or (*earlier, job.job_id)


def all_names(job: Job) -> frozenset[str]:
    """All that the user may call a job."""
    return frozenset((job.label, *all_ids(job))) - {""}


def scheduler_keys(job: Job) -> tuple[JobKey, ...]:
    """What the scheduler needs to recognise a job, each of its members, or each attempt.

    An earlier attempt is of interest for those of its tasks only that were not tried again.
    """
    when = job.submitted or job.created
    if job.members:
        return tuple(
            JobKey(each.job_id, each.cluster, each.token, when, each.tasks) for each in job.members
        )
    if not job.attempts:
        return (job.scheduler_key,)
    return tuple(
        replace(job.scheduler_key, tasks=tasks)
        if attempt is None
        else JobKey(attempt.job_id, attempt.cluster, attempt.token, attempt.submitted, tasks)
        for attempt, tasks in _shares(job)
    )


def _shares(job: Job) -> list[tuple[Attempt | None, tuple[int, ...] | None]]:
    """Attempts with the open tasks that are theirs, the newest first, which is ``None``."""
    left = job.open_tasks
    if left is None:
        return [(None, None)]
    shares: list[tuple[Attempt | None, tuple[int, ...] | None]] = []
    for attempt in (None, *reversed(job.attempts)):
        own = job.tried if attempt is None else attempt.tasks
        had = set(left if own is None else own)
        if mine := tuple(task for task in left if task in had):
            shares.append((attempt, mine))
        left = tuple(task for task in left if task not in had)
    return shares


def attempts_at(job: Job, task: int | None) -> tuple[Attempt, ...]:
    """The earlier submissions of a task, oldest first: its newest one is not among them."""
    had = tuple(attempt for attempt in job.attempts if attempt.had(task))
    return had if is_newest(job, task) else had[:-1]


def is_newest(job: Job, task: int | None) -> bool:
    """Whether the job's newest submission was for this task too."""
    return job.tried is None or task in job.tried


def as_attempted(job: Job, task: int | None) -> Job:
    """The job as it was when it was last submitted for a task."""
    if not job.attempts:
        return job
    before = attempts_at(job, task)
    if is_newest(job, task):
        return replace(job, attempts=before)
    newest = [attempt for attempt in job.attempts if attempt.had(task)][-1]
    return replace(
        job,
        attempts=before,
        tried=newest.tasks,
        job_id=newest.job_id,
        cluster=newest.cluster,
        submitted=newest.submitted,
        submit_line=newest.submit_line,
        script=newest.script,
        head=newest.head,
        environment=newest.environment,
        request=replace(job.request, resources=newest.resources),
    )


def of_attempts(job: Job, found: Sequence[JobStatus]) -> JobStatus:
    """One status of those of all attempts.

    Parameters
    ----------
    found:
      The status of each, the newest first, with the tasks that are of interest and no others.

    Returns
    -------
    JobStatus
      All tasks in order; where they are of several attempts, each with the id of its own. The
      facts are those of the newest that has such tasks, which ``attempt`` names among them.
    """
    first = found[0]
    facts = {**first.facts, ATTEMPT: first.job_id} if first.facts else {}
    if len(found) == 1:
        return replace(first, job_id=job.job_id, facts=facts)
    tasks = [replace(task, job_id=each.job_id) for each in found for task in each.tasks]
    tasks.sort(key=lambda task: -1 if task.index is None else task.index)
    identity = next((each.identity for each in found if each.identity), {})
    return JobStatus(job.job_id, tuple(tasks), facts, identity)


def is_about(facts: Mapping[str, Any], job_id: str) -> bool:
    """Whether facts of a job hold for the attempt of this id."""
    return facts.get(ATTEMPT, job_id) == job_id


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
