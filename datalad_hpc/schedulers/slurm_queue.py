"""Slurm's queue: how squeue and scontrol are asked, and how their answers are read.

The controller keeps a job for ``MinJobAge`` seconds after its end, live ones
at any age, and answers at once; accounting may be late, down or not there at
all. See squeue(1).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers.slurm_rows import Row, split_id, task_status
from datalad_hpc.schedulers.slurm_states import (
    FactSource,
    exit_of,
    iso_of,
    number_of,
    read_facts,
    seconds_of,
    state_of,
    time_of,
    told,
)
from datalad_hpc.status import Phase, TaskStatus

FIELD_END = "\x1f"
ROW_END = "\x1e"
"""Comments and names may hold any printing character, even newlines."""

COLUMNS = (
    "JobArrayID",
    "Cluster",
    "State",
    "exit_code",
    "Reason",
    "SubmitTime",
    "EligibleTime",
    "StartTime",
    "EndTime",
    "TimeUsed",
    "NodeList",
    "RestartCnt",
    "Name",
    "Partition",
    "QOS",
    "NumCPUs",
    "NumNodes",
    "TimeLimit",
    "UserName",
    "GroupName",
    "Account",
    "Comment",
)

WATCH_COLUMNS = tuple(
    column for column in COLUMNS if column not in ("UserName", "GroupName", "Account")
)
"""All but what is looked up row by row."""

LIVE_COLUMNS = (
    "JobArrayID",
    "Cluster",
    "State",
    "Reason",
    "SubmitTime",
    "StartTime",
    "NodeList",
    "Comment",
)
"""What matters to ``finish`` of a job that is not over: thousands of them are read at once."""

FIRST_HEADING = "JOBID"
"""What squeue prints above JobArrayID. Without a heading nothing was told, not even of no jobs."""

ENDING = "COMPLETING"
"""A job that has ended, and after which its nodes are still cleaned up."""

FACTS: dict[str, FactSource] = {
    "name": ("Name", told),
    "cluster": ("Cluster", told),
    "partition": ("Partition", told),
    "qos": ("QOS", told),
    "requested_cpus": ("NumCPUs", number_of),
    "requested_nodes": ("NumNodes", number_of),
    "time_limit": ("TimeLimit", seconds_of),
    "submitted": ("SubmitTime", iso_of),
    "eligible": ("EligibleTime", iso_of),
    "restarts": ("RestartCnt", number_of),
}
IDENTITY: dict[str, FactSource] = {
    "user": ("UserName", told),
    "group": ("GroupName", told),
    "account": ("Account", told),
}

NO_ACCOUNTING = ("accounting_storage/none", "(null)", "")
"""Values of AccountingStorageType of a cluster that stands alone."""

EVERY_CLUSTER = "all"

KEEPING_MARGIN = timedelta(seconds=60)
"""The controller's clock is not ours."""


@dataclass(frozen=True)
class Settings:
    """What the controller is set to, as far as it tells what may be missing from the queue."""

    kept: timedelta | None
    """How long a job is kept after its end; ``None`` is for ever."""
    alone: bool
    """Whether the cluster has no accounting, through which other clusters are reached."""

    def remembers(self, since: datetime) -> bool:
        """Whether every job that was started since then is still in the queue."""
        age = datetime.now(timezone.utc) - since
        return self.kept is None or age <= self.kept - KEEPING_MARGIN


def queue_command(clusters: Iterable[str] = ()) -> list[str]:
    """The squeue call that lists all jobs of the user, on this cluster unless others are named.

    ``--all`` is for partitions that are hidden, ``--states=all`` for jobs that
    ended and are still kept.
    """
    return _command(COLUMNS, clusters, "--states=all")


def watch_command(clusters: Iterable[str] = ()) -> list[str]:
    """The same with all columns but those on users and groups."""
    return _command(WATCH_COLUMNS, clusters, "--states=all")


def live_command(clusters: Iterable[str] = ()) -> list[str]:
    """The squeue call that lists the jobs of the user that are not over, quick with thousands."""
    return _command(LIVE_COLUMNS, clusters)


def settings_command() -> list[str]:
    """The scontrol call that shows what the controller is set to."""
    return ["scontrol", "show", "config"]


def parse(text: str) -> list[Row]:
    """The rows of squeue's answer.

    Raises
    ------
    SchedulerUnreachable
      The text is not such an answer.
    """
    return [_row(dict(zip(COLUMNS, fields, strict=True))) for fields in _records(text, COLUMNS)]


def parse_watched(text: str, ids: Container[str]) -> list[Row]:
    """The rows of some jobs in the answer to :func:`watch_command`; see :func:`parse_live`."""
    return [
        _row(dict(zip(WATCH_COLUMNS, fields, strict=True)))
        for fields in _records(text, WATCH_COLUMNS)
        if _split(fields[0])[0] in ids
    ]


def parse_live(text: str, ids: Container[str]) -> list[Row]:
    """The rows of some jobs in the answer to :func:`live_command`.

    Jobs that are :data:`ENDING` are left out: what became of them is known to accounting.

    Parameters
    ----------
    ids:
      The jobs' ids.

    Raises
    ------
    SchedulerUnreachable
      The text is not such an answer.
    """
    rows = []
    for name, cluster, state, reason, submitted, started, nodes, comment in _records(
        text, LIVE_COLUMNS
    ):
        job_id, place, _ = _split(name)
        task = _live_task(state, reason, nodes, started)
        if job_id in ids and task:
            evidence = told(comment)
            when = time_of(submitted)
            rows.append(Row(job_id, place, told(cluster), evidence, False, when, task))
    return rows


@lru_cache(maxsize=1000)
def _live_task(state: str, reason: str, nodes: str, started: str) -> TaskStatus | None:
    """The status of a row that is live; thousands of jobs wait for the same reason."""
    word, _ = state_of(state)
    task = task_status(word, told(reason), told(nodes), time_of(started))
    return task if task.phase is Phase.LIVE and word != ENDING else None


def parse_settings(text: str) -> Settings:
    """What ``scontrol show config`` says of the keeping of jobs and of accounting.

    Raises
    ------
    SchedulerUnreachable
      The text does not say it.
    """
    settings = dict(re.findall(r"^(\w+)\s*= ?(.*?)\s*$", text, re.MULTILINE))
    age = re.match(r"\d+", settings.get("MinJobAge", ""))
    if age is None or "AccountingStorageType" not in settings:
        raise SchedulerUnreachable("scontrol does not tell how long Slurm keeps ended jobs")
    seconds = int(age[0])
    return Settings(
        timedelta(seconds=seconds) if seconds else None,
        settings["AccountingStorageType"] in NO_ACCOUNTING,
    )


def _command(columns: Sequence[str], clusters: Iterable[str], *options: str) -> list[str]:
    command = ["squeue", "--me", "--all", *options]
    if named := ",".join(sorted(clusters)):
        command.append(f"--clusters={named}")
    # A column with a text after its colon and no width is printed in full.
    *first, last = columns
    formats = [*(f"{column}:{FIELD_END}" for column in first), f"{last}:{ROW_END}"]
    return [*command, f"--Format={','.join(formats)}"]


def _records(text: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The fields of each row; there is a heading above those of each cluster."""
    *lines, rest = text.split(ROW_END)
    if rest.strip():
        raise SchedulerUnreachable(f"squeue's answer breaks off at: {rest.strip()[:200]}")
    has_heading = False
    for line in lines:
        fields = line.lstrip("\n").split(FIELD_END)
        if len(fields) != len(columns):
            raise SchedulerUnreachable(f"squeue printed something unexpected: {line[:200]}")
        # Where clusters are named a line with the cluster's name stands before.
        if fields[0].endswith(FIRST_HEADING):
            has_heading = True
        else:
            yield fields
    if not has_heading:
        raise SchedulerUnreachable("squeue succeeded, but printed no list of jobs")


def _split(name: str) -> tuple[str, str, str]:
    named = split_id(name)
    if named is None:
        raise SchedulerUnreachable(f"squeue printed no job id but {name!r}")
    return named


def _row(record: Mapping[str, str]) -> Row:
    job_id, place, _ = _split(record["JobArrayID"])
    state, _ = state_of(record["State"])
    code, signal = exit_of(record["exit_code"])
    task = task_status(
        state,
        told(record["Reason"]),
        told(record["NodeList"]),
        time_of(record["StartTime"]),
        ended=time_of(record["EndTime"]),
        exit_code=code,
        signal=signal,
        elapsed=seconds_of(record["TimeUsed"]),
    )
    return Row(
        job_id=job_id,
        place=place,
        cluster=told(record["Cluster"]),
        evidence=told(record["Comment"]),
        lasting=False,
        submitted=time_of(record["SubmitTime"]),
        task=task,
        facts=read_facts(record, FACTS),
        identity=read_facts(record, IDENTITY),
    )
