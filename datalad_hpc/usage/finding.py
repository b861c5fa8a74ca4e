"""Which jobs are meant, and where what they used is told: the store, the scheduler or records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from datalad_hpc.commit.repository import Repository
from datalad_hpc.finish.selecting import named_tasks
from datalad_hpc.history.records import logged
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_names
from datalad_hpc.polling import Answers, ask
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.status import JobStatus
from datalad_hpc.store import Store
from datalad_hpc.store.history import all_jobs, ends_of
from datalad_hpc.usage.kept import uses_of
from datalad_hpc.usage.recorded import of_records
from datalad_hpc.usage.values import JobUse
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.usage")

_ID = re.compile(r"(\d+)(?:[_+]\d+)?")


@dataclass(frozen=True)
class Found:
    """What there is to say of the jobs that are meant."""

    jobs: list[JobUse] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Names that are neither a job nor a revision."""
    silent: list[str] = field(default_factory=list)
    """Jobs that are open, and of which nothing is known (yet)."""
    no_tasks: list[str] = field(default_factory=list)
    """Names of tasks that a job does not have."""


@dataclass(frozen=True)
class Finder:
    """Looks for jobs.

    Parameters
    ----------
    store:
      ``None`` where there is none, as in a clone.
    """

    workplace: Workplace
    store: Store | None
    scheduler_named: Callable[[str], Scheduler]

    def all(self) -> Found:
        """All jobs in the store that ended, in part at least; without any, those of records."""
        jobs = all_jobs(self.store) if self.store else []
        kept = self._kept(jobs)
        if uses := [use for job in jobs for use in kept[job.key]]:
            return Found(uses)
        repository = Repository.find(self.workplace.root)
        return Found(self._records(repository, [repository.tip]) if repository.tip else [])

    def named(self, names: Sequence[str]) -> Found:
        """The jobs with these ids, and those of these revisions; each once."""
        found = Found()
        by_id, left = self._from_store(names, found)
        repository = Repository.find(self.workplace.root)
        limits = {name: _limits(repository, name) for name in names if _may_be_revision(name)}
        recorded = self._by_id(repository, [name for name in left if _ID.fullmatch(name)])
        for name in names:
            if uses := by_id.get(name) or recorded.get(name):
                found.jobs.extend(uses)
                if limits.get(name):
                    _say_which(name)
            elif limits.get(name):
                found.jobs.extend(self._records(repository, limits[name]))
            elif name in left:
                found.unknown.append(name)
        unique = {(use.job_id, tuple(use.commits), use.command): use for use in found.jobs}
        return Found(list(unique.values()), found.unknown, found.silent, found.no_tasks)

    def _from_store(
        self, names: Sequence[str], found: Found
    ) -> tuple[dict[str, list[JobUse]], list[str]]:
        """Jobs of the store by name, and the names that are none of its."""
        if not self.store:
            return {}, list(names)
        tasks = named_tasks(names)
        jobs = self.store.jobs_named([*names, *tasks])
        uses = self._uses(jobs)
        by_name: dict[str, list[JobUse]] = {}
        for name in names:
            known = [job for job in jobs if _is_called(job, name, tasks)]
            by_name[name] = [use for job in known for use in _meant(uses[job.key], job, name)]
            if known and not by_name[name]:
                no_task = all(_lacks(job, name) for job in known)
                (found.no_tasks if no_task else found.silent).append(name)
        told = {*found.silent, *found.no_tasks}
        left = [name for name in names if not by_name[name] and name not in told]
        return by_name, left

    def _kept(
        self, jobs: Sequence[Job], answers: Mapping[int, JobStatus] = MappingProxyType({})
    ) -> dict[int, list[JobUse]]:
        """By row what is kept of jobs, and what is answered now for those that are open."""
        kept = ends_of(self.store, [job.key for job in jobs]) if self.store and jobs else {}
        both = {job.key: _together(answers.get(job.key), kept.get(job.key)) for job in jobs}
        return {job.key: uses_of(job, both[job.key]) for job in jobs}

    def _uses(self, jobs: Sequence[Job]) -> dict[int, list[JobUse]]:
        """By row; the scheduler is asked once for all that are open."""
        live = [job for job in jobs if job.state is JobState.OPEN]
        answers = ask(live, self.scheduler_named, facts=True) if live else Answers()
        for error in answers.failures:
            lgr.warning("%s", error)
        return self._kept(jobs, answers.statuses)

    def _by_id(self, repository: Repository, names: Sequence[str]) -> dict[str, list[JobUse]]:
        """Jobs by name, of the records in the history of what is checked out."""
        if not (names and repository.tip):
            return {}
        ids = dict.fromkeys(name for each in names for name in (each, each.rpartition("_")[0]))
        texts = [
            pattern
            for name in filter(None, ids)
            for pattern in (f'"slurm_job_id": {name}', f'"slurm_job_id": "{name}', f'"{name}": {{')
        ]
        limits = ["--fixed-strings", *(f"--grep={text}" for text in texts), repository.tip]
        uses = self._records(repository, limits)
        return {name: [use for job in uses for use in _named(job, name)] for name in names}

    def _records(self, repository: Repository, limits: Sequence[str]) -> list[JobUse]:
        return of_records(self.workplace.root, logged(repository, *limits))


def _together(told: JobStatus | None, kept: JobStatus | None) -> JobStatus:
    """What the scheduler says of tasks, and what is kept of those that it was not asked for."""
    if not told or not kept:
        return told or kept or JobStatus("", ())
    asked_for = {task.index for task in told.tasks}
    over = (task for task in kept.tasks if task.index not in asked_for)
    return replace(told, tasks=(*over, *told.tasks))


def _is_called(job: Job, name: str, tasks: Mapping[str, Collection[int]]) -> bool:
    return name in all_names(job) or any(
        whole in tasks and name.startswith(f"{whole}_") for whole in all_names(job)
    )


def _lacks(job: Job, name: str) -> bool:
    """Whether a task is named that the job does not have."""
    whole, _, index = name.rpartition("_")
    tasks = {each.job_id: each.tasks for each in job.members}.get(whole, job.tasks)
    return name not in all_names(job) and int(index) not in (tasks or ())


def _meant(uses: Sequence[JobUse], job: Job, name: str) -> list[JobUse]:
    """All of a job, one of a program's jobs, one attempt, or one task."""
    if name == job.label:
        return list(uses)
    return [found for use in uses for found in _named(use, name)]


def _named(use: JobUse, name: str) -> list[JobUse]:
    """The job, or that task of it, if it is called so."""
    if use.job_id == name:
        return [use]
    whole, _, index = name.rpartition("_")
    if whole != use.job_id or not index.isdecimal():
        return []
    return [task for task in use.each_task() if task.job_id == name]


def _may_be_revision(name: str) -> bool:
    """Nothing that Git would take for an option."""
    return bool(name) and not name.startswith("-")


def _limits(repository: Repository, name: str) -> list[str]:
    """What ``git log`` is to list for a revision: a range, a branch's history, or one commit.

    Empty for a name that is no revision.
    """
    asked = repository.asks("rev-parse", "-q", "--revs-only", name, "--")
    commits = asked.text.split()
    if asked.code or not commits:
        return []
    is_range = len(commits) > 1 or ".." in name
    return commits if is_range or _is_branch(repository, name) else ["-1", *commits]


def _is_branch(repository: Repository, name: str) -> bool:
    """What is checked out is a commit to whoever says HEAD."""
    if name in ("HEAD", "@"):
        return False
    asked = ("rev-parse", "-q", "--verify", "--symbolic-full-name", name)
    return repository.asks(*asked).text.startswith(("refs/heads/", "refs/remotes/"))


def _say_which(name: str) -> None:
    lgr.warning(
        "%s is a job, and the beginning of a commit's name as well: the job is shown; for the "
        "commit write more of its name",
        name,
    )
