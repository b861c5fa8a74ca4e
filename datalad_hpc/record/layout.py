"""The words around a record in a commit message, and what a record tells once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from datalad_hpc.job import Request

MARKER = "[DATALAD SLURM RUN]"
"""Begins the message of a job's commit; datalad-slurm's is the same."""
FORMAT = 1
"""Version of what stands below ``hpc``."""

START = "=== Do not change lines below ===\n"
END = "\n^^^ Do not change lines above ^^^"


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

    @property
    def completed(self) -> bool:
        """Whether all tasks of the job succeeded."""
        return self.state == "Completed"
