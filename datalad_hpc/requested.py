"""Pure: what options of sbatch ask for, as the facts that Slurm's accounting has of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datalad_hpc.sizes import SIZE_UNITS, limit_of

OPTIONS = ("cpus-per-task", "mem", "mem-per-cpu", "nodes", "ntasks", "ntasks-per-node")
"""The options that tell, but for ``time``, which only Slurm heeds."""

_MEMORY = re.compile(r"(\d{1,15})([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)


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
    if limit := limit_of(options.get("time", "")):
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
