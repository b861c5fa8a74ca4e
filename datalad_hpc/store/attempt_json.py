"""Attempts as they are kept in the details of a job; pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from datalad_hpc.attempt import Attempt
from datalad_hpc.status import Phase, TaskStatus

_TIMES = frozenset({"started", "ended", "expected"})
"""Of a task."""


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """What is kept of an attempt; its id comes first, and its cluster next."""
    return {
        **asdict(attempt),
        "submitted": attempt.submitted.isoformat(),
        "replaced": attempt.replaced.isoformat(),
        "ended": [_task_json(task) for task in attempt.ended],
    }


def attempt_of(told: dict[str, Any]) -> Attempt:
    """The attempt that was kept so."""
    tasks = told.pop("tasks")
    return Attempt(
        submitted=datetime.fromisoformat(told.pop("submitted")),
        replaced=datetime.fromisoformat(told.pop("replaced")),
        tasks=None if tasks is None else tuple(tasks),
        submit_line=tuple(told.pop("submit_line")),
        ended=tuple(map(_task_of, told.pop("ended"))),
        **told,
    )


def _task_json(task: TaskStatus) -> dict[str, Any]:
    times = {name: _text(getattr(task, name)) for name in _TIMES}
    known = {**asdict(task), "phase": task.phase.value, **times}
    return {name: value for name, value in known.items() if value not in (None, "", ())}


def _text(time: datetime | None) -> str:
    return time.isoformat() if time else ""


def _task_of(told: dict[str, Any]) -> TaskStatus:
    for name in _TIMES & told.keys():
        told[name] = datetime.fromisoformat(told[name])
    told["missing"] = tuple(told.get("missing", ()))
    return TaskStatus(told.pop("index", None), told.pop("state"), Phase(told.pop("phase")), **told)
