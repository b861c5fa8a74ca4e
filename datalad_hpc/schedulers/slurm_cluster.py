"""Pure: what Slurm's programs print of a cluster, for who looks at it as a whole.

See slurm.conf(5), scontrol(1) and sinfo(1).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datalad_hpc.schedulers.slurm_queue import NO_ACCOUNTING

SITE_LIMITS = {
    "MaxArraySize": "array size",
    "MaxJobCount": "jobs of all",
    "MaxTasksPerNode": "tasks a node",
    "DefMemPerNode": "default memory a node (MB)",
    "DefMemPerCPU": "default memory a processor (MB)",
    "MaxMemPerNode": "largest memory a node (MB)",
    "MaxMemPerCPU": "largest memory a processor (MB)",
}
"""Settings that limit a job, and how we call them."""

NO_LIMIT = ("UNLIMITED", "NONE", "(null)", "N/A", "")

_IN_WORDS = {
    "max_time": "at most {}",
    "default_time": "by default {}",
    "max_nodes": "at most {} nodes a job",
}

EVERYWHERE = "ALL"


@dataclass(frozen=True)
class Node:
    """One of a cluster's nodes: Slurm's name for it, its host's name, and its address."""

    name: str
    host: str
    address: str

    @property
    def is_here(self) -> bool:
        """Whether it is the machine that we run on."""
        here = socket.gethostname()
        return not {here, here.partition(".")[0]}.isdisjoint((self.name, self.host, self.address))


@dataclass(frozen=True)
class Partition:
    """One of a cluster's partitions: what ``scontrol show partition`` says."""

    settings: Mapping[str, str]

    @property
    def is_default(self) -> bool:
        """Whether a job goes there that names none."""
        return self.settings.get("Default") == "YES"

    @property
    def is_up(self) -> bool:
        """Whether jobs start there."""
        return self.settings.get("State") == "UP"

    @property
    def submit_hosts(self) -> str:
        """From where jobs may be submitted, as Slurm writes lists of hosts."""
        return self.settings.get("AllocNodes", EVERYWHERE)

    @property
    def facts(self) -> dict[str, Any]:
        """The limits as data; nothing stands for no limit."""
        wanted = {
            "max_time": "MaxTime",
            "default_time": "DefaultTime",
            "max_nodes": "MaxNodes",
            "nodes": "TotalNodes",
            "processors": "TotalCPUs",
            "submit_hosts": "AllocNodes",
        }
        told = {name: self.settings.get(key, "") for name, key in wanted.items()}
        limits = {name: text for name, text in told.items() if text not in NO_LIMIT}
        name = self.settings.get("PartitionName", "")
        return {"name": name, "default": self.is_default, "up": self.is_up, **limits}

    @property
    def text(self) -> str:
        """The same in a few words."""
        facts = self.facts
        words = ["1 node" if facts.get("nodes") == "1" else f"{facts.get('nodes', 'no')} nodes"]
        words += [shown.format(facts[name]) for name, shown in _IN_WORDS.items() if name in facts]
        words += ["the default"] * self.is_default + ["not up"] * (not self.is_up)
        return f"{facts['name']} ({', '.join(words)})"


@dataclass(frozen=True)
class Accounting:
    """What the configuration says of the memory of ended jobs."""

    is_none: bool
    kept: int | None
    """Seconds for which the controller keeps them; ``None`` where it is not told, or for ever."""


def configuration_in(text: str) -> dict[str, str]:
    """Settings by name in what ``scontrol show config`` prints."""
    return dict(re.findall(r"^([\w\[\]]+)\s*= ?(.*?)\s*$", text, re.MULTILINE))


def accounting_in(settings: Mapping[str, str]) -> Accounting:
    """What the settings say of accounting; none where nothing is known."""
    age = re.match(r"\d+", settings.get("MinJobAge", ""))
    kind = settings.get("AccountingStorageType", "unknown")
    return Accounting(kind in NO_ACCOUNTING, int(age[0]) or None if age else None)


def clock_in(text: str) -> float | None:
    """The controller's clock in its answer, in seconds since 1970; ``None`` where it is not told.

    Times are asked for in seconds (``slurm_submit.QUERY_SETTINGS``).
    """
    told = re.search(r"^Configuration data as of (\d{9,})\s*$", text, re.MULTILINE)
    return float(told[1]) if told else None


def limits_in(settings: Mapping[str, str]) -> dict[str, str]:
    """What limits every job, by Slurm's names."""
    told = {name: settings.get(name, "") for name in SITE_LIMITS}
    return {name: text for name, text in told.items() if text not in NO_LIMIT}


def nodes_in(text: str) -> list[Node]:
    """Nodes by what ``sinfo --format="%N %n %o"`` prints, each once."""
    rows = [line.split() for line in text.splitlines()]
    return [Node(*row) for row in dict.fromkeys(tuple(row) for row in rows if len(row) == 3)]


def partitions_in(text: str) -> list[Partition]:
    """Partitions by what ``scontrol show partition --oneliner`` prints, the default one first."""
    lines = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines()]
    found = [Partition(line) for line in lines if "PartitionName" in line]
    return sorted(found, key=lambda partition: not partition.is_default)


def submit_nodes(
    partitions: Sequence[Partition], is_here: Callable[[str], bool]
) -> list[Partition]:
    """The partitions that take jobs from here.

    Parameters
    ----------
    is_here:
      Whether we are in one of Slurm's lists of hosts; asked only where there is one.
    """
    return [
        each for each in partitions if each.submit_hosts == EVERYWHERE or is_here(each.submit_hosts)
    ]
