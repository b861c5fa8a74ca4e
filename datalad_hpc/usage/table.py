"""Pure: the table of jobs, and suggestions, as lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datalad_hpc.sizes import size_text, span_text
from datalad_hpc.spent import NO_LIMIT

TITLES = ("job", "command", "tasks", "elapsed", "of limit", "CPU", "memory", "of asked", "state")
RIGHT = frozenset({"tasks", "CPU"})
"""Columns that are aligned at their right."""

LONGEST_COMMAND = 32
LONGEST_PROGRAM = 60
NOT_TOLD = "-"
SEVERAL = "  (of several tasks: median/largest)"

Result = Mapping[str, Any]


def table(jobs: Sequence[Result]) -> Iterator[str]:
    """Lines with the jobs of results of ``datalad hpc-usage``, titles first."""
    rows = [TITLES, *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(TITLES, row, widths, strict=True)
        yield "  ".join(
            f"{cell:>{width}}" if title in RIGHT else f"{cell:<{width}}"
            for title, cell, width in cells
        ).rstrip()
    if any(job["number_of_tasks"] > 1 for job in jobs):
        yield SEVERAL


def suggestion_lines(suggestions: Sequence[Result]) -> Iterator[str]:
    """Lines with what to ask for the next time; programs of which nothing follows are counted."""
    useful = [told for told in suggestions if told["resources"]]
    for told in useful:
        yield f"Next time, for {_shortened(told['program'], LONGEST_PROGRAM)} ({_counted(told)}):"
        options = " ".join(f"--{name}={value}" for name, value in told["options"].items())
        yield f"  -r '{told['resources']}'   (sbatch {options})"
        yield from (f"    {reason}" for reason in told["reasons"])
    others = [told for told in suggestions if not told["resources"]]
    if len(others) == 1:
        program = _shortened(others[0]["program"], LONGEST_PROGRAM)
        yield f"Nothing follows for {program}: {_why_nothing(others[0])}"
    elif others:
        ((why, number),) = Counter(map(_why_nothing, others)).most_common(1)
        whose = "" if number == len(others) else f" ({number:,} of them)"
        which = f"{len(others):,} {'other ' * bool(useful)}programs"
        yield f"Nothing follows for {which}: {why}{whose}"


def _why_nothing(told: Result) -> str:
    return "; ".join(dict.fromkeys(reason.partition(": ")[2] for reason in told["reasons"]))


def _counted(told: Result) -> str:
    jobs, tasks = told["number_of_jobs"], told["number_of_tasks"]
    text = f"{jobs:,} job{'s' * (jobs != 1)}"
    return text if tasks == jobs else f"{text} with {tasks:,} tasks"


def _row(job: Result) -> tuple[str, ...]:
    asked, used = job["asked"], job["used"]
    efficiency = used.get("cpu_efficiency")
    return (
        job["slurm_job_id"],
        _shortened(job["command"], LONGEST_COMMAND),
        f"{job['number_of_tasks']:,}",
        _of_several(job, "median_elapsed", "elapsed", span_text),
        _share(_limit(asked), used.get("elapsed"), span_text),
        NOT_TOLD if efficiency is None else f"{efficiency:.0%}",
        _of_several(job, "median_peak_memory", "peak_memory", size_text, _processes(asked)),
        _share(asked.get("memory"), used.get("memory"), size_text),
        _states(job["states"]),
    )


def _of_several(job: Result, middle: str, most: str, text: Any, factor: int = 1) -> str:
    """The largest; of several tasks the median before it."""
    used = job["used"]
    if most not in used:
        return NOT_TOLD
    largest = text(used[most] * factor)
    if job["number_of_tasks"] < 2 or middle not in used:
        return largest
    return f"{text(used[middle] * factor)}/{largest}"


def _processes(asked: Mapping[str, Any]) -> int:
    return asked.get("processes") or 1


def _limit(asked: Mapping[str, Any]) -> float | None:
    limit = asked.get("time_limit")
    return limit if limit and limit < NO_LIMIT else None


def _share(limit: float | None, used: float | None, text: Any) -> str:
    """What was asked for, and how much of it was used."""
    if not limit:
        return NOT_TOLD
    return f"{text(limit)} ({used / limit:.0%})" if used is not None else text(limit)


def _states(states: Mapping[str, int]) -> str:
    if len(states) == 1:
        return next(iter(states))
    ordered = sorted(states.items(), key=lambda each: -each[1])
    return ", ".join(f"{state} {number:,}" for state, number in ordered)


def _shortened(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
