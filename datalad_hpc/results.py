"""A job, or an error, as one of DataLad's result records."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datalad_hpc.errors import BadRequest, GitFailed, HpcError, StoreUnusable
from datalad_hpc.failures import BY_WHOM, NOT_STARTED, Cause, failure_fields, failure_of
from datalad_hpc.interruption import Interruption
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_ids
from datalad_hpc.status import NEVER, JobStatus, TaskStatus
from datalad_hpc.wording import ranges, some_of, some_tasks

Result = dict[str, Any]


class _OneLine(dict[str, Any]):
    """A result that is laid out on one line.

    DataLad's command line has all failed ones laid out at its end by pprint, though
    nobody sees that: half a second with 5,000, unless a class says how it is shown.
    """

    def __repr__(self) -> str:
        return super().__repr__()


SAYS_NOTHING_NEW = (
    "None",
    "NonZeroExitCode",
    "RaisedSignal",
    "TimeLimit",
    "OutOfMemory",
    "NodeDown",
    "DeadLine",
    # Also of a script that was running and got a signal.
    "JobLaunchFailure",
)
"""Beginnings of Slurm's reasons that the state and the exit code tell already."""

NOT_IN_STATE = (Cause.EXIT_CODE, Cause.SIGNAL, Cause.LAUNCH)
"""Causes of which a state says no more than that a task failed."""

UNTOUCHED = {
    "schedule": "Nothing was submitted",
    "finish": "Nothing was changed",
    "hpc-status": "Nothing can be shown",
    "wait": "Nothing was changed",
    "reschedule": "Nothing was submitted",
    "retry": "Nothing was submitted",
    "batch": "Nothing was submitted",
    "hpc-log": "Nothing can be shown",
    "hpc-usage": "Nothing was changed",
    "hpc-cancel": "Nothing was cancelled",
}
"""What holds where a request cannot be met."""

KEPT = {
    "schedule": "the job was not submitted and its outputs are free again, at the latest with the "
    "next command",
    "finish": "what was reported is done, all other jobs are still open with their outputs where "
    "they are",
    "hpc-status": "all jobs are as they were",
    "wait": "what was reported is done, all other jobs are still open with their outputs where "
    "they are",
    "reschedule": "the jobs that were reported are submitted and tracked, no other was",
    "retry": "the jobs that were reported are submitted again, all others are open as before",
    "batch": "the lines that were reported are done, the others have no job",
    "hpc-log": "nothing was changed, jobs are as they were",
    "hpc-usage": "nothing was changed",
    "hpc-cancel": "what was asked for stays asked for, and jobs that were not reported as closed "
    "are still open",
}
"""What holds where a command ended in the middle."""

NEXT = {
    "schedule": "run the same command again",
    "finish": "run `datalad finish` again to go on",
    "hpc-status": "run `datalad hpc-status` again",
    "wait": "run `datalad finish --wait` again to go on",
    "reschedule": "give the commits that are left to `datalad reschedule` to go on",
    "retry": "run the same command again to go on",
    "batch": "run the same command again to go on with the lines that are left",
    "hpc-log": "run the same command again to see more",
    "hpc-usage": "run the same command again",
    "hpc-cancel": "run the same command again to see what became of the jobs, or `datalad finish`, "
    "which closes those that ended",
}
"""What goes on from there."""

SUBMITTED = "the job had been submitted by then and is tracked; `datalad finish` goes on with it"
"""Both of ``schedule``, where a signal came too late."""

UNKNOWN = "UNKNOWN"
"""Shown in the place of a state where the scheduler does not know a job (yet)."""


def result(action: str, root: Path, status: str, message: str, **more: Any) -> Result:
    """A result record about a dataset.

    Parameters
    ----------
    action:
      Name of the command.
    root:
      The dataset's root.
    status:
      ``ok``, ``notneeded``, ``impossible`` or ``error``.
    message:
      One sentence for the user.
    more:
      Further fields.
    """
    from datalad.interface.results import get_status_dict

    # A tuple: a plain text with "%" in it would be taken for a format.
    record = get_status_dict(
        action,
        path=str(root),
        type="dataset",
        status=status,
        message=("%s", visible(message)),
        refds=str(root),
        **more,
    )
    return _OneLine(record)


def visible(text: str) -> str:
    """A text for people, in which nothing can play tricks on a terminal.

    Names and records may hold what moves the cursor, clears a line or turns the direction of
    writing: of that one sees the code, as in ``\\x1b``. Lines and tabs stay.
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )


def visible_line(text: str) -> str:
    """The same on one line."""
    return visible(text).replace("\n", "\\n")


def message_text(found: Result) -> str:
    """The message of any of DataLad's results as the user reads it."""
    message = found.get("message") or ""
    return message[0] % tuple(message[1:]) if isinstance(message, tuple) else str(message)


def error_result(action: str, root: Path, error: HpcError, **more: Any) -> Result:
    """The result that an error becomes."""
    return result(action, root, error.status, str(error), **more)


@contextlib.contextmanager
def as_results(action: str, root: Path, story: str = "") -> Iterator[list[Result]]:
    """Collect the result of an error that ends a story; to be yielded after the block.

    ``story`` tells it from others of the same command.
    """
    story = story or action
    results: list[Result] = []
    try:
        yield results
    except (GitFailed, StoreUnusable) as error:
        what = f"{str(error).rstrip('.')}. {_capital(KEPT[story])}"
        results.append(_ended(action, root, what, NEXT[story]))
    except BadRequest as error:
        text = f"{UNTOUCHED[story]}: {error}"
        results.append(result(action, root, error.status, text))
    except HpcError as error:
        results.append(error_result(action, root, error))
    except OSError as error:
        what = f"{file_system_says(error)}; {KEPT[story]}"
        results.append(_ended(action, root, what, NEXT[story]))
    except Interruption as stop:
        late = story == "schedule" and stop.reported
        text = SUBMITTED if late else f"{stop.done or KEPT[story]}; {NEXT[story]}"
        text = f"{_capital(str(stop))}: {text}"
        results.append(result(action, root, "error", text, exit_code=stop.exit_code))


def file_system_says(error: OSError) -> str:
    """What the file system refuses, and where."""
    where = f"{error.filename}: " if error.filename else ""
    return f"The file system says: {where}{error.strerror or error}"


def _ended(action: str, root: Path, what: str, go_on: str) -> Result:
    return result(action, root, "error", f"{what}; when that is over or put right, {go_on}")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def job_result(
    action: str,
    root: Path,
    status: str,
    message: str,
    job: Job,
    answer: JobStatus | None = None,
    **more: Any,
) -> Result:
    """A result about one job, with the scheduler's states of its tasks."""
    fields: Result = {
        "slurm_job_id": job.label,
        "slurm_job_status": state_text(job, answer),
        "scheduler": job.scheduler,
        "outputs": list(job.request.declared),
        "attempt": len(job.attempts) + 1,
    }
    if job.attempts:
        fields["slurm_job_ids"] = list(all_ids(job))
    if answer and job.tasks is not None:
        fields["tasks"] = tasks_by_state(answer)
    if job.members:
        fields["slurm_job_ids"] = list(all_ids(job))
    if answer:
        has_tasks = job.tasks is not None or bool(job.members)
        fields |= failure_fields(answer, of_tasks=has_tasks)
    return result(action, root, status, message, **{**fields, **more})


def attempt_text(job: Job) -> str:
    """Which attempt it is, to be said behind a sentence; nothing of the first."""
    if not job.attempts:
        return ""
    earlier = list(all_ids(job))[:-1]
    jobs = f"job{'s' * (len(earlier) > 1)} {some_of(earlier)}"
    return f"; attempt {len(earlier) + 1}, after {jobs}"


def state_text(job: Job, answer: JobStatus | None) -> str:
    """The state of a job for people: a word, or for an array a count of each word."""
    if job.state is not JobState.OPEN:
        return job.state.value.upper()
    if answer is None or not answer.tasks:
        return UNKNOWN
    if len(answer.tasks) == 1:
        return answer.tasks[0].state
    counts = Counter(task.state for task in answer.tasks)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{state} {number}" for state, number in counts.most_common())


def tasks_by_state(answer: JobStatus) -> dict[str, str]:
    """Task indices by state, as ranges."""
    indices: dict[str, list[int]] = {}
    for task in answer.tasks:
        if task.index is not None:
            indices.setdefault(task.state, []).append(task.index)
    return {state: ranges(found) for state, found in indices.items()}


def explain(answer: JobStatus) -> str:
    """States of a job's tasks in words: ``task 3: FAILED (exit code 2), tasks 0-2: COMPLETED``."""
    if len(answer.tasks) == 1:
        return _group_text(_task_text(answer.tasks[0]), answer.tasks)
    groups: dict[tuple[str, str], list[TaskStatus]] = {}
    for task in answer.tasks:
        groups.setdefault((task.job_id, _task_text(task)), []).append(task)
    return some_of([_group_text(text, tasks) for (_, text), tasks in groups.items()])


def _group_text(text: str, tasks: Sequence[TaskStatus]) -> str:
    indices = [task.index for task in tasks if task.index is not None]
    whose = f"job {tasks[0].job_id}" if tasks[0].job_id else ""
    if not indices:
        return f"{whose}: {text}" if whose else text
    return f"{some_tasks(indices)}{f' of {whose}' if whose else ''}: {text}"


def _task_text(task: TaskStatus) -> str:
    failure = failure_of(task)
    state = f"{task.state} by {failure.by}" if failure and failure.by else task.state
    reason = BY_WHOM.sub("", task.reason)
    stuck = not failure and reason == NEVER
    details = []
    if failure and failure.cause in NOT_IN_STATE and not reason.startswith(NOT_STARTED):
        details.append(failure.text)
    if reason and not reason.startswith(SAYS_NOTHING_NEW):
        # Of those of the chains that are tracked more is known, and said in the reason.
        details.append(f"{reason}, so that it never starts" if stuck else reason)
    return f"{state} ({', '.join(details)})" if details else state
