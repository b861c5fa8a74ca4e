"""Asking the schedulers of many jobs, each of them once."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from datalad_hpc.collection import paused
from datalad_hpc.errors import HpcError
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_ids, by_job, of_attempts, scheduler_keys, together
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.status import JobKey, JobStatus, Phase, TaskStatus
from datalad_hpc.wording import some_of, some_tasks

FORGOTTEN_AFTER = 600.0
"""Seconds after its submission when a job that is not known is not merely late."""

STALE = 10.0
"""Seconds after which an answer is not acted upon any more: a job may have been requeued."""

NOT_TOLD = "UNKNOWN"
"""State of a task that the scheduler was silent about; it may still run."""


@dataclass
class Answers:
    """What the schedulers said."""

    statuses: dict[int, JobStatus] = field(default_factory=dict)
    """By number of the job's row."""
    failures: list[HpcError] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)
    """Schedulers that gave no usable answer."""
    silent: set[int] = field(default_factory=set)
    """Jobs, by number of their rows, of which a scheduler could not tell: a query failed."""

    def of(self, job: Job) -> JobStatus | None:
        """What is known of a job; ``None`` where nothing is."""
        return self.statuses.get(job.key)


def expect(numbers: Mapping[str, int], scheduler_named: Callable[[str], Scheduler]) -> None:
    """Tell each scheduler how many jobs it will be asked for."""
    for name, number in numbers.items():
        # One that is not installed here any more is told of when it is asked.
        with contextlib.suppress(HpcError):
            scheduler_named(name).expect(number)


def ask(
    jobs: Sequence[Job],
    scheduler_named: Callable[[str], Scheduler],
    *,
    facts: bool,
    watched: bool = False,
) -> Answers:
    """Ask each scheduler once for all of its open jobs.

    Parameters
    ----------
    jobs:
      Jobs of any scheduler; those that were not submitted yet are passed over.
    scheduler_named:
      Gives a scheduler by its name.
    facts:
      Whether the numbers of ended jobs are wanted.
    watched:
      Whether all is wanted that can be said of live jobs, too; see :meth:`.Scheduler.watched`.
    """

    def question(scheduler: Scheduler, keys: Sequence[JobKey]) -> Mapping[str, JobStatus | None]:
        return scheduler.watched(keys) if watched else scheduler.status(keys, facts=facts)

    answers = Answers()
    of_scheduler: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.state is JobState.OPEN:
            of_scheduler[job.scheduler].append(job)
    # Thousands of statuses are no garbage.
    with paused():
        for name, asked in of_scheduler.items():
            _ask_one(answers, name, asked, scheduler_named, question)
    return answers


def _ask_one(
    answers: Answers,
    name: str,
    jobs: Sequence[Job],
    scheduler_named: Callable[[str], Scheduler],
    question: Callable[[Scheduler, Sequence[JobKey]], Mapping[str, JobStatus | None]],
) -> None:
    told: dict[int, dict[str, JobStatus]] = defaultdict(dict)
    for group in _without_namesakes(jobs):
        try:
            found = question(scheduler_named(name), [key for _, key in group])
        except HpcError as error:
            # Also a scheduler that is not installed here any more.
            answers.failures.append(error)
            answers.unreachable.add(name)
            return
        for job, key in group:
            if status := found.get(key.job_id):
                told[job.key][key.job_id] = status
            elif key.job_id in found:
                answers.silent.add(job.key)
    for job in jobs:
        if known := told.get(job.key):
            answers.statuses[job.key] = status_of(job, known)


def status_of(job: Job, told: Mapping[str, JobStatus]) -> JobStatus:
    """The status of a job, of what was told of it by id: of itself, its members or attempts."""
    if not (job.members or job.attempts):
        return complete(job, told.get(job.job_id) or JobStatus(job.job_id, ()))
    whole = {
        key: _with_all(key.tasks, told.get(key.job_id) or JobStatus(key.job_id, ()))
        for key in scheduler_keys(job)
    }
    if job.members:
        return together(job, {key.job_id: status for key, status in whole.items()})
    return of_attempts(job, [_of_tasks(key, status) for key, status in whole.items()])


def _of_tasks(key: JobKey, status: JobStatus) -> JobStatus:
    """The status without tasks that are not asked for: they were tried again, or are over."""
    if key.tasks is None:
        return status
    wanted = set(key.tasks)
    return replace(status, tasks=tuple(task for task in status.tasks if task.index in wanted))


def _without_namesakes(jobs: Sequence[Job]) -> list[list[tuple[Job, JobKey]]]:
    """What is to be asked for in groups within which no two have the same id; mostly one group.

    Ids begin anew when a cluster loses its state, and clusters do not share them.
    """
    groups: list[list[tuple[Job, JobKey]]] = []
    met: Counter[str] = Counter()
    for job in jobs:
        for key in scheduler_keys(job):
            if met[key.job_id] == len(groups):
                groups.append([])
            groups[met[key.job_id]].append((job, key))
            met[key.job_id] += 1
    return groups


def complete(job: Job, status: JobStatus) -> JobStatus:
    """The status with all tasks that were asked for: one that was not told of is live.

    Tasks of a sweep that are finished or given up are of no interest any more.
    """
    wanted = job.open_tasks
    return _with_all(wanted, _of_tasks(job.scheduler_key, status) if job.parts else status)


def _with_all(tasks: Sequence[int] | None, status: JobStatus) -> JobStatus:
    if tasks is None and status.tasks:
        return status
    told = {task.index for task in status.tasks}
    silent = [index for index in tasks or (None,) if index not in told]
    if not silent:
        return status
    added = tuple(TaskStatus(index, NOT_TOLD, Phase.LIVE) for index in silent)
    return JobStatus(status.job_id, status.tasks + added, status.facts, status.identity)


def is_forgotten(job: Job, answers: Answers) -> bool:
    """Whether the scheduler answered, but has not known a job, or tasks of it, for long.

    Right after a submission that means nothing; and what is live is known to
    its scheduler whatever became of the accounting.
    """
    if job.state is not JobState.OPEN or not was_answered(job, answers):
        return False
    answer = answers.of(job)
    live = [task for task in answer.tasks if task.phase is Phase.LIVE] if answer else []
    age = datetime.now(timezone.utc) - (job.submitted or job.created)
    unknown = answer is None or (bool(live) and all(map(is_untold, live)))
    # By a clock that was moved back it is from the future: not a newcomer either.
    return unknown and abs(age.total_seconds()) > FORGOTTEN_AFTER


def is_untold(task: TaskStatus) -> bool:
    """Whether the scheduler was silent about a task."""
    return task.state == NOT_TOLD


def was_answered(job: Job, answers: Answers) -> bool:
    """Whether its scheduler could be asked about a job, whether or not it knows it."""
    return job.scheduler not in answers.unreachable and job.key not in answers.silent


def unknown_text(job: Job, answers: Answers) -> str:
    """Why nothing is known of a job, or of tasks of it, and what that means."""
    if job.state is not JobState.OPEN:
        return (
            f"Job {job.label} is being submitted, or it cannot be told yet whether "
            f"{job.scheduler} has it; its outputs stay reserved, try again later"
        )
    if not was_answered(job, answers):
        return (
            f"Job {job.label} was left as it is, since {job.scheduler} gave no answer about it; "
            "try again later"
        )
    if is_forgotten(job, answers):
        return (
            f"{job.scheduler} does not know {_unknown_part(job, answers)} any more; look at its "
            f"outputs, and commit it by name (`datalad finish --commit-failed-jobs {job.label}`) "
            f"or give it up (`datalad finish --close-failed-jobs {job.label}`)"
        )
    return (
        f"{job.scheduler} does not know job {job.label} (yet); it was left as it is, "
        "try again in a moment"
    )


def _unknown_part(job: Job, answers: Answers) -> str:
    answer = answers.of(job)
    untold = [task for task in answer.tasks if is_untold(task)] if answer else []
    if job.members:
        ids = list(by_job(untold)) or all_ids(job)
        return f"job{'s' * (len(ids) > 1)} {some_of(ids)}"
    indices = [task.index for task in untold if task.index is not None]
    return f"{some_tasks(indices)} of job {job.label}" if indices else f"job {job.label}"
