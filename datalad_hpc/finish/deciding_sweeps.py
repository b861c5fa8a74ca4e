"""What becomes of a sweep in ``finish``: each task that has ended is decided about by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from datalad_hpc.errors import BadRequest
from datalad_hpc.finish.cancelled import is_wished, unseen_end, was_cancelled
from datalad_hpc.finish.closing import Closing, close
from datalad_hpc.finish.deciding import (
    Ready,
    decide_ended,
    elsewhere,
    failure,
    given_up,
    run_again,
    told_to_end,
    ways_out,
    with_more_outputs,
    without_answer,
)
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Job
from datalad_hpc.located import Locator
from datalad_hpc.members import all_names
from datalad_hpc.polling import Answers, is_forgotten, unknown_text
from datalad_hpc.results import Result, explain, job_result
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.unfolding import part_label, unfolded
from datalad_hpc.wording import MOST_SHOWN


def decide_sweep(
    finish: Round, job: Job, answers: Answers, locator: Locator
) -> Iterator[Result | Ready]:
    """Decide about the open tasks of a sweep.

    Parameters
    ----------
    locator:
      Finds the tasks' files; one for all jobs remembers what it has seen.

    Yields
    ------
    dict or Ready
      What becomes of each task that is over, but one result for all that failed and are not to
      be closed or committed, and one for all that may still run.

    Raises
    ------
    BadRequest
      More outputs were named, and it is not said of which task they are.
    """
    _refuse_more_outputs(finish, job)
    if job.worktree != finish.workplace.worktree:
        yield elsewhere(finish, job)
        return
    answer = given_up(finish, job, answers) or unseen_end(job, answers) or answers.of(job)
    if answer is None:
        yield without_answer(finish, job, answers)
        return
    yield from _decide_ended_tasks(finish, job, answer, locator)
    failed = [task for task in answer.tasks if not (_is_live(task) or _ends(finish, job, task))]
    if failed:
        yield _failed(finish, job, answer, failed)
    live = [task for task in answer.tasks if _is_live(task)]
    if live:
        yield _live(finish, job, answers, replace(answer, tasks=tuple(live)))


def _refuse_more_outputs(finish: Round, job: Job) -> None:
    if finish.wishes.outputs and _is_named(finish, job):
        one = part_label(job, job.parts[0].index)
        raise BadRequest(
            f"more outputs (-o) belong to one task of sweep {job.label}; name the task instead of "
            f"the whole (such as `datalad finish {one} -o PATH`)"
        )


def _is_named(finish: Round, job: Job) -> bool:
    """Whether the whole sweep was named, and not only tasks of it."""
    return not all_names(job).isdisjoint(finish.wishes.job_ids)


def _decide_ended_tasks(
    finish: Round, job: Job, answer: JobStatus, locator: Locator
) -> Iterator[Result | Ready]:
    tasks = [task for task in answer.tasks if _ends(finish, job, task)]
    closings: list[Closing] = []
    with contextlib.ExitStack() as stack:
        if not job.request.alternative:
            stack.enter_context(locator.looking_once())
        for part, status in unfolded(job, answer, tasks):
            part = with_more_outputs(finish, part)
            decided = decide_ended(finish, part, status, locator)
            if isinstance(decided, Closing):
                closings.append(decided)
            else:
                yield decided
    if closings:
        yield from close(finish, closings)


def _is_live(task: TaskStatus) -> bool:
    return task.phase is Phase.LIVE


def _ends(finish: Round, job: Job, task: TaskStatus) -> bool:
    """Whether a task is over, and is not to stay open as one that failed."""
    if task.phase is Phase.FAILED:
        as_wished = was_cancelled(task) and is_wished(job, task.index)
        return finish.wishes.close_failed or finish.wishes.commit_failed or as_wished
    return task.phase is Phase.COMPLETED


def _failed(finish: Round, job: Job, answer: JobStatus, failed: Sequence[TaskStatus]) -> Result:
    """One result for all tasks that failed, however many."""
    if len(failed) == 1:
        ((part, status),) = unfolded(job, answer, failed)
        text = f"{failure(part, status)}; {ways_out(part, status)}"
        return job_result(ACTION, finish.root, "impossible", text, part, status)
    told = replace(answer, tasks=tuple(failed))
    ids = _ids(finish, job, failed)
    text = (
        f"Tasks of job {job.label} did not succeed: {explain(told)}; they stay open: "
        f"{run_again(ids, told, 'them')}give them up "
        f"(`datalad finish --close-failed-jobs {ids}`), or commit what they left (`datalad finish "
        f"--commit-failed-jobs {ids}`)"
    )
    if ids == job.label and failed[0].index is not None:
        text += f"; one of them alone is called {part_label(job, failed[0].index)}"
    return job_result(ACTION, finish.root, "impossible", text, job, told)


def _ids(finish: Round, job: Job, tasks: Sequence[TaskStatus]) -> str:
    """How to name some tasks of a sweep; the whole, unless tasks were named one by one."""
    indices = [task.index for task in tasks if task.index is not None]
    if not finish.wishes.job_ids or _is_named(finish, job):
        return job.label
    return " ".join(part_label(job, index) for index in indices[:MOST_SHOWN])


def _live(finish: Round, job: Job, answers: Answers, answer: JobStatus) -> Result:
    """One result for all tasks that may still run, or that are not known any more."""
    if is_forgotten(job, answers):
        text = unknown_text(job, answers)
        return job_result(ACTION, finish.root, "impossible", text, job, answer, live=False)
    if len(answer.tasks) == 1:
        ((part, status),) = unfolded(job, answer, answer.tasks)
        text = f"Job {part.label} is not over: {explain(status)}{told_to_end(part, status)}"
        return job_result(ACTION, finish.root, "impossible", text, part, status, live=True)
    text = f"Job {job.label} is not over: {explain(answer)}{told_to_end(job, answer)}"
    return job_result(ACTION, finish.root, "impossible", text, job, answer, live=True)
