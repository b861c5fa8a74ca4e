"""Pure: what a record tells of the attempts before the one that was committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from datalad_hpc.attempt import Attempt
from datalad_hpc.failures import failure_of
from datalad_hpc.job import Job
from datalad_hpc.status import TaskStatus
from datalad_hpc.wording import ranges


def attempts_of(job: Job, *, with_identity: bool) -> list[dict[str, Any]]:
    """The earlier attempts of a job, of an array, or of one task of a sweep, oldest first.

    Parameters
    ----------
    with_identity:
      Whether it is told who cancelled one.
    """
    index = job.parts[0].index if job.is_part else None
    return [_told(attempt, index, with_identity) for attempt in job.attempts]


def _told(attempt: Attempt, index: int | None, with_identity: bool) -> dict[str, Any]:
    ended = [task for task in attempt.ended if index is None or task.index == index]
    name = attempt.job_id if index is None else f"{attempt.job_id}_{index}"
    told: dict[str, Any] = {
        "job_id": name,
        "submitted": attempt.submitted.isoformat(),
        "resources": dict(attempt.asked),
        **_summary(ended),
    }
    if attempt.tasks is None or index is not None:
        return {**told, **_end(ended, with_identity)}
    states: dict[str, list[TaskStatus]] = defaultdict(list)
    causes: dict[str, list[TaskStatus]] = defaultdict(list)
    for task in ended:
        states[task.state].append(task)
        causes[repr(_failure(task, with_identity))].append(task)
    failures = [
        {**_failure(tasks[0], with_identity), "tasks": _indices(tasks)} for tasks in causes.values()
    ]
    by_state = {state: _indices(tasks) for state, tasks in states.items()}
    return {**told, "tasks": by_state, "failures": failures}


def _end(ended: Sequence[TaskStatus], with_identity: bool) -> dict[str, Any]:
    if not ended:
        return {}
    failure = _failure(ended[0], with_identity)
    return {"state": ended[0].state, **({"failure": failure} if failure else {})}


def _failure(task: TaskStatus, with_identity: bool) -> dict[str, Any]:
    failure = failure_of(task)
    told = failure.as_json if failure else {}
    if not with_identity:
        told.pop("by", None)
    return told


def _indices(tasks: Sequence[TaskStatus]) -> str:
    return ranges([task.index for task in tasks if task.index is not None])


def _summary(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    """The largest values over the tasks that were tried again."""
    told = {
        name: max(
            (value for task in tasks if (value := getattr(task, name)) is not None), default=None
        )
        for name in ("elapsed", "peak_memory")
    }
    nodes = sorted({task.nodes for task in tasks if task.nodes})
    return {**told, **({"nodes": nodes} if nodes else {})}
