"""Pure: what a record tells of the attempts before the one that was committed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from datalad_hpc.attempt import Attempt
from datalad_hpc.failures import recorded_failures, without_name
from datalad_hpc.job import Job
from datalad_hpc.status import JobStatus, TaskStatus
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
    if index is not None:
        ended = [replace(task, index=None) for task in ended]
    of_tasks = attempt.tasks is not None and index is None
    return {
        "job_id": attempt.job_id if index is None else f"{attempt.job_id}_{index}",
        "submitted": attempt.submitted.isoformat(),
        "resources": dict(attempt.asked),
        **_summary(ended),
        **({"tasks": _by_state(ended)} if of_tasks else {"state": ended[0].state if ended else ""}),
        **recorded_failures(
            JobStatus(attempt.job_id, tuple(ended)),
            of_tasks=of_tasks,
            kept=lambda failure: failure if with_identity else without_name(failure, ""),
        ),
    }


def _by_state(tasks: Sequence[TaskStatus]) -> dict[str, str]:
    indices: dict[str, list[int]] = defaultdict(list)
    for task in tasks:
        indices[task.state] += [] if task.index is None else [task.index]
    return {state: ranges(found) for state, found in indices.items()}


def _summary(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    """The largest values over the tasks that were tried again."""
    told: dict[str, Any] = {}
    for name in ("elapsed", "peak_memory"):
        values = [getattr(task, name) for task in tasks]
        told[name] = max((value for value in values if value is not None), default=None)
    nodes = sorted({task.nodes for task in tasks if task.nodes})
    return {**told, **({"nodes": nodes} if nodes else {})}
