"""The story of ``hpc-usage``: find jobs, say what they used, and what follows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc.results import Result, result
from datalad_hpc.usage.finding import Finder, Found
from datalad_hpc.usage.suggesting import suggestions
from datalad_hpc.usage.values import JobUse

ACTION = "hpc-usage"


@dataclass(frozen=True)
class Question:
    """What the user wants to know."""

    names: tuple[str, ...] = ()
    """Ids of jobs and tasks, and revisions; all jobs if there are none."""
    each_task: bool = False
    plot: Path | None = None
    """File for a picture."""


def report(finder: Finder, question: Question) -> Iterator[Result]:
    """Say what jobs used.

    Yields
    ------
    dict
      One result per job (or task), one per program with what to ask for the next time, and one
      for the picture.

    Raises
    ------
    BadRequest
      There can be no such picture.
    """
    root = finder.workplace.root
    if question.plot:
        from datalad_hpc.usage.plotting import refuse_unfit

        refuse_unfit(question.plot)
    found = finder.named(question.names) if question.names else finder.all()
    yield from _problems(root, found)
    if not found.jobs:
        if not question.names:
            text = (
                "No job of this dataset is known to have ended; name open ones to have their "
                "scheduler asked (`datalad hpc-usage JOBID`)"
            )
            yield result(ACTION, root, "notneeded", text)
        return
    yield from _about_jobs(root, found.jobs, each_task=question.each_task)
    for suggestion in suggestions(found.jobs):
        text = f"{suggestion.program}: {suggestion.shorthand or 'nothing follows'}"
        yield result(ACTION, root, "ok", text, suggestion=suggestion.as_json)
    if question.plot:
        yield _drawn(root, found.jobs, question.plot)


def _about_jobs(root: Path, jobs: Sequence[JobUse], *, each_task: bool) -> Iterator[Result]:
    for job in jobs:
        for use in job.each_task() if each_task else [job]:
            text = f"Job {use.job_id}: {use.command}"
            yield result(ACTION, root, "ok", text, usage=True, **use.as_json)


def _problems(root: Path, found: Found) -> Iterator[Result]:
    for name in found.silent:
        text = f"It is not known (yet) what job {name} used; try again when it has run"
        yield result(ACTION, root, "impossible", text, slurm_job_id=name)
    for name in found.no_tasks:
        job, _, index = name.rpartition("_")
        text = f"Job {job} has no task {index}; `datalad hpc-usage --tasks {job}` shows what it has"
        yield result(ACTION, root, "impossible", text, slurm_job_id=name)
    for name in found.unknown:
        text = (
            f"There is no job {name} in the store or in the history of what is checked out, and no "
            "such revision either; `datalad hpc-usage` shows all jobs"
        )
        yield result(ACTION, root, "impossible", text, slurm_job_id=name)


def _drawn(root: Path, jobs: Sequence[JobUse], path: Path) -> Result:
    from datalad_hpc.usage.plotting import draw

    number = draw(jobs, path)
    text = f"The use of {number:,} task{'s' * (number != 1)} is drawn in {path}"
    drawn = result(ACTION, root, "ok", text, plot=True)
    return {**drawn, "path": str(path), "type": "file"}
