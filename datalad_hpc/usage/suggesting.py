"""Pure: what to ask for the next time, of what was used.

The rules are in the guide ("What to ask for the next time"); their numbers are below.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datalad_hpc.sizes import DAY, HOUR, MINUTE, size_text, span_text
from datalad_hpc.usage.programs import program_of
from datalad_hpc.usage.values import COMPLETED, OUT_OF_MEMORY, TIMEOUT, JobUse

LEAST_TASKS = 3
"""So many have to be completed and measured before anything follows."""

MEMORY_MARGIN = 1.25
"""Of the largest peak. Peaks are sampled, and the next input may be larger."""

TIME_MARGIN = 1.5
"""Of the longest time. Nodes differ by more than memory does, and share their file system."""

AFTER_FAILURE = 2.0
"""Of what was too little."""

IDLE = 0.2
"""So much of a processor too much is no use of another one."""

SHORTEST = 10.0
"""Seconds of all tasks together: in less, Slurm's whole seconds say nothing of processors."""

M, G = 2**20, 2**30

_SIZE_STEPS = ((G, 128 * M), (16 * G, G), (64 * G, 4 * G), (math.inf, 16 * G))
_TIME_STEPS = ((HOUR, 5 * MINUTE), (12 * HOUR, 30 * MINUTE), (2 * DAY, HOUR), (math.inf, 6 * HOUR))
"""Up to this much a suggestion is rounded up to the next multiple of that."""


@dataclass(frozen=True)
class Suggestion:
    """What to ask for when the same program runs again; ``None`` where nothing follows."""

    program: str
    jobs: int
    tasks: int
    cpus: int | None
    seconds: int | None
    memory: int | None
    """Bytes on each node."""
    reasons: tuple[str, ...]
    """Why, or why not, in a few words for each of the three."""

    @property
    def shorthand(self) -> str:
        """As ``datalad schedule -r`` takes it: ``2 1:30 4G``; empty where nothing follows."""
        cpus = str(self.cpus) if self.cpus else ""
        memory = _exact_size(self.memory) if self.memory else ""
        return " ".join(filter(None, [cpus, _hours(self.seconds), memory]))

    @property
    def options(self) -> dict[str, str]:
        """As sbatch takes it, by long name."""
        told = {
            "cpus-per-task": str(self.cpus or ""),
            "time": f"{_hours(self.seconds)}:00" if self.seconds else "",
            "mem": _exact_size(self.memory) if self.memory else "",
        }
        return {name: value for name, value in told.items() if value}

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it, sizes in bytes and times in seconds."""
        return {
            "program": self.program,
            "number_of_jobs": self.jobs,
            "number_of_tasks": self.tasks,
            "cpus": self.cpus,
            "time_limit": self.seconds,
            "memory": self.memory,
            "resources": self.shorthand,
            "options": self.options,
            "reasons": list(self.reasons),
        }


def suggestions(jobs: Iterable[JobUse]) -> list[Suggestion]:
    """One for each program that jobs have run, in the order in which they came first."""
    of_program: dict[str, list[JobUse]] = defaultdict(list)
    for job in jobs:
        of_program[program_of(job.command)].append(job)
    return [_suggestion(program, runs) for program, runs in of_program.items()]


def _suggestion(program: str, runs: Sequence[JobUse]) -> Suggestion:
    cpus, about_cpus = _cpus(runs)
    seconds, about_time = _time(runs)
    memory, about_memory = _memory(runs)
    return Suggestion(
        program,
        len(runs),
        sum(run.number for run in runs),
        cpus,
        seconds,
        memory,
        (f"processors: {about_cpus}", f"time: {about_time}", f"memory: {about_memory}"),
    )


Verdict = tuple[int | None, str]
"""What to ask for, and why, or why nothing follows."""


@dataclass(frozen=True)
class _Kind:
    """Memory or time: what is measured against a limit that ends a job."""

    ends_with: str
    """State of those whom the limit has ended."""
    margin: float
    steps: Sequence[tuple[float, int]]
    text: Callable[[float], str]
    word: str

    def verdict(
        self,
        runs: Sequence[JobUse],
        used: Sequence[float | None],
        limits: Sequence[float | None],
    ) -> Verdict:
        """What follows of the largest that was used, and of what was too little."""
        failed = [at for at, run in enumerate(runs) if run.states.get(self.ends_with)]
        too_little = max((limit for at in failed if (limit := limits[at])), default=0)
        known = [value for value in used if value is not None]
        wanted = max(known, default=0) * self.margin
        if failed and not too_little:
            return None, f"{self.ends_with} with a limit that is not told"
        if too_little and too_little * AFTER_FAILURE >= wanted:
            why = f"{self.text(too_little)} was too little ({self.ends_with}), twice as much"
            return _rounded(too_little * AFTER_FAILURE, self.steps), why
        if not known:
            return None, "not measured"
        if not too_little and (few := _too_few(runs, used)):
            return None, few
        why = f"{self.word} {self.text(max(known))}, and {self.margin - 1:.0%} more"
        return _rounded(wanted, self.steps), why


_MEMORY = _Kind(OUT_OF_MEMORY, MEMORY_MARGIN, _SIZE_STEPS, size_text, "peak")
_TIME = _Kind(TIMEOUT, TIME_MARGIN, _TIME_STEPS, span_text, "longest")


def _memory(runs: Sequence[JobUse]) -> Verdict:
    peaks = [_of_each_node(run, run.spent.memory(run.asked)) for run in runs]
    limits = [_of_each_node(run, run.asked.memory) for run in runs]
    return _MEMORY.verdict(runs, peaks, limits)


def _time(runs: Sequence[JobUse]) -> Verdict:
    times = [run.spent.elapsed for run in runs]
    return _TIME.verdict(runs, times, [run.asked.time_limit for run in runs])


def _cpus(runs: Sequence[JobUse]) -> Verdict:
    """Processors that were busy on average, in the run in which most were."""
    alone = [run for run in runs if (run.asked.nodes or 1) == 1 and not run.asked.processes]
    if not alone:
        return None, "several nodes or processes share the work, which is for you to divide"
    told = [run for run in alone if run.asked.cpus and run.spent.total_elapsed]
    times = [run.spent.total_elapsed or 0 for run in told]
    busy = [(run.spent.cpu_time or 0) / span for run, span in zip(told, times, strict=True)]
    if not told:
        return None, "not measured"
    if few := _too_few(told, busy):
        return None, few
    if sum(times) < SHORTEST:
        return None, f"{sum(times):.0f} seconds tell too little"
    asked = max(run.asked.cpus or 1 for run in told)
    wanted = min(asked, max(1, math.ceil(max(busy) - IDLE)))
    return wanted, f"{max(busy):.1f} of {asked} were busy"


def _too_few(runs: Sequence[JobUse], used: Sequence[float | None]) -> str:
    """Says so where not enough tasks were completed and measured."""
    pairs = zip(runs, used, strict=True)
    number = sum(run.states.get(COMPLETED, 0) for run, value in pairs if value is not None)
    tells = f"{number} completed task{'s tell' if number != 1 else ' tells'} too little"
    return tells if number < LEAST_TASKS else ""


def _of_each_node(run: JobUse, whole: int | None) -> float | None:
    return None if whole is None else whole / (run.asked.nodes or 1)


def _rounded(value: float, steps: Sequence[tuple[float, int]]) -> int:
    step = next(step for limit, step in steps if value <= limit)
    return max(1, math.ceil(value / step)) * step


def _exact_size(size: int) -> str:
    return f"{size // G}G" if size % G == 0 else f"{size // M}M"


def _hours(seconds: int | None) -> str:
    """A time as the shorthand has it: hours and minutes."""
    if not seconds:
        return ""
    minutes = seconds // MINUTE
    days, hours = divmod(minutes // 60, 24)
    return f"{days}-{hours:02}:{minutes % 60:02}" if days else f"{hours}:{minutes % 60:02}"
