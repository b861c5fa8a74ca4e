"""What ``sbatch --test-only`` is asked, and what its answer means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

from datalad_hpc.schedulers.base import Estimate
from datalad_hpc.schedulers.sbatch import BatchCommand, with_options
from datalad_hpc.schedulers.slurm_submit import submission_environment

_TO_START = re.compile(r"Job \d+ to start at (\S+)")
_NOT_ASKED = re.compile(r"slurm controller|timed out|connect failure", re.IGNORECASE)
_FAR_OFF = datetime(2100, 1, 1, tzinfo=timezone.utc)


def check_command(command: BatchCommand) -> tuple[str, ...]:
    """The command line that has a submission checked, with the script as standard input."""
    return with_options(command.argv[: command.script_position], ["--test-only"])


def check_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a submission, in which times are printed in seconds since 1970.

    The time zone stays the user's own, in which ``--begin`` is meant.
    """
    return {**submission_environment(environment), "SLURM_TIME_FORMAT": "%s"}


def estimate_of(code: int, words: str) -> Estimate:
    """What sbatch answered with an exit code, and all that it printed."""
    if code:
        return Estimate(None if _NOT_ASKED.search(words) else False, None, words)
    found = _TO_START.search(words)
    return Estimate(True, _near(found[1]) if found else None, words)


def _near(text: str) -> datetime | None:
    """A time as Slurm prints it, unless it is as far off as with endless jobs in the queue."""
    try:
        if text.isdecimal():
            start = datetime.fromtimestamp(int(text), timezone.utc)
        else:
            start = datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return start if start < _FAR_OFF else None
