"""A job and what became of it → the record in JSON → the commit message."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from datalad_hpc.claims import shown
from datalad_hpc.earlier import attempts_of
from datalad_hpc.failures import Failure, recorded_failures, without_name
from datalad_hpc.job import ClaimRole, Job
from datalad_hpc.members import states_of
from datalad_hpc.record.layout import (
    CORE_MARKER,
    END,
    FORMAT,
    MARKER,
    START,
    Style,
    short_command,
)
from datalad_hpc.record.own import for_core, is_plain, of_part, of_request
from datalad_hpc.record.usage import of_usage
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.wording import ranges


def state_word(status: JobStatus) -> str:
    """The job's state for the subject line: ``Completed``, ``Timeout``, ``Failed (1 of 3 tasks)``.

    An array whose tasks failed in different ways is ``Failed``.
    """
    if status.phase is Phase.COMPLETED:
        return "Completed"
    words = {task.state for task in status.tasks if task.phase is not Phase.COMPLETED}
    word = _capitalised(words.pop()) if len(words) == 1 else "Failed"
    if len(status.tasks) < 2:
        return word
    failed = sum(task.phase is not Phase.COMPLETED for task in status.tasks)
    return f"{word} ({failed} of {len(status.tasks)} tasks)"


def _capitalised(word: str) -> str:
    return word.replace("_", " ").capitalize()


def commit_message(
    job: Job,
    status: JobStatus,
    style: Style,
    *,
    outputs: Sequence[str],
    facts_path: str = "",
    finish_message: str = "",
    left_out: Collection[int] = (),
    waited_for: Sequence[str] = (),
) -> str:
    """The message of a finished job's commit.

    Parameters
    ----------
    job:
      The job, with all its claims.
    status:
      What the scheduler said at the end.
    style:
      How the records of the dataset are written.
    outputs:
      Outputs for the record, relative to the dataset's root.
    facts_path:
      Where the scheduler's facts are kept, relative to the dataset's root. One task of a sweep
      has no such file, and its record tells more.
    finish_message:
      What the user wrote at finish; what was written at schedule follows it.
    left_out:
      Indices of the tasks whose outputs the commit does not hold.
    waited_for:
      Ids of the jobs that had to succeed before this one.
    """
    record = _record(job, status, style, outputs, "" if job.is_part else facts_path)
    if job.is_part:
        record["hpc"] |= of_part(job, status, style)
    if job.tasks is not None:
        record["hpc"] |= _of_tasks(job, status, left_out)
    if job.members:
        record["hpc"]["jobs"] = states_of(status)
    if job.attempts:
        record["hpc"]["attempts"] = attempts_of(job, with_identity=style.with_identity)
    record["hpc"] |= of_request(job, style, waited_for)
    texts = [text.strip("\n") for text in (finish_message, job.request.message)]
    texts = list(filter(None, texts))
    if style.for_rerun and is_plain(job.request):
        record = for_core(record, status)
        return _message(CORE_MARKER, texts or [short_command(job.request.command)], record)
    return _message(MARKER, [f"Slurm job {job.job_id}: {state_word(status)}", *texts], record)


def _message(marker: str, texts: Sequence[str], record: Mapping[str, Any]) -> str:
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
    blank = "\n\n"
    return f"{marker} {blank.join(texts)}{blank}{START}{text}{END}\n"


def _record(
    job: Job, status: JobStatus, style: Style, outputs: Sequence[str], facts_path: str
) -> dict[str, Any]:
    request = job.request
    return {
        "chain": list(request.chain),
        "cmd": request.command,
        "commit_id": job.head,
        "dsid": style.dataset_id,
        "extra_inputs": list(request.extra_inputs),
        "inputs": list(request.inputs),
        "outputs": list(outputs),
        "pwd": request.folder or ".",
        "slurm_job_id": int(job.job_id) if job.job_id.isdecimal() else job.job_id,
        "slurm_outputs": list(dict.fromkeys(filter(None, [*log_paths(job), facts_path]))),
        "hpc": _own_part(job, status, facts_path) | _failures(job, status, style),
    }


def log_paths(job: Job) -> list[str]:
    """The job's log files below the dataset's root; globs where a task's name is in them."""
    return [shown(claim) for claim in job.claims if claim.role is ClaimRole.LOG]


def _own_part(job: Job, status: JobStatus, facts_path: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "scheduler": job.scheduler,
        "cluster": job.cluster or status.facts.get("cluster", ""),
        "submitted": job.submitted.isoformat() if job.submitted else None,
        "state": state_word(status),
        **({"facts": facts_path} if facts_path else {}),
        **_summary(status.tasks),
        **of_usage(job, status),
    }


def _failures(job: Job, status: JobStatus, style: Style) -> dict[str, Any]:
    """Why the job, or tasks of it, failed."""
    owner = status.identity.get("user", "")

    def kept(failure: Failure) -> Failure:
        return failure if style.with_identity else without_name(failure, owner)

    has_tasks = job.tasks is not None or bool(job.members)
    return recorded_failures(status, of_tasks=has_tasks, kept=kept)


def _of_tasks(job: Job, status: JobStatus, left_out: Collection[int]) -> dict[str, Any]:
    indices = [task.index for task in status.tasks if task.index is not None]
    return {
        "tasks": _tasks_by_state(status.tasks),
        "covers": ranges([index for index in indices if index not in left_out]),
        "task_outputs": list(job.request.task_outputs),
    }


def _summary(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    """The largest value over all tasks; the facts file has each task's own."""
    return {
        "exit_code": _largest([task.exit_code for task in tasks]),
        "nodes": sorted({task.nodes for task in tasks if task.nodes}),
    }


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _tasks_by_state(tasks: Sequence[TaskStatus]) -> dict[str, str]:
    of_state: dict[str, list[int]] = defaultdict(list)
    for task in tasks:
        if task.index is not None:
            of_state[task.state].append(task.index)
    return {state: ranges(indices) for state, indices in of_state.items()}
