"""The words around a record in a commit message, and what a record tells once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datalad_hpc.job import Request

MARKER = "[DATALAD SLURM RUN]"
"""Begins the message of a job's commit; datalad-slurm's is the same."""
CORE_MARKER = "[DATALAD RUNCMD]"
"""Begins the message of a commit that core's ``datalad rerun`` can run again."""
FORMAT = 1
"""Version of what stands below ``hpc``."""

START = "=== Do not change lines below ===\n"
END = "\n^^^ Do not change lines above ^^^"

COMPLETED = "Completed"
"""The state of a job all of whose tasks succeeded."""

_SHORT = 40
"""Characters of a command that core takes for a subject."""


@dataclass(frozen=True)
class Style:
    """How the records of a dataset are written."""

    dataset_id: str
    """DataLad's id of the dataset, empty where it has none."""
    root: str
    """The dataset's root; it is written as ``{dspath}``, since a clone lies elsewhere."""
    for_rerun: bool = False
    """Whether core's ``datalad rerun`` is to run plain commands again."""
    with_identity: bool = False
    """Whether options are kept that name people or their accounts."""


@dataclass(frozen=True)
class Record:
    """What a commit message tells of a job."""

    request: Request
    """What to run again; its ``chain`` does not name the commit itself yet."""
    dataset_id: str
    job_id: str
    state: str
    """The state in the subject line, such as ``Completed``."""
    messages: str
    """What the users wrote at schedule and at finish."""
    tasks: Mapping[str, str] = field(default_factory=dict)
    """Indices of an array's tasks by state; empty where the record does not tell."""
    covers: str = ""
    """Indices of the tasks whose outputs the commit holds, likewise."""
    is_cores: bool = False
    """Whether ``datalad rerun`` reads it as well, since it was written by ``run``, or as if."""
    own: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What else stands below ``hpc``; it may be anything."""

    @property
    def completed(self) -> bool:
        """Whether all tasks of the job succeeded."""
        return self.state == COMPLETED


def short_command(command: str) -> str:
    """The beginning of a command, which is core's subject where the user gives no message."""
    return (command[:_SHORT] + "..." * (len(command) > _SHORT)).strip("\n")
