"""Pure: what a job of the local scheduler asked for, in the words of sbatch's options.

The local scheduler heeds none of it; what was asked is a fact all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datalad_hpc.sizes import SIZE_UNITS

OPTIONS = ("cpus-per-task", "mem", "mem-per-cpu", "nodes", "ntasks", "ntasks-per-node")
"""The options that tell."""

_MEMORY = re.compile(r"(\d+)([KMGT]?)(?:i?B)?", re.IGNORECASE)


def requested_by(options: Mapping[str, str]) -> dict[str, Any]:
    """Facts about a request, as Slurm's accounting has them of the same options.

    Without any, sbatch asks for one processor on one node. Memory is told only if it was asked
    for, and is that of the whole job.
    """
    nodes = _number(options.get("nodes"), 1)
    tasks = _number(options.get("ntasks"), nodes * _number(options.get("ntasks-per-node"), 1))
    cpus = tasks * _number(options.get("cpus-per-task"), 1)
    memory = _megabytes(options.get("mem-per-cpu")) * cpus or _megabytes(options.get("mem")) * nodes
    facts = {"requested_cpus": cpus, "requested_nodes": nodes}
    return {**facts, "requested_memory": f"{round(memory * 1024)}K"} if memory else facts


def _number(text: str | None, default: int) -> int:
    """The smaller of two, as in ``--nodes=2-4``."""
    found = re.match(r"\d+", text or "")
    return int(found[0]) if found and int(found[0]) else default


def _megabytes(text: str | None) -> float:
    """Of a size that sbatch takes, in megabytes where it has no unit."""
    found = _MEMORY.fullmatch(text or "")
    return int(found[1]) * SIZE_UNITS[found[2].upper() or "M"] / SIZE_UNITS["M"] if found else 0
