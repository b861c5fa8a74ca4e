"""Pure: the tasks of a sweep as the plain jobs that they are to their commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from datalad_hpc.claims import shown
from datalad_hpc.job import Claim, ClaimRole, Job, JobState, Part
from datalad_hpc.members import ATTEMPT, as_attempted, attempts_at, is_about
from datalad_hpc.status import JobStatus, TaskStatus
from datalad_hpc.sweeps import script_of_task, task_request


def part_label(job: Job, index: int) -> str:
    """How a task of a sweep is named to the user."""
    return f"{as_attempted(job, index).label}_{index}"


def part_names(job: Job, index: int) -> list[str]:
    """All that the user may call it, after its newest submission and after earlier ones."""
    earlier = attempts_at(job, index)
    return [part_label(job, index), *(f"{each.job_id}_{index}" for each in earlier)]


def unfolded(
    job: Job, answer: JobStatus, tasks: Iterable[TaskStatus]
) -> Iterator[tuple[Job, JobStatus]]:
    """Tasks of a sweep, each as a job with a status of its own.

    Parameters
    ----------
    answer:
      What the scheduler said of the sweep; its facts hold for all tasks of the same attempt.
    tasks:
      The tasks that are meant, all of which are open parts of the sweep.
    """
    claims = _claims_of_tasks(job)
    parts = {part.index: part for part in job.open_parts}
    for task in tasks:
        if task.index is not None and task.index in parts:
            status = replace(
                answer,
                job_id=part_label(job, task.index),
                tasks=(replace(task, index=None, job_id=""),),
                facts=_facts_of(job, answer, task.index),
            )
            yield _as_job(job, parts[task.index], claims[task.index]), status


def _facts_of(job: Job, answer: JobStatus, index: int) -> dict[str, Any]:
    """What is known of the attempt at a task as a whole."""
    job_id = as_attempted(job, index).job_id
    if is_about(answer.facts, job_id):
        return answer.facts
    told = (each.facts for each in job.attempts if each.job_id == job_id)
    return {**next(told, {}), ATTEMPT: job_id}


def planned_parts(job: Job) -> list[Job]:
    """The open tasks of a sweep for which a commit was planned, each as a job."""
    planned = [part for part in job.open_parts if part.commit]
    claims = _claims_of_tasks(job) if planned else {}
    return [_as_job(job, part, claims[part.index]) for part in planned]


def without(job: Job, over: Collection[int]) -> Job:
    """A sweep of which some tasks are finished."""
    parts = tuple(
        replace(part, state=JobState.FINISHED) if part.index in over else part for part in job.parts
    )
    claims = tuple(claim for claim in job.claims if claim.task not in over)
    return replace(job, parts=parts, claims=claims)


def _claims_of_tasks(job: Job) -> dict[int, list[Claim]]:
    of_task: dict[int, list[Claim]] = defaultdict(list)
    for claim in job.claims:
        if claim.task is not None:
            of_task[claim.task].append(Claim(claim.path, claim.kind, claim.role))
    return of_task


def _as_job(job: Job, part: Part, claims: Collection[Claim]) -> Job:
    job = as_attempted(job, part.index)
    request = task_request(job.request, part.values)
    outputs = tuple(shown(claim) for claim in claims if claim.role is ClaimRole.OUTPUT)
    return replace(
        job,
        job_id=f"{job.label}_{part.index}",
        request=replace(request, outputs=outputs),
        script=script_of_task(job.script, part.index),
        tasks=None,
        commit=part.commit,
        ref=part.ref,
        claims=tuple(claims),
        parts=(part,),
    )
