"""Tasks that wait for what cannot come any more end before they are submitted again."""

from __future__ import annotations

import time
from dataclasses import replace

from datalad_hpc.errors import HpcError, SchedulerUnreachable
from datalad_hpc.finish.rounds import Round
from datalad_hpc.members import scheduler_keys
from datalad_hpc.polling import ask
from datalad_hpc.results import explain
from datalad_hpc.retries.choosing import Failed
from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.status import Phase, TaskStatus

PATIENCE = 10.0
"""Seconds to wait for the end of a job that has not begun, which takes Slurm a moment."""

FIRST_WAIT, LONGEST_WAIT = 0.2, 2.0
"""Seconds between two questions, more each time."""


def ended(this: Round, found: Failed) -> Failed:
    """The same, with all of its tasks over.

    Raises
    ------
    HpcError
      They could not be ended; nothing was submitted.
    """
    if not _live(found):
        return found
    scheduler = this.scheduler_named(found.job.scheduler)
    refused = scheduler.cancel([*_cancellations(found)])
    if refused:
        raise HpcError(
            f"it waits for what cannot come any more, and could not be ended: "
            f"{'; '.join(refused.values())}"
        )
    give_up, wait = time.monotonic() + PATIENCE, FIRST_WAIT
    while _live(found):
        if time.monotonic() > give_up:
            raise SchedulerUnreachable(
                f"it was to be ended, since it waits for what cannot come any more, but it is "
                f"{explain(found.status)} still; try again in a moment"
            )
        time.sleep(wait)
        wait = min(1.5 * wait, LONGEST_WAIT)
        found = _looked_at_again(this, found)
    return found


def _live(found: Failed) -> list[TaskStatus]:
    return [task for task in found.tasks if task.phase is Phase.LIVE]


def _cancellations(found: Failed) -> list[Cancellation]:
    live = {task.index for task in _live(found)}
    wanted = []
    for key in scheduler_keys(found.job):
        if key.tasks is None:
            wanted.append(Cancellation(key))
        elif mine := tuple(task for task in key.tasks if task in live):
            wanted.append(Cancellation(key, mine))
    return wanted


def _looked_at_again(this: Round, found: Failed) -> Failed:
    """What the scheduler says now; the reason is still the same."""
    answer = ask([found.job], this.scheduler_named, facts=True).of(found.job)
    if answer is None:
        return found
    why = {task.index: task.reason for task in found.tasks}
    tasks = tuple(
        replace(task, reason=f"{task.reason}, {why[task.index]}".removeprefix(", "))
        for task in answer.tasks
        if task.index in why
    )
    return replace(found, tasks=tasks, status=answer)
