"""Pure: what options of sbatch ask for, as the facts that Slurm's accounting has of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datalad_hpc.sizes import DAY, HOUR, MINUTE, SIZE_UNITS

OPTIONS = ("cpus-per-task", "mem", "mem-per-cpu", "nodes", "ntasks", "ntasks-per-node")
"""The options that tell, but for ``time``, which only Slurm heeds."""

_MEMORY = re.compile(r"(\d{1,15})([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_DAYS = re.compile(r"(\d{1,6})-(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?", re.ASCII)
_CLOCK = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9})", re.ASCII)


def requested_by(options: Mapping[str, str]) -> dict[str, Any]:
    """Facts about a request.

    Without any options, sbatch asks for one processor on one node. Memory and time are told only
    if they were asked for, memory in sum over all nodes.

    Parameters
    ----------
    options:
      By their long names.
    """
    nodes = _number(options.get("nodes"), 1)
    tasks = _number(options.get("ntasks"), nodes * _number(options.get("ntasks-per-node"), 1))
    cpus = tasks * _number(options.get("cpus-per-task"), 1)
    memory = _kilobytes(options.get("mem-per-cpu")) * cpus or _kilobytes(options.get("mem")) * nodes
    facts: dict[str, Any] = {"requested_cpus": cpus, "requested_nodes": nodes}
    if memory:
        facts["requested_memory"] = f"{memory}K"
    if limit := _seconds(options.get("time")):
        facts["time_limit"] = limit
    return facts


def _number(text: str | None, default: int) -> int:
    """The smaller of two, as in ``--nodes=2-4``."""
    found = re.match("[0-9]{1,9}", text or "")
    return int(found[0]) if found and int(found[0]) else default


def _kilobytes(text: str | None) -> int:
    """Of a size that sbatch takes, in megabytes where it has no unit; 0 is all of a node."""
    found = _MEMORY.fullmatch(text or "")
    return int(found[1]) * SIZE_UNITS[found[2].upper() or "M"] // SIZE_UNITS["K"] if found else 0


def _seconds(text: str | None) -> int:
    """See ``--time`` in sbatch(1): minutes, if there is neither a dash nor a colon."""
    if found := _DAYS.fullmatch(text or ""):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return days * DAY + hours * HOUR + minutes * MINUTE + seconds
    if not (found := _CLOCK.fullmatch(text or "")):
        return 0
    parts = [int(part) for part in found.groups() if part is not None]
    if len(parts) == 1:
        return parts[0] * MINUTE
    hours, minutes, seconds = (0, *parts)[-3:]
    return hours * HOUR + minutes * MINUTE + seconds
