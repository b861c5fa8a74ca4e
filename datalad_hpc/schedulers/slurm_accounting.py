"""Slurm's accounting: how sacct is asked, and how its answer is read.

Columns are read by the name that stands in the header. See sacct(1).
"""

from __future__ import annotations

import math
import signal
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers.slurm_rows import Row, split_id, task_status
from datalad_hpc.schedulers.slurm_states import (
    FactSource,
    by_name,
    exit_of,
    group_of,
    iso_of,
    minutes_of,
    number_of,
    read_facts,
    seconds_of,
    state_of,
    time_of,
    told,
    unfolded_code,
)
from datalad_hpc.sizes import bytes_of
from datalad_hpc.status import NEVER, OUT_OF_MEMORY, TaskStatus

SEPARATOR = "\x1f\x1e"
"""Between columns; submit lines and names may hold any printing character, even newlines."""

LAST_COLUMN = "JobIDRaw"
"""A column that never holds a newline ends each row, so that the others may."""

SEARCH_COLUMNS = ("JobID", "Cluster", "State", "Submit", "Partition", "SubmitLine")

STATUS_COLUMNS = (
    *SEARCH_COLUMNS,
    "ExitCode",
    "DerivedExitCode",
    "Reason",
    "Start",
    "End",
    "ElapsedRaw",
    "NodeList",
)

FACT_COLUMNS = (
    *STATUS_COLUMNS,
    "JobName",
    "Eligible",
    "TotalCPU",
    "MaxRSS",
    "NTasks",
    "ReqCPUS",
    "AllocCPUS",
    "ReqMem",
    "ReqNodes",
    "TimelimitRaw",
    "User",
    # By its name (Group) sacct would look it up again for each step.
    "GID",
    "Account",
)
"""QOS, ReqTRES and AllocTRES are left out: sacct would fetch a table for each of them first, which
doubles its time. Who asked for them did so in the submit line or in the script, which are kept."""

FACTS: dict[str, FactSource] = {
    "name": ("JobName", told),
    "cluster": ("Cluster", told),
    "partition": ("Partition", told),
    "requested_cpus": ("ReqCPUS", number_of),
    "allocated_cpus": ("AllocCPUS", number_of),
    "requested_memory": ("ReqMem", told),
    "requested_nodes": ("ReqNodes", number_of),
    "time_limit": ("TimelimitRaw", minutes_of),
    "submitted": ("Submit", iso_of),
    "eligible": ("Eligible", iso_of),
}
IDENTITY: dict[str, FactSource] = {
    "user": ("User", told),
    "group": ("GID", group_of),
    "account": ("Account", told),
}

EVERY_STATE = (
    "PENDING,RUNNING,SUSPENDED,REQUEUED,RESIZING,COMPLETED,FAILED,CANCELLED,TIMEOUT,"
    "OUT_OF_MEMORY,NODE_FAIL,BOOT_FAIL,DEADLINE,PREEMPTED,REVOKED"
)
"""Without a list of states a search leaves out jobs that were cancelled while they were held."""

FAR_AHEAD = "2037-12-31T00:00:00"
"""End of a search's window: a job that is to begin tomorrow is eligible only then."""

FAR_BACK = "1980-01-01T00:00:00"

BEFORE_SUBMISSION = timedelta(days=1)
"""How far before the submission a query starts: clocks differ."""

BEFORE_SEARCH = timedelta(hours=1)


def status_command(
    ids: Iterable[str], since: datetime, *, clusters: Iterable[str] = (), facts: bool = False
) -> list[str]:
    """The sacct call that asks for jobs.

    Parameters
    ----------
    ids:
      The jobs' ids.
    since:
      The earliest time of their submissions.
    clusters:
      Where they run; none is this cluster.
    facts:
      Whether steps are listed too: only they have the peak memory.
    """
    command = _command(FACT_COLUMNS if facts else STATUS_COLUMNS)
    if not facts:
        command.append("--allocations")
    if named := ",".join(sorted(clusters)):
        command.append(f"--clusters={named}")
    return [*command, f"--starttime={_start(since, BEFORE_SUBMISSION)}", f"--jobs={','.join(ids)}"]


def search_command(since: datetime, user: int) -> list[str]:
    """The sacct call that lists a user's jobs, on all clusters, submitted after a time.

    Jobs that wait and were held from the start have no time of eligibility
    and are never listed; squeue has those.
    """
    return [
        *_command(SEARCH_COLUMNS),
        "--allocations",
        "--allclusters",
        f"--user={user}",
        f"--state={EVERY_STATE}",
        f"--starttime={_start(since, BEFORE_SEARCH)}",
        f"--endtime={FAR_AHEAD}",
    ]


def parse(text: str) -> list[Row]:
    """The rows of sacct's answer; what the steps used is added to the row of their job.

    Raises
    ------
    SchedulerUnreachable
      The text is not such an answer.
    """
    jobs: dict[tuple[str, str, str], dict[str, str]] = {}
    steps: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for record in _records(text):
        named = split_id(record["JobID"])
        if named is None:
            continue
        job_id, place, step = named
        key = (record["Cluster"], job_id, place)
        if step:
            steps[key].append(record)
        else:
            jobs[key] = record
    return [_row(key, record, steps[key]) for key, record in jobs.items()]


def _command(columns: Sequence[str]) -> list[str]:
    names = ",".join((*columns, LAST_COLUMN))
    return ["sacct", "--parsable2", f"--delimiter={SEPARATOR}", "--noconvert", f"--format={names}"]


def _start(since: datetime, margin: timedelta) -> str:
    """Where a window begins: far back if ``since`` is to come, our clock having been moved back."""
    return FAR_BACK if since > datetime.now(timezone.utc) + margin else _time(since - margin)


def _time(time: datetime) -> str:
    """As sacct reads it where TZ is UTC."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _records(text: str) -> list[dict[str, str]]:
    """Rows by column name, steps among them."""
    header, _, body = text.partition("\n")
    names = header.split(SEPARATOR)
    if not {*SEARCH_COLUMNS, LAST_COLUMN} <= set(names):
        raise SchedulerUnreachable(f"sacct printed something that is no list of jobs: {text[:200]}")
    pieces, width = body.split(SEPARATOR), len(names) - 1
    if (len(pieces) - 1) % width:
        raise SchedulerUnreachable(f"sacct's answer breaks off at: {body[-200:]}")
    records = []
    first = pieces[0]
    for start in range(0, len(pieces) - 1, width):
        # Between two rows stands one piece: a last column, a newline, a first column.
        last, _, following = pieces[start + width].partition("\n")
        fields = [first, *pieces[start + 1 : start + width], last]
        records.append(dict(zip(names, fields, strict=True)))
        first = following
    return records


def _row(
    key: tuple[str, str, str], record: Mapping[str, str], steps: Sequence[Mapping[str, str]]
) -> Row:
    cluster, job_id, place = key
    state, remark = state_of(record["State"])
    code, number = exit_of(record.get("ExitCode", ""))
    task = task_status(
        state,
        told(record.get("Reason", "")),
        told(record.get("NodeList", "")),
        time_of(record.get("Start", "")),
        ended=time_of(record.get("End", "")),
        exit_code=unfolded_code(code, record.get("DerivedExitCode", "")),
        signal=number,
        elapsed=seconds_of(record.get("ElapsedRaw", "")),
        cpu_time=_cpu_time(record, steps),
        peak_memory=_peak_memory(steps),
    )
    reason = ", ".join(filter(None, (by_name(remark), _true_reason(task, remark, record))))
    task = replace(task, reason=reason)
    return Row(
        job_id=job_id,
        place=place,
        cluster=cluster,
        evidence=record["SubmitLine"],
        lasting=bool(record["SubmitLine"]),
        submitted=time_of(record["Submit"]),
        task=task,
        # For some seconds a started job may have but a stub: named "allocation", one row for
        # a whole array or heterogeneous job, in whatever state its first part has reached.
        provisional=not record["Partition"],
        facts=_facts(record, steps) if "JobName" in record else {},
        identity=read_facts(record, IDENTITY),
    )


def _facts(record: Mapping[str, str], steps: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What is known of the whole job; a peak of memory is that of one of its largest processes."""
    facts = read_facts(record, FACTS)
    # As long as it waits it has got none.
    if not facts.get("allocated_cpus"):
        facts.pop("allocated_cpus", None)
    processes = max((number_of(step.get("NTasks", "")) or 1 for step in steps), default=1)
    return {**facts, "processes": processes} if processes > 1 else facts


def _true_reason(task: TaskStatus, remark: str, record: Mapping[str, str]) -> str:
    """The reason, where accounting says less than it knows."""
    # Nobody has cancelled it, and it never ran: so ends what --kill-on-invalid-dep is about, and
    # nothing else but with an exit code (of a partition that was taken away).
    if task.state == "CANCELLED" and not (remark or task.nodes or task.exit_code or task.signal):
        return NEVER
    # What slurmd ends for its memory (OverMemoryKill) has but failed.
    asked = bytes_of(record.get("ReqMem", "")) or math.inf
    if task.state == "FAILED" and task.signal == signal.SIGKILL and task.peak_memory:
        return OUT_OF_MEMORY if task.peak_memory > asked else task.reason
    return task.reason


def _cpu_time(record: Mapping[str, str], steps: Sequence[Mapping[str, str]]) -> float | None:
    """That of the allocation; the sum of its steps where it has none."""
    whole = seconds_of(record.get("TotalCPU", ""))
    parts = [seconds_of(step.get("TotalCPU", "")) or 0.0 for step in steps]
    return whole or (sum(parts) if parts else whole)


def _peak_memory(steps: Sequence[Mapping[str, str]]) -> int | None:
    """The largest of the steps; the allocation's own row has none."""
    return max((bytes_of(step.get("MaxRSS", "")) or 0 for step in steps), default=0) or None
