"""Slurm's queue: how squeue and scontrol are asked, and how their answers are read.

The controller keeps a job for ``MinJobAge`` seconds after its end, live ones
at any age, and answers at once; accounting may be late, down or not there at
all. See squeue(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

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


@dataclass(frozen=True)
class Settings:
    """What the controller is set to, as far as it tells what may be missing from the queue."""

    kept: timedelta | None
    """How long a job is kept after its end; ``None`` is for ever."""
    alone: bool
    """Whether the cluster has no accounting, through which other clusters are reached."""


def queue_command(clusters: Iterable[str] = ()) -> list[str]:
    """The squeue call that lists all jobs of the user, on this cluster unless others are named.

    ``--all`` is for partitions that are hidden, ``--states=all`` for jobs that
    ended and are still kept.
    """
    command = ["squeue", "--me", "--all", "--states=all", "--noheader"]
    if named := ",".join(sorted(clusters)):
        command.append(f"--clusters={named}")
    # A column with a text after its colon and no width is printed in full.
    columns = [f"{column}:{FIELD_END}" for column in COLUMNS[:-1]]
    return [*command, f"--Format={','.join([*columns, f'{COLUMNS[-1]}:{ROW_END}'])}"]


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
    *lines, rest = text.split(ROW_END)
    if rest.strip():
        raise SchedulerUnreachable(f"squeue's answer breaks off at: {rest.strip()[:200]}")
    rows = []
    for line in lines:
        fields = line.lstrip("\n").split(FIELD_END)
        if len(fields) != len(COLUMNS):
            raise SchedulerUnreachable(f"squeue printed something unexpected: {line[:200]}")
        rows.append(_row(dict(zip(COLUMNS, fields, strict=True))))
    return rows


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


def _row(record: Mapping[str, str]) -> Row:
    named = split_id(record["JobArrayID"])
    if named is None:
        raise SchedulerUnreachable(f"squeue printed no job id but {record['JobArrayID']!r}")
    job_id, place, _ = named
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
