"""A command of the user's own that is run when jobs are over."""

from __future__ import annotations

import json
import logging
import os
import shlex
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from datalad_hpc import process
from datalad_hpc.errors import ProcessFailed
from datalad_hpc.results import Result
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.notifying")

SETTING = "datalad.hpc.notify"

TIME_LIMIT = 60.0
"""Seconds that the command may take."""


class Ending(str, Enum):
    """How the waiting came to its end."""

    DONE = "done"
    """All jobs are committed or closed."""
    FAILED = "failed"
    """None may still run, but some stay open."""
    TIMEOUT = "timeout"
    """The time was over, and some may still run."""
    ERROR = "error"
    """It could not go on."""


@dataclass
class Notice:
    """What became of jobs."""

    committed: list[dict[str, str]] = field(default_factory=list)
    """Id and commit of each."""
    failed: list[str] = field(default_factory=list)
    """Ids of those that stay open and are over."""
    closed: list[str] = field(default_factory=list)
    """Ids of those that were given up."""
    live: list[str] = field(default_factory=list)

    def add(self, outcome: Result) -> None:
        """Take note of a result."""
        name = outcome.get("slurm_job_id", "")
        if outcome.get("live"):
            self.live.append(name)
        elif outcome["status"] not in ("ok", "notneeded"):
            self.failed.append(name)
        elif outcome["status"] == "ok" and outcome.get("commit"):
            self.committed.append({"id": name, "commit": outcome["commit"]})
        elif outcome["status"] == "ok" and name:
            self.closed.append(name)


def notify(
    workplace: Workplace, notice: Notice, ending: Ending, summary: str, seconds: float
) -> None:
    """Run the user's command, if there is one; its failure is a warning.

    Parameters
    ----------
    summary:
      A sentence for people.
    seconds:
      How long was waited.
    """
    command = workplace.setting(SETTING).strip()
    if not command:
        return
    told: dict[str, Any] = {
        "dataset": str(workplace.root),
        "outcome": ending.value,
        "summary": summary,
        "seconds": round(seconds),
        "committed": notice.committed,
        "failed": notice.failed,
        "closed": notice.closed,
        "live": notice.live,
    }
    try:
        ended = process.run(
            shlex.split(command),
            folder=workplace.root,
            stdin=json.dumps(told).encode() + b"\n",
            environment={**os.environ, **_variables(told)},
            timeout=TIME_LIMIT,
        )
        trouble = f"exit code {ended.code}: {ended.complaint}" if ended.code else ""
    except (ProcessFailed, ValueError) as error:
        trouble = str(error)
    if trouble:
        lgr.warning("The command of the setting %s failed (%s)", SETTING, trouble.rstrip(": "))


def _variables(told: dict[str, Any]) -> dict[str, str]:
    """The same for the environment; of lists the lengths."""
    return {
        f"FINISH_{name.upper()}": str(len(value) if isinstance(value, list) else value)
        for name, value in told.items()
    }
