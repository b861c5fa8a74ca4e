"""Jobs that have ended as the user wished are closed: with their outputs as before, and free."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from datalad_hpc.cancel.targets import Target
from datalad_hpc.errors import NotPutBack
from datalad_hpc.finish.cancelled import ended_as_wished, was_cancelled
from datalad_hpc.finish.closing import Closing, closing_as_wished, give_up
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job, JobState
from datalad_hpc.polling import Answers
from datalad_hpc.unfolding import unfolded

lgr = logging.getLogger("datalad.hpc.cancel")


@dataclass
class Closed:
    """What was closed of a job."""

    job: Job
    """As it is in the store, before that."""
    tasks: set[int | None] = field(default_factory=set)
    """Indices of the tasks that are over; of a job that is closed as a whole, all of them."""
    changed: tuple[str, ...] = ()
    """Files that it has written, which are left so."""


def close_ended(this: Round, targets: Sequence[Target], answers: Answers) -> dict[int, Closed]:
    """Close what has ended and is cancelled.

    Returns
    -------
    dict
      By number of the job's row: also those of which somebody else has closed all meanwhile.

    Raises
    ------
    HpcError
      The lock could not be had under which outputs are put back.
    """
    over = [each for each in targets if _may_be_closed(each, answers)]
    if not over:
        return {}
    with this.workplace.save_lock():
        # A finish may have closed some before we had the lock.
        fresh = {job.key: job for job in this.store.jobs_of(each.job.key for each in over)}
        return {each.job.key: _close(this, each, fresh[each.job.key], answers) for each in over}


def _may_be_closed(target: Target, answers: Answers) -> bool:
    told = target.of(answers.of(target.job))
    return not target.is_rest_untouched and any(map(was_cancelled, told))


def _close(this: Round, target: Target, job: Job, answers: Answers) -> Closed:
    closed = Closed(job)
    # The answer is about the submission that was asked for, and no later one.
    is_same = job.state is JobState.OPEN and job.token == target.job.token
    closings = _closings(target, job, answers) if is_same else []
    if not closings:
        return closed
    if job.worktree != this.workplace.worktree:
        # Its worktree was removed, and the outputs with it.
        this.store.all_closed([(each.job, (), each.problem) for each in closings])
    else:
        try:
            changed = give_up(this, closings)
        except NotPutBack as error:
            lgr.warning("The outputs of job %s cannot be put back: %s", job.label, error)
            return closed
        closed.changed = tuple(path for paths in changed.values() for path in paths)
    for each in closings:
        parts = each.job.parts
        told = each.answer.tasks if each.answer else ()
        closed.tasks |= {parts[0].index} if parts else {task.index for task in told}
    return closed


def _closings(target: Target, job: Job, answers: Answers) -> list[Closing]:
    answer = answers.of(target.job)
    if answer is None:
        return []
    each_with_status = unfolded(job, answer, target.of(answer)) if job.parts else [(job, answer)]
    return [
        closing_as_wished(part, status)
        for part, status in each_with_status
        if ended_as_wished(part, status)
    ]
