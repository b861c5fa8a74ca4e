"""Which jobs are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from datalad_hpc.finish.selecting import named_tasks
from datalad_hpc.job import Job
from datalad_hpc.members import all_names
from datalad_hpc.store import Store
from datalad_hpc.store.history import all_jobs

Tasks = frozenset[tuple[str, int]]
"""Tasks by the name of their job and their index."""


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    names: tuple[str, ...] = ()
    """Ids of jobs, of members and of tasks (``123_4``), and stand-ins for ids."""
    everything: bool = False
    """Also jobs that are over."""
    since: datetime | None = None
    """Only jobs that were submitted then or later."""


@dataclass(frozen=True)
class Chosen:
    """A job that is meant, as a whole or for some of its tasks."""

    job: Job
    tasks: Tasks | None = None
    """The tasks that are meant; ``None`` for all."""


def choose(store: Store, wanted: Wanted) -> tuple[list[Chosen], list[str]]:
    """The jobs that are meant, oldest first, and names under which there is none."""
    if wanted.names:
        return _choose_by_name(store, wanted)
    jobs = all_jobs(store, wanted.since) if wanted.everything else store.open_jobs()
    return [Chosen(job) for job in jobs if _is_since(job, wanted.since)], []


def _choose_by_name(store: Store, wanted: Wanted) -> tuple[list[Chosen], list[str]]:
    tasks = named_tasks(wanted.names)
    found = store.jobs_named([*wanted.names, *tasks])
    jobs = found if wanted.everything else _newest(found)
    chosen = [each for job in jobs if (each := _meant(job, wanted.names, tasks))]
    missing = [name for name in wanted.names if not any(_has(each.job, name) for each in chosen)]
    return [each for each in chosen if _is_since(each.job, wanted.since)], missing


def _newest(jobs: Sequence[Job]) -> list[Job]:
    """Of several jobs with one id, which comes around again, the one that is open or the last."""
    newest: dict[str, Job] = {}
    for job in sorted(jobs, key=lambda job: (job.state.holds_claims, job.key)):
        newest[job.label] = job
    return sorted(newest.values(), key=lambda job: job.key)


def _meant(job: Job, names: Sequence[str], named: Mapping[str, set[int]]) -> Chosen | None:
    own = all_names(job)
    if not own.isdisjoint(names):
        return Chosen(job)
    there = _tasks_of(job)
    tasks = frozenset(
        (name, index) for name in own & named.keys() for index in named[name] & there[name]
    )
    return Chosen(job, tasks) if tasks else None


def _tasks_of(job: Job) -> dict[str, set[int]]:
    """The indices that there are below each of a job's names."""
    indices = {part.index for part in job.parts} or set(job.tasks or ())
    of_members = {member.job_id: set(member.tasks or ()) for member in job.members}
    return dict.fromkeys(all_names(job), indices) | of_members


def _has(job: Job, name: str) -> bool:
    of_job, _, index = name.rpartition("_")
    is_task = index.isdecimal() and int(index) in _tasks_of(job).get(of_job, ())
    return is_task or name in all_names(job)


def _is_since(job: Job, since: datetime | None) -> bool:
    return since is None or (job.submitted or job.created) >= since
