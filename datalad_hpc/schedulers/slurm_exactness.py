"""Pure: what the queue knows more exactly than accounting."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from datalad_hpc.failures import BY_WHOM, whom_of
from datalad_hpc.schedulers.slurm_states import TAKEN_AWAY
from datalad_hpc.status import JobStatus, Phase, TaskStatus

QUEUE_KEEPS = timedelta(minutes=5)
"""How long the queue has a job after its end, unless a site has set its MinJobAge."""

UNSURE = ("", "Dependency")
"""Reasons for which accounting has a task wait that may wait, or have waited, in vain."""


def is_inexact(status: JobStatus | None) -> bool:
    """Whether the queue may know more exactly what accounting tells of a task.

    That is an exit code, 3 for 131 as well (see :func:`.unfolded_code`), and why a task waits, or
    did until it was cancelled: accounting may not hear that what it depends on cannot come any
    more.
    """
    since = datetime.now(timezone.utc) - QUEUE_KEEPS
    return status is not None and any(
        _has_inexact_code(task, since) or _has_inexact_reason(task, since) for task in status.tasks
    )


def _has_inexact_code(task: TaskStatus, since: datetime) -> bool:
    return (
        task.state == "FAILED"
        and not task.signal
        and (task.exit_code or 0) < TAKEN_AWAY
        and task.ended is not None
        and task.ended > since
    )


def _has_inexact_reason(task: TaskStatus, since: datetime) -> bool:
    if task.state == "PENDING":
        return task.reason in UNSURE
    return _gave_up_waiting(task) and task.ended is not None and task.ended > since


def _gave_up_waiting(task: TaskStatus) -> bool:
    begun, reason = task.nodes or task.elapsed, BY_WHOM.sub("", task.reason)
    return task.state == "CANCELLED" and reason in UNSURE and not begun


def made_exact(told: JobStatus | None, queued: JobStatus | None) -> JobStatus | None:
    """What accounting told, with exit codes and reasons of the queue where these tell more."""
    if told is None or queued is None:
        return told
    known = {task.index: task for task in queued.tasks}
    tasks = (_made_exact(task, known.get(task.index)) for task in told.tasks)
    return replace(told, tasks=tuple(tasks))


def _made_exact(told: TaskStatus, queued: TaskStatus | None) -> TaskStatus:
    if queued is None:
        return told
    # Somebody has requeued it, of which accounting has not heard yet.
    if queued.phase is Phase.LIVE and told.phase is not Phase.LIVE:
        return queued
    if queued.state == told.state and (told.state == "PENDING" or _gave_up_waiting(told)):
        return replace(told, reason=f"{whom_of(told)}{queued.reason}".removesuffix(", "))
    is_folded = queued.exit_code == (told.exit_code or 0) + TAKEN_AWAY
    return replace(told, exit_code=queued.exit_code) if is_folded else told
