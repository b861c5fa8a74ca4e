"""What sacct and squeue have in common: rows of their answers, put together to jobs.

Pure: rows in, statuses out. A row stands for a plain job, one component of a
heterogeneous job, one task of an array, or all tasks that were not started.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.failures import whom_of
from datalad_hpc.schedulers.arrays import pending_indices
from datalad_hpc.schedulers.base import ANYBODYS
from datalad_hpc.schedulers.sbatch import TOKEN_MARK
from datalad_hpc.schedulers.slurm_states import (
    ENDED_BY_SLURM,
    RERUNNABLE_STATES,
    phase_of,
)
from datalad_hpc.status import JobKey, JobStatus, Phase, Submission, TaskStatus

SUBMITTED_BEFORE = timedelta(days=1)
"""How long before we noted it a submission may have been: we may have lost sight of the job."""

SUBMITTED_AFTER = timedelta(minutes=10)
"""How long after we noted it: clocks differ. Whoever came later has got our job's id again."""

GONE_STATE = "CANCELLED"
GONE_REASON = "no record left: cancelled before it started"

_JOB_ID = re.compile(r"(\d+)(?:_(\d+|\[[^\]]*\]?)|\+(\d+))?(?:\.(.+))?")


@dataclass(frozen=True)
class Row:
    """One line of sacct's or squeue's answer."""

    job_id: str
    place: str
    """Index of a task or component, ``[0,3-9%2]`` for tasks not started, empty for a job."""
    cluster: str
    evidence: str
    """The submit line or comment, where a token of ours would stand."""
    lasting: bool
    """Whether nobody can change the evidence later: true of a submit line, not of a comment."""
    submitted: datetime | None
    task: TaskStatus
    """What the row says, its index not filled in."""
    provisional: bool = False
    """Whether accounting has but a stub of the job: its state and place cannot be relied on."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)


def split_id(text: str) -> tuple[str, str, str] | None:
    """Job, place and step of an id such as ``7``, ``7_3.batch``, ``7_[0-9%2]`` or ``7+1.0``."""
    if text.isdecimal():
        return text, "", ""
    match = _JOB_ID.fullmatch(text.strip())
    if match is None:
        return None
    job, task, component, step = match.groups()
    return job, task or component or "", step or ""


def task_status(
    state: str, reason: str, nodes: str, started: datetime | None, **numbers: Any
) -> TaskStatus:
    """Status of a row; numbers are left out unless the state is an ended one.

    While a job runs Slurm prints an exit code of 0 and the time used so far,
    and for a pending job the times at which it may start and end.
    """
    phase = phase_of(state)
    if phase is Phase.LIVE:
        numbers = {} if nodes else {"expected": started}
        started = started if nodes else None
    return TaskStatus(None, state, phase, reason, nodes=nodes, started=started, **numbers)


def is_ours(row: Row, key: JobKey) -> bool:
    """Whether a row that carries the job's id is about the job; ids come around again.

    The token decides. Where there is no evidence, or where a site's plugin has
    put other words in the comment's place, the time of submission does.
    """
    if row.job_id != key.job_id or (key.cluster and row.cluster not in ("", key.cluster)):
        return False
    if key.token == ANYBODYS or (key.token and key.token in row.evidence):
        return True
    if TOKEN_MARK in row.evidence or (key.token and row.evidence and row.lasting):
        return False
    if row.submitted is None:
        return False
    return -SUBMITTED_BEFORE <= row.submitted - key.submitted <= SUBMITTED_AFTER


def collect(keys: Iterable[JobKey], rows: Iterable[Row]) -> dict[str, JobStatus]:
    """Statuses by job id of those jobs that the rows know; provisional rows tell nothing."""
    by_job: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_job[row.job_id].append(row)
    found: dict[str, JobStatus] = {}
    for key in keys:
        ours = [row for row in by_job[key.job_id] if not row.provisional and is_ours(row, key)]
        if ours:
            found[key.job_id] = _status(key, ours)
    return found


def missing_tasks(key: JobKey, status: JobStatus) -> tuple[int, ...]:
    """The indices that were asked for and of which the status says nothing."""
    if not key.tasks:
        return ()
    known = {task.index for task in status.tasks}
    return tuple(index for index in key.tasks if index not in known)


def is_doubtful(key: JobKey, status: JobStatus | None) -> bool:
    """Whether accounting's word needs squeue's beside it.

    Accounting lags behind submissions and requeues, hears of an array's tasks one by one, is
    ahead of the end of what Slurm itself ends, and never hears of a task that was cancelled while
    it was waiting.
    """
    if status is None or any(_may_be_live(task) for task in status.tasks):
        return True
    return bool(missing_tasks(key, status))


def _may_be_live(task: TaskStatus) -> bool:
    """Whether a task may still run, or run again, although accounting has its end."""
    started = bool(task.nodes)
    return task.state in RERUNNABLE_STATES or (started and task.state in ENDED_BY_SLURM)


def joined(told: JobStatus | None, queued: JobStatus | None) -> JobStatus | None:
    """One status of what accounting told and what squeue, asked later, has.

    What is live in the queue is live.
    """
    if told is None:
        return queued
    tasks = {task.index: task for task in told.tasks}
    for task in queued.tasks if queued else ():
        if task.phase is Phase.LIVE or task.index not in tasks:
            tasks[task.index] = task
    facts = {**(queued.facts if queued else {}), **told.facts}
    return replace(told, tasks=_in_order(tasks), facts=facts)


def without_trace(key: JobKey, status: JobStatus) -> JobStatus:
    """The status with those tasks that left none as cancelled while they waited.

    True only where the queue has every task that was ever started.
    """
    tasks = {task.index: task for task in status.tasks}
    for index in missing_tasks(key, status):
        tasks[index] = TaskStatus(index, GONE_STATE, Phase.FAILED, GONE_REASON)
    return replace(status, tasks=_in_order(tasks))


def certainly_live(keys: Sequence[JobKey], rows: Iterable[Row]) -> dict[str, JobStatus]:
    """Statuses by job id of those jobs all of which is live, as the rows of live jobs tell.

    An array is none of them where tasks are not in the queue, since those have ended, or where
    its list of pending tasks was cut, so that it is not known which are.
    """
    whole = (row for row in rows if row.place[:1] != "[" or pending_indices(row.place))
    found = collect(keys, whole)
    return {
        key.job_id: status
        for key in keys
        if (status := found.get(key.job_id))
        and status.phase is Phase.LIVE
        and not missing_tasks(key, status)
    }


def stubs_of(rows: Iterable[Row]) -> dict[str, TaskStatus]:
    """What accounting's stubs say, by job id."""
    return {row.job_id: row.task for row in rows if row.provisional}


def with_usage(status: JobStatus, stub: TaskStatus | None) -> JobStatus:
    """The status of a job from the queue, with what only accounting's stub of it knows.

    The queue knows neither memory nor processor time, nor who has cancelled it. Only the stub of
    a plain job is certain to be about the whole job.
    """
    if stub is None or [task.index for task in status.tasks] != [None]:
        return status
    (task,) = status.tasks
    if task.phase is Phase.LIVE:
        return status
    whom = whom_of(stub) if stub.state == task.state else ""
    task = replace(
        task,
        reason=f"{whom}{task.reason}".removesuffix(", "),
        cpu_time=stub.cpu_time,
        peak_memory=stub.peak_memory,
    )
    return replace(status, tasks=(task,))


def submission_of(token: str, rows: Iterable[Row]) -> Submission | None:
    """The submission among the rows that carries the token; of several, the one not cancelled.

    Raises
    ------
    SchedulerUnreachable
      Several jobs carry it, so that it cannot be told which is meant.
    """
    ours = [row for row in rows if token in row.evidence]
    kept = [row for row in ours if row.task.state != GONE_STATE] or ours[:1]
    found = {row.job_id: row.cluster for row in kept}
    if len(found) > 1:
        raise SchedulerUnreachable(
            f"Slurm has several jobs of one submission ({', '.join(sorted(found))}): cancel all "
            "but one (`scancel`)"
        )
    return next((Submission(job_id, cluster) for job_id, cluster in found.items()), None)


def _status(key: JobKey, rows: Sequence[Row]) -> JobStatus:
    tasks: dict[int | None, TaskStatus] = {}
    # Rows for many tasks first: a row of a task's own is the better one.
    for row in sorted(rows, key=lambda row: row.place.isdigit()):
        for index in _indices(row, key.tasks):
            known = row.task.index == index
            tasks[index] = row.task if known else replace(row.task, index=index)
    ordered = _in_order(tasks)
    # One that waited until its end tells nothing of what it would have got.
    first = next((row for row in rows if row.task.nodes), rows[0])
    facts = {**first.facts, **_span(ordered)} if first.facts else {}
    if facts and key.tasks is None and len(ordered) > 1:
        # Each component asked for something of its own, of which this is the first's.
        facts["components"] = len(ordered)
    return JobStatus(key.job_id, ordered, facts, dict(first.identity))


def _indices(row: Row, wanted: tuple[int, ...] | None) -> tuple[int | None, ...]:
    if row.place.isdigit():
        return (int(row.place),)
    if row.place:
        # A list that was cut stands for all that have no row of their own.
        return pending_indices(row.place) or wanted or ()
    if wanted is None:
        return (None,)
    # An array that is not split yet is one plain row.
    return wanted if row.task.phase is Phase.LIVE else ()


def _in_order(tasks: Mapping[int | None, TaskStatus]) -> tuple[TaskStatus, ...]:
    return tuple(sorted(tasks.values(), key=lambda task: -1 if task.index is None else task.index))


def _span(tasks: Sequence[TaskStatus]) -> dict[str, str]:
    """First start and, once all have ended, last end of the tasks, as ISO texts."""
    span = {}
    starts = [task.started for task in tasks if task.started]
    ends = [task.ended for task in tasks if task.ended]
    if starts:
        span["started"] = min(starts).isoformat()
    if ends and len(ends) == len(tasks):
        span["ended"] = max(ends).isoformat()
    return span
