"""Pure: what jobs had asked for, what their tasks used, and both as JSON.

Sizes are bytes and durations are seconds; ``None`` means that it was not told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from datalad_hpc.sizes import DAY, bytes_of
from datalad_hpc.status import TaskStatus

_REQUESTED_MEMORY = re.compile(r"(.*?)([cn]?)")
"""Slurm 20.11 and older print ``500Mc`` for each processor and ``4Gn`` for each node, later ones
the sum; see ReqMem in sacct(1)."""

LARGEST = 2.0**63

NO_LIMIT = 365.0 * DAY
"""A limit of so much is none: seen with Slurm 22.05, whose accounting has ``365-00:00:00`` of some
jobs that asked for no limit, and ``UNLIMITED`` of others."""


@dataclass(frozen=True)
class Asked:
    """What a job, or each task of an array, had asked for."""

    cpus: int | None = None
    allocated_cpus: int | None = None
    """What it got, if that is not what it asked for: all of a node, or whole cores."""
    nodes: int | None = None
    memory: int | None = None
    """On all nodes together."""
    time_limit: float | None = None
    processes: int | None = None
    """How many processes its largest step had, if several: each has memory of its own."""

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Asked:
        """As a scheduler tells it among the facts of a job.

        Of a heterogeneous job only the limit holds for all components.
        """
        if "components" in facts:
            return cls(time_limit=number(facts.get("time_limit")))
        cpus, nodes = _whole(facts.get("requested_cpus")), _whole(facts.get("requested_nodes"))
        allocated = _whole(facts.get("allocated_cpus"))
        return cls(
            cpus,
            allocated if allocated != cpus else None,
            nodes,
            _memory(str(facts.get("requested_memory", "")), allocated or cpus, nodes),
            number(facts.get("time_limit")),
            _whole(facts.get("processes")),
        )

    @classmethod
    def of_json(cls, told: Any) -> Asked:
        """From a record, which may hold anything."""
        told = told if isinstance(told, dict) else {}
        return cls(
            _whole(told.get("cpus")),
            _whole(told.get("allocated_cpus")),
            _whole(told.get("nodes")),
            _whole(told.get("memory")),
            number(told.get("time_limit")),
            _whole(told.get("processes")),
        )

    @property
    def as_json(self) -> dict[str, Any]:
        """What was told, and no more."""
        return _told(asdict(self))

    @property
    def usable_cpus(self) -> int | None:
        """Processors that it could have used."""
        return self.allocated_cpus or self.cpus


class Measured(NamedTuple):
    """What one task used."""

    elapsed: float | None = None
    """Wall time."""
    cpu_time: float | None = None
    """Of processors, user and system."""
    peak_memory: int | None = None
    """Of the largest process of the largest step."""

    @classmethod
    def of_task(cls, task: TaskStatus) -> Measured:
        """As a scheduler tells it; one that never began took no time, rather than 0 seconds."""
        elapsed = task.elapsed if task.elapsed or task.started else None
        return cls(elapsed, task.cpu_time, task.peak_memory)

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Measured:
        """From a record, which may hold anything."""
        return cls(
            number(told.get("elapsed")),
            number(told.get("cpu_time")),
            _whole(told.get("peak_memory")),
        )

    @classmethod
    def of_facts(cls, told: Mapping[str, Any]) -> Measured:
        """From what was kept of a task as its scheduler told it; see :meth:`of_task`."""
        measured = cls.of_json(told)
        began = measured.elapsed or told.get("started")
        return measured if began else measured._replace(elapsed=None)


@dataclass(frozen=True)
class Spent:
    """What the tasks of a job used."""

    elapsed: float | None = None
    """The longest."""
    median_elapsed: float | None = None
    cpu_time: float | None = None
    """Of all tasks together."""
    total_elapsed: float | None = None
    """Of all tasks whose processor time is told."""
    peak_memory: int | None = None
    """The largest."""
    median_peak_memory: float | None = None

    @classmethod
    def of(cls, tasks: Iterable[Measured]) -> Spent:
        """Of what each task used."""
        tasks = list(tasks)
        times = [task.elapsed for task in tasks if task.elapsed is not None]
        peaks = [task.peak_memory for task in tasks if task.peak_memory is not None]
        busy = [task.cpu_time for task in tasks if task.cpu_time is not None]
        spans = [task.elapsed for task in tasks if None not in (task.cpu_time, task.elapsed)]
        return cls(
            max(times, default=None),
            _median(times),
            math.fsum(busy) if busy else None,
            math.fsum(span or 0 for span in spans) if spans else None,
            max(peaks, default=None),
            _median(peaks),
        )

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Spent:
        """From a record, which may hold anything."""
        return cls(
            number(told.get("elapsed")),
            number(told.get("median_elapsed")),
            number(told.get("cpu_time")),
            number(told.get("total_elapsed")),
            _whole(told.get("peak_memory")),
            number(told.get("median_peak_memory")),
        )

    @property
    def as_json(self) -> dict[str, Any]:
        """What was told, and no more."""
        return _told(asdict(self))

    def cpu_efficiency(self, asked: Asked) -> float | None:
        """Part of the processors' time that was used: 1 is all of it."""
        if not (self.total_elapsed and asked.usable_cpus) or self.cpu_time is None:
            return None
        return self.cpu_time / (self.total_elapsed * asked.usable_cpus)

    def memory(self, asked: Asked) -> int | None:
        """Memory on all nodes together: at most so much where a step had several processes."""
        return None if self.peak_memory is None else self.peak_memory * (asked.processes or 1)


def number(told: Any) -> float | None:
    """A number that can be counted with; whatever else JSON may hold is none."""
    is_one = isinstance(told, int | float) and not isinstance(told, bool)
    return told if is_one and 0 <= told < LARGEST else None


def _whole(told: Any) -> int | None:
    return int(told) if number(told) is not None else None


def _memory(text: str, cpus: int | None, nodes: int | None) -> int | None:
    found = _REQUESTED_MEMORY.fullmatch(text)
    size = bytes_of(found[1]) if found else None
    factor = {"": 1, "c": cpus, "n": nodes}[found[2]] if found else None
    return size * factor if size and factor else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
