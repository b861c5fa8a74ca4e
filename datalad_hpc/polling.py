"""Asking the schedulers of many jobs, each of them once."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from datalad_hpc.collection import paused
from datalad_hpc.errors import HpcError
from datalad_hpc.job import Job, JobState, JobStatus, Phase, TaskStatus
from datalad_hpc.schedulers.base import Scheduler

FORGOTTEN_AFTER = 600.0
"""Seconds after its submission when a job that is not known is not merely late."""

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
    jobs: Sequence[Job], scheduler_named: Callable[[str], Scheduler], *, facts: bool
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
    """
    answers = Answers()
    of_scheduler: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.state is JobState.OPEN:
            of_scheduler[job.scheduler].append(job)
    # Thousands of statuses are no garbage.
    with paused():
        for name, asked in of_scheduler.items():
            _ask_one(answers, name, asked, scheduler_named, facts)
    return answers


def _ask_one(
    answers: Answers,
    name: str,
    jobs: Sequence[Job],
    scheduler_named: Callable[[str], Scheduler],
    facts: bool,
) -> None:
    try:
        found = scheduler_named(name).status([job.scheduler_key for job in jobs], facts=facts)
    except HpcError as error:
        # Also a scheduler that is not installed here any more.
        answers.failures.append(error)
        answers.unreachable.add(name)
        return
    for job in jobs:
        if job.job_id in found:
            answers.statuses[job.key] = complete(job, found[job.job_id])


def complete(job: Job, status: JobStatus) -> JobStatus:
    """The status with all tasks that were asked for: one that was not told of is live."""
    if job.tasks is None:
        return status
    told = {task.index for task in status.tasks}
    silent = [index for index in job.tasks if index not in told]
    if not silent:
        return status
    added = tuple(TaskStatus(index, NOT_TOLD, Phase.LIVE) for index in silent)
    return JobStatus(status.job_id, status.tasks + added, status.facts, status.identity)


def is_forgotten(job: Job, answers: Answers) -> bool:
    """Whether the scheduler answered, but has not known a job for long.

    Right after a submission that means nothing; and a live job is known to its
    scheduler whatever became of the accounting.
    """
    if job.state is not JobState.OPEN or job.scheduler in answers.unreachable:
        return False
    age = datetime.now(timezone.utc) - (job.submitted or job.created)
    # By a clock that was moved back it is from the future: not a newcomer either.
    return answers.of(job) is None and abs(age.total_seconds()) > FORGOTTEN_AFTER


def unknown_text(job: Job, answers: Answers) -> str:
    """Why nothing is known of a job, and what that means."""
    if job.state is not JobState.OPEN:
        return (
            f"{job.label} is being submitted, or was interrupted then; its outputs stay reserved "
            "until the scheduler can tell"
        )
    if job.scheduler in answers.unreachable:
        return f"Job {job.label} was left as it is, since {job.scheduler} gave no answer"
    if is_forgotten(job, answers):
        return (
            f"{job.scheduler} does not know job {job.label} any more; look at its outputs, and "
            f"commit it by name (`datalad finish --commit-failed-jobs {job.label}`) or give it up "
            f"(`datalad finish --close-failed-jobs {job.label}`)"
        )
    return (
        f"{job.scheduler} does not know job {job.label} (yet); it was left as it is, "
        "try again in a moment"
    )
