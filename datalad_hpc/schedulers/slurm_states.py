"""Slurm's words as values: tables of states, and readers of times, spans and sizes.

Where nothing is told Slurm prints one of many words (``Unknown``, ``N/A``,
``(null)`` ...); all of them are read as ``None`` or as an empty text.
"""

from __future__ import annotations

import contextlib
import grp
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any

from datalad_hpc.schedulers.people import user_of
from datalad_hpc.status import Phase

ENDED_STATES = {
    "COMPLETED": Phase.COMPLETED,
    "FAILED": Phase.FAILED,
    "CANCELLED": Phase.FAILED,
    "TIMEOUT": Phase.FAILED,
    "OUT_OF_MEMORY": Phase.FAILED,
    "NODE_FAIL": Phase.FAILED,
    "BOOT_FAIL": Phase.FAILED,
    "DEADLINE": Phase.FAILED,
    "PREEMPTED": Phase.FAILED,
    "REVOKED": Phase.FAILED,
}
"""The states after which a job does not run again; every other word means that it may."""

RERUNNABLE_STATES = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL")
"""Ended states that Slurm itself may answer with a requeue, of which accounting hears later."""

ENDED_BY_SLURM = ("CANCELLED", "TIMEOUT", "DEADLINE")
"""States that accounting hears of when a job is told to end: it may go on for ``KillWait``, 30
seconds by default (slurm.conf(5)), in which the queue has it as COMPLETING."""

NOT_TOLD = ("", "Unknown", "None", "NONE", "N/A", "(null)", "None assigned", "INVALID")
"""What sacct, squeue and scontrol print where they have nothing to say."""

TAKEN_AWAY = 128
"""From larger exit codes by sacct; see :func:`unfolded_code`."""

FactSource = tuple[str, Callable[[str], Any]]
"""Column that tells a fact, and the reader of its text."""

_SPAN = re.compile(r"(?:(\d+)-)?((?:\d+:){0,2}\d+(?:\.\d+)?)")
_WAIT_STATUS_SIGNAL = 0x7F


def phase_of(state: str) -> Phase:
    """Phase of a state's word; a word that is not in :data:`ENDED_STATES` is live."""
    return ENDED_STATES.get(state, Phase.LIVE)


def state_of(text: str) -> tuple[str, str]:
    """Word and remark of a state: ``CANCELLED by 0`` is ``CANCELLED`` and ``by 0``.

    A trailing ``+``, with which sacct marks a column that was cut, is dropped.
    """
    word, _, remark = text.strip().partition(" ")
    return word.rstrip("+"), remark.strip()


def told(text: str) -> str:
    """The text, or nothing where Slurm printed one of its words for nothing."""
    return "" if text.strip() in NOT_TOLD else text.strip()


def time_of(text: str) -> datetime | None:
    """A time in UTC.

    The queries set ``SLURM_TIME_FORMAT=%s`` and ``TZ=UTC``, so it is either
    seconds since 1970 or, where a Slurm does not know that setting, ISO in UTC.
    """
    text = told(text)
    if text.isdigit():
        return datetime.fromtimestamp(int(text), tz=timezone.utc) if int(text) else None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def seconds_of(text: str) -> float | None:
    """Seconds of a span: ``1-02:03:04``, ``02:03:04``, ``03:04.500`` or ``4``."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        return None
    seconds = 0.0
    for part in match[2].split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + int(match[1] or 0) * 86400


def exit_of(text: str) -> tuple[int | None, int | None]:
    """Exit code and signal; signal 0 is no signal.

    sacct prints ``code:signal``, squeue the number that ``wait`` returned
    (768 for an exit code of 3, 9 for SIGKILL).
    """
    code, colon, signal = text.strip().partition(":")
    if not code.isdigit() or (colon and not signal.isdigit()):
        return None, None
    if colon:
        return int(code), int(signal) or None
    ended_by = int(code) & _WAIT_STATUS_SIGNAL
    return (0, ended_by) if ended_by else (int(code) >> 8, None)


def unfolded_code(code: int | None, highest: str) -> int | None:
    """An exit code of sacct's, which takes 128 away from those above until Slurm 25.11.

    Parameters
    ----------
    highest:
      The DerivedExitCode: where a step of the job was ended by a signal it is known that the
      shell, which adds 128 to it, told of that.
    """
    _, signal = exit_of(highest)
    return code + TAKEN_AWAY if code and signal == code else code


def number_of(text: str) -> int | None:
    """A whole number."""
    return int(text) if text.strip().isdigit() else None


@cache
def group_of(text: str) -> str:
    """Name of the group with a number; the number where this machine has no such group."""
    with contextlib.suppress(KeyError, ValueError):
        return grp.getgrgid(int(text)).gr_name
    return told(text)


def by_name(remark: str) -> str:
    """``by 1000`` with the name of the user; the number where this machine has no such user."""
    by, _, number = remark.partition(" ")
    return f"by {user_of(number)}" if by == "by" else remark


def minutes_of(text: str) -> int | None:
    """Seconds of a limit in minutes; ``UNLIMITED`` and ``Partition_Limit`` are none."""
    minutes = number_of(text)
    return None if minutes is None else minutes * 60


def iso_of(text: str) -> str | None:
    """A time as an ISO text in UTC."""
    time = time_of(text)
    return time.isoformat() if time else None


def read_facts(record: Mapping[str, str], sources: Mapping[str, FactSource]) -> dict[str, Any]:
    """The facts that a record tells; what it does not tell is left out."""
    values = {name: read(record.get(column, "")) for name, (column, read) in sources.items()}
    return {name: value for name, value in values.items() if value not in (None, "")}
