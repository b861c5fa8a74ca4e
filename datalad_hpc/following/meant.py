"""Which tasks the user means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc.finish.selecting import named_tasks
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_ids, all_names, as_attempted, attempts_at
from datalad_hpc.results import Result, result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.store import Store
from datalad_hpc.store.newest import newest_over
from datalad_hpc.wording import some_tasks
from datalad_hpc.workplace import Workplace

ACTION = "hpc-log"


@dataclass(frozen=True)
class Look:
    """What the user wants to see, and where that is looked for."""

    workplace: Workplace
    store: Store
    scheduler_named: Callable[[str], Scheduler]
    names: tuple[str, ...] = ()
    """Ids of jobs and tasks as they were typed; none for the newest job."""
    errors: bool = False
    """Whether standard error is meant."""
    lines: int | None = None
    """How many lines of the end are wanted, if not all."""
    most: int | None = None
    """How many bytes of the end are wanted, where ``lines`` does not say."""

    @property
    def root(self) -> Path:
        """The dataset's root."""
        return self.workplace.root


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a job, or a job that has no others."""

    job: Job
    job_id: str
    """That of the job, of one of several jobs of a submission program, or of an attempt."""
    index: int | None = None

    @property
    def label(self) -> str:
        """How the user names it."""
        return self.job_id if self.index is None else f"{self.job_id}_{self.index}"

    @property
    def is_earlier(self) -> bool:
        """Whether it was submitted again since."""
        attempts = attempts_at(self.job, self.index)
        return any(attempt.job_id == self.job_id for attempt in attempts)

    @property
    def commit(self) -> str:
        """The commit that has its log; empty where there is none (yet)."""
        state, commit = self.job.state, self.job.commit
        for part in self.job.parts:
            if part.index == self.index:
                state, commit = part.state, part.commit
        return commit if state is JobState.FINISHED else ""

    @property
    def state(self) -> JobState:
        """Where it stands in the store."""
        parts = {part.index: part.state for part in self.job.parts}
        return self.job.state if self.index is None else parts.get(self.index, self.job.state)


def meant(look: Look) -> tuple[list[list[Task]], list[Result]]:
    """The tasks of each name, and results for names that nothing has."""
    if not look.names:
        newest = newest_job(look)
        return _only(tasks_of(newest) if newest else []), [] if newest else [_none(look)]
    found = look.store.jobs_named([*look.names, *named_tasks(look.names)])
    # Ids come around again: an open job is meant rather than one that is over.
    found.sort(key=lambda job: (job.state.holds_claims, job.key), reverse=True)
    of_name = [(name, _named(name, found)) for name in dict.fromkeys(look.names)]
    missing = [_missing(look, name, found) for name, tasks in of_name if not tasks]
    return _each_once(tasks for _, tasks in of_name), missing


def _each_once(named: Iterable[list[Task]]) -> list[list[Task]]:
    """Tasks by name, without those that an earlier name has."""
    seen: set[tuple[int, str]] = set()
    once = []
    for tasks in named:
        once.append([task for task in tasks if (task.job.key, task.label) not in seen])
        seen |= {(task.job.key, task.label) for task in tasks}
    return [tasks for tasks in once if tasks]


def newest_job(look: Look) -> Job | None:
    """The job that was scheduled last: of the open ones, or of all where none is open."""
    return next(reversed(look.store.open_jobs()), None) or newest_over(look.store)


def _only(tasks: list[Task]) -> list[list[Task]]:
    return [tasks] if tasks else []


def tasks_of(job: Job) -> list[Task]:
    """All tasks of a job in order, each as it was last submitted."""
    if job.members:
        return [task for each in job.members for task in _numbered(job, each.job_id, each.tasks)]
    indices = (None,) if job.tasks is None else job.tasks
    if not job.attempts:
        return [Task(job, job.label, index) for index in indices]
    return [Task(job, as_attempted(job, index).label, index) for index in indices]


def _numbered(job: Job, job_id: str, indices: Sequence[int] | None) -> Iterator[Task]:
    for index in (None,) if indices is None else indices:
        yield Task(job, job_id, index)


def _named(name: str, found: Sequence[Job]) -> list[Task]:
    for job in found:
        tasks = tasks_of(job)
        if name == job.label:
            return tasks
        earlier = _submitted_before(job)
        if name in all_names(job):
            return [task for task in earlier or tasks if task.job_id == name]
        for task in (*tasks, *earlier):
            if name == task.label:
                return [task]
        # The newest attempt was at some tasks only: the others are those of the ones before.
        others = [task for task in tasks if job.attempts and name == f"{job.label}_{task.index}"]
        if others:
            return others
    return []


def _submitted_before(job: Job) -> list[Task]:
    return [task for each in job.attempts for task in _numbered(job, each.job_id, each.tasks)]


def _none(look: Look) -> Result:
    text = "There is no job in this dataset; `datalad schedule` makes one"
    return result(ACTION, look.root, "notneeded", text)


def _missing(look: Look, name: str, found: Sequence[Job]) -> Result:
    way = "`datalad hpc-status --all` lists all"
    text = f"There is no job {name} in this dataset; {way}"
    for job in found:
        for job_id in all_ids(job):
            indices = [task.index for task in tasks_of(job) if task.job_id == job_id]
            if name.startswith(f"{job_id}_"):
                known = [index for index in indices if index is not None]
                has = f"it has {some_tasks(known)}" if known else "it is no array"
                text = f"Job {job_id} has no task {name.rpartition('_')[2]}: {has}"
    return result(ACTION, look.root, "impossible", text, slurm_job_id=name)
