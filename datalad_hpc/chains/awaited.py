"""An earlier job that a new one waits for, and whether it can."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from datalad_hpc.errors import BadRequest, SchedulerUnreachable
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_ids, as_attempted
from datalad_hpc.polling import Answers, is_forgotten, unknown_text, was_answered
from datalad_hpc.reads import AFTER_ALL
from datalad_hpc.results import explain
from datalad_hpc.schedulers.base import ANYBODYS, Scheduler
from datalad_hpc.status import JobKey, JobStatus, Phase, TaskStatus
from datalad_hpc.wording import some_of

MOST_TASKS = 20
"""Of more tasks not each is named: the whole array is waited for."""

LONG_AGO = datetime(1980, 1, 1, tzinfo=timezone.utc)

_TASK_ID = re.compile(r"(?P<job>[0-9]+)(?:_(?P<task>[0-9]+))?")


@dataclass(frozen=True)
class Earlier:
    """A job of the dataset that makes inputs of a new one, or that the user named."""

    job: Job
    inputs: tuple[str, ...] = ()
    """Those that it makes, as they were given; none if it was named only."""
    tasks: frozenset[int] | None = None
    """The tasks that count; ``None`` for all of the job."""
    is_live: bool = False
    """Whether it may still run."""
    kind: str = AFTER_ALL
    """How it is waited for."""

    @property
    def called(self) -> str:
        """How it is named to the user."""
        what = f"which makes {some_of(self.inputs)}" if self.inputs else "named with --after"
        return f"job {self.job.label}, {what},"

    @property
    def shown(self) -> str:
        """The same in a list."""
        return f"job {self.job.label}" + f" ({some_of(self.inputs)})" * bool(self.inputs)

    def and_also(self, other: Earlier) -> Earlier:
        """The same job where there are two reasons to wait for it."""
        one, two = self.tasks, other.tasks
        tasks = None if one is None or two is None else one | two
        return replace(self, inputs=(*self.inputs, *other.inputs), tasks=tasks)

    def refuse_other_place(self, alternative: str | None) -> None:
        """Make sure that what it makes will be where the new job reads it.

        Raises
        ------
        BadRequest
          One of the two runs in an alternative directory, and the other does not.
        """
        its = self.job.request.alternative
        if not self.inputs or self.job.state is JobState.FINISHED:
            return
        if its and (its != alternative or not self.is_live):
            raise BadRequest(
                f"{self.called} {'runs' if self.is_live else 'ran'} in {its}, and its outputs get "
                f"to the dataset with `datalad finish {self.job.label}`; finish it first"
                + f", or schedule the new job with --alt-dir {its} too"
                * self.is_live
            )
        if alternative and not its and self.is_live:
            raise BadRequest(
                f"{self.called} has not ended, so that nothing can be copied to {alternative} yet; "
                "schedule the new job when it has, or without --alt-dir"
            )

    def refuse_other_cluster(self, scheduler: Scheduler, cluster: str) -> None:
        """Make sure that the scheduler of the new job knows this one.

        Raises
        ------
        BadRequest
          It goes to another scheduler, or to another cluster.
        """
        here, there = (self.job.scheduler, self.job.cluster), (scheduler.name, cluster)
        if here[0] != there[0] or not scheduler.is_same_cluster(here[1], there[1]):
            one, other = (f"{name} ({of})" if of else name for name, of in (here, there))
            raise BadRequest(
                f"{self.called} is on {one}, and a job on {other} cannot wait for it; send the new "
                f"job there too, or schedule it when job {self.job.label} has ended"
            )


def by_name(
    jobs_named: Callable[[Sequence[str]], list[Job]], names: Sequence[str]
) -> tuple[list[Earlier], tuple[str, ...]]:
    """The jobs that a user named; those that are committed need not be waited for.

    Returns
    -------
    tuple
      Jobs of the dataset that are open, and names that are none of its jobs.

    Raises
    ------
    BadRequest
      A job was given up, or a name can be none.
    """
    found, foreign = [], []
    for name in names:
        job, tasks = _named(jobs_named, name)
        if job is None:
            if not _TASK_ID.fullmatch(name):
                raise BadRequest(f"there is no job {name!r} to come after; give the job's id")
            foreign.append(name)
        elif job.state is not JobState.FINISHED:
            found.append(Earlier(job, (), tasks))
    return found, tuple(foreign)


def _named(
    jobs_named: Callable[[Sequence[str]], list[Job]], name: str
) -> tuple[Job | None, frozenset[int] | None]:
    """The job that is meant: of several with one id the one that is open, or the latest."""
    match = _TASK_ID.fullmatch(name)
    tasks = frozenset([int(match["task"])]) if match and match["task"] else None
    jobs = jobs_named([match["job"] if match else name])
    return max(jobs, key=lambda job: (job.state.holds_claims, job.key), default=None), tasks


def conditions_of(earlier: Earlier, answers: Answers) -> list[str]:
    """What is still to be waited for of a job: ids of it or of its tasks; none if it succeeded.

    Raises
    ------
    BadRequest
      It failed, or nothing can be said of it.
    """
    job = earlier.job
    if job.state is JobState.FINISHED:
        return []
    if not job.state.holds_claims:
        raise BadRequest(
            f"{earlier.called} is over without a commit ({job.note or job.state.value}), so there "
            "is nothing to wait for; schedule it again first"
        )
    answer = answers.of(job)
    known = job.state is JobState.OPEN and was_answered(job, answers)
    if not known or is_forgotten(job, answers):
        raise BadRequest(
            f"it cannot be told whether {earlier.called} succeeds. {unknown_text(job, answers)}"
        )
    # Of a job that was submitted just now accounting may not have heard.
    tasks = _that_count(answer, earlier.tasks) if answer else ()
    failed = [task for task in tasks if task.phase is Phase.FAILED]
    if answer and failed:
        raise BadRequest(
            f"{earlier.called} did not succeed: {explain(replace(answer, tasks=tuple(failed)))}; "
            f"run it again first (`datalad reschedule --failed {job.label}`), or commit what it "
            f"left (`datalad finish --commit-failed-jobs {job.label}`)"
        )
    live = [task for task in tasks if task.phase is Phase.LIVE]
    return _ids(earlier, live, answer) if live or answer is None else []


def _that_count(answer: JobStatus, tasks: frozenset[int] | None) -> tuple[TaskStatus, ...]:
    """Tasks that are waited for; one that nothing is known of counts for all."""
    chosen = tuple(task for task in answer.tasks if tasks is None or task.index in tasks)
    return chosen if tasks is None or len(chosen) == len(tasks) else answer.tasks


def _ids(earlier: Earlier, live: Sequence[TaskStatus], answer: JobStatus | None) -> list[str]:
    """The job, or tasks of it: to wait for all of an array is in vain if others have failed."""
    job = earlier.job
    if job.attempts and job.tasks is not None:
        return _ids_of_attempts(job, live)
    whole = earlier.tasks is None or earlier.kind != AFTER_ALL or job.members
    in_vain = answer and any(task.phase is Phase.FAILED for task in answer.tasks)
    if whole or not live or (len(live) > MOST_TASKS and not in_vain):
        return [*all_ids(job)] if job.members else [job.job_id]
    return [f"{job.job_id}_{task.index}" for task in live]


def _ids_of_attempts(job: Job, live: Sequence[TaskStatus]) -> list[str]:
    """Each task under the id of its newest submission; of an earlier one some have failed."""
    indices = {task.index for task in live if task.index is not None}
    wanted = sorted(indices) or job.tried or job.tasks or ()
    return [f"{as_attempted(job, index).job_id}_{index}" for index in wanted]


def foreign_conditions(scheduler: Scheduler, cluster: str, names: Sequence[str]) -> list[str]:
    """Conditions for jobs that are none of the dataset's, as far as they have not succeeded.

    Slurm takes an id that it does not know for that of a job that succeeded long ago.

    Raises
    ------
    BadRequest
      The scheduler does not know one, or it failed.
    """
    conditions = []
    for name in names:
        answer = _asked(scheduler, cluster, name)
        task = name.partition("_")[2]
        tasks = _that_count(answer, frozenset([int(task)]) if task else None)
        failed = tuple(each for each in tasks if each.phase is Phase.FAILED)
        if failed:
            raise BadRequest(
                f"job {name}, named with --after, did not succeed: "
                f"{explain(replace(answer, tasks=failed))}; leave it out, or run it again"
            )
        if any(each.phase is Phase.LIVE for each in tasks):
            conditions.append(f"afterok:{name}")
    return conditions


def _asked(scheduler: Scheduler, cluster: str, name: str) -> JobStatus:
    job_id = name.partition("_")[0]
    key = JobKey(job_id, cluster, ANYBODYS, LONG_AGO)
    try:
        found = scheduler.status([key])
    except SchedulerUnreachable as error:
        raise BadRequest(f"it cannot be told how job {name} (--after) is: {error}") from error
    answer = found.get(job_id)
    if answer is None:
        known = "gave no answer about" if job_id in found else "does not know"
        raise BadRequest(
            f"{scheduler.name} {known} job {name}, named with --after, which is none of this "
            "dataset either; look for its id (`datalad finish --list-open-jobs`, `squeue`)"
        )
    return answer
