"""Which open jobs have failed, and which of their tasks are to run again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from datalad_hpc.claims import shown
from datalad_hpc.failures import Cause, failure_of
from datalad_hpc.finish.cancelled import was_cancelled
from datalad_hpc.finish.chain_order import layers, waits_in_vain
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import ClaimRole, Job
from datalad_hpc.located import Locator
from datalad_hpc.members import attempts_at
from datalad_hpc.plans.changing import Changes
from datalad_hpc.polling import Answers, is_forgotten, unknown_text
from datalad_hpc.results import Result, explain, job_result
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.unfolding import part_label
from datalad_hpc.wording import MOST_SHOWN, some_of, some_tasks

ACTION = "reschedule"


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    names: tuple[str, ...] = ()
    changes: Changes = field(default_factory=Changes)
    max_attempts: int | None = None
    """How often a task may be tried in all."""
    assume_ready: str | None = None
    jobs: int | None = None
    tasks: Mapping[int, Collection[int]] = field(default_factory=dict)
    """Indices of the tasks that were named, by the rows of their jobs."""

    def means(self, job: Job, task: TaskStatus) -> bool:
        """Whether a task of a job is meant, should it have failed."""
        return job.key not in self.tasks or task.index in self.tasks[job.key]


@dataclass(frozen=True)
class Failed:
    """A job of which something is to run again."""

    job: Job
    status: JobStatus
    tasks: tuple[TaskStatus, ...]
    """What is to run again."""
    problem: str
    """Why, in a sentence's second half."""
    left_out: tuple[int, ...] = ()
    """Indices of tasks that were cancelled, and not named."""

    @property
    def indices(self) -> tuple[int, ...]:
        """Of its tasks; none of a plain job, nor of a heterogeneous one, which has components."""
        if self.job.tasks is None:
            return ()
        return tuple(sorted(task.index for task in self.tasks if task.index is not None))

    @property
    def name(self) -> str:
        """How the job is called until it has a new id."""
        return self.job.label

    @property
    def told(self) -> str:
        """The tasks in words; empty for a plain job."""
        return f"{some_tasks(self.indices)} of " if self.indices else ""

    def left_out_of(self, job: Job) -> str:
        """What to say behind a sentence of the tasks that do not run again; mostly nothing."""
        if not self.left_out:
            return ""
        names = [part_label(job, index) for index in self.left_out[:MOST_SHOWN]]
        was = "were" if len(self.left_out) > 1 else "was"
        return (
            f"; {some_tasks(self.left_out)} {was} cancelled, and left out, since that runs "
            f"again only when named (`datalad reschedule --failed {' '.join(names)}`)"
        )


def failed(
    this: Round, jobs: Sequence[Job], answers: Callable[[], Answers], wishes: Wishes
) -> Iterator[Result | Failed]:
    """What of some jobs is to run again, what others depend on first.

    Parameters
    ----------
    answers:
      Gives what is known of the jobs at the moment when one has its turn.

    Yields
    ------
    dict or Failed
      A result for what cannot run again, or was named and need not.
    """
    locator = Locator(this.root)
    for job in (job for layer in layers(jobs) for job in layer):
        found = _failed(this, job, answers(), wishes, locator)
        if isinstance(found, Failed):
            found = _within_limit(this, _without_cancelled(this, found, wishes), wishes)
        if found:
            yield found


def _failed(
    this: Round, job: Job, answers: Answers, wishes: Wishes, locator: Locator
) -> Result | Failed | None:
    answer = answers.of(job)
    if job.worktree != this.workplace.worktree:
        where = this.workplace.root_of(job.worktree)
        text = f"Job {job.label} belongs to the worktree {where}; submit it again from there"
        return _said(this, job, "impossible", text) if wishes.names else None
    if answer is None or is_forgotten(job, answers):
        worth_it = wishes.names or is_forgotten(job, answers)
        return _said(this, job, "impossible", unknown_text(job, answers)) if worth_it else None
    answer = replace(answer, tasks=tuple(task for task in answer.tasks if wishes.means(job, task)))
    tasks = tuple(task for task in answer.tasks if _has_failed(task))
    problem = _problem(answer, tasks) if tasks else ""
    if not tasks and wishes.names:
        tasks, problem = _without_outputs(job, answer, locator)
    if not tasks:
        text = f"Job {job.label} has not failed: {explain(answer)}"
        return _said(this, job, "notneeded", text, answer) if wishes.names else None
    if job.request.submits:
        text = (
            f"Job {job.label} did not succeed ({problem}), but it is what a program has submitted, "
            f"which cannot submit a part of it again: give it up (`datalad finish "
            f"--close-failed-jobs {job.label}`) and schedule the program anew"
        )
        return _said(this, job, "impossible", text, answer)
    return Failed(job, answer, tasks, problem)


def _has_failed(task: TaskStatus) -> bool:
    """Also of a task that waits for what cannot come any more."""
    return task.phase is Phase.FAILED or waits_in_vain(task)


def _without_outputs(
    job: Job, answer: JobStatus, locator: Locator
) -> tuple[tuple[TaskStatus, ...], str]:
    """Tasks that completed, but did not produce what they were to; and which outputs these are.

    What lies in an alternative directory is looked for when the job is finished.
    """
    done = tuple(task for task in answer.tasks if task.phase is Phase.COMPLETED)
    if not done or len(done) < len(answer.tasks) or job.request.alternative:
        return (), ""
    indices = {None, *(task.index for task in done)}
    outputs = [claim for claim in job.claims if claim.role is ClaimRole.OUTPUT]
    empty = locator.listing([claim for claim in outputs if claim.task in indices]).empty
    missing = {
        task.index: tuple(shown(claim) for claim in empty if claim.task in (None, task.index))
        for task in done
    }
    tasks = tuple(replace(task, missing=missing[task.index]) for task in done)
    tasks = tuple(task for task in tasks if task.missing)
    return tasks, f"completed, but did not produce {some_of([shown(claim) for claim in empty])}"


def _without_cancelled(this: Round, found: Failed, wishes: Wishes) -> Result | Failed | None:
    """What somebody ended does not run again, unless it is named."""
    if wishes.names:
        return found
    ended = set(_ended(found))
    tasks = tuple(task for task in found.tasks if task.index not in ended)
    if found.job.cancelled or not tasks:
        text = (
            f"Job {found.name} was cancelled ({found.problem}), and is not submitted again unless "
            f"it is named (`datalad reschedule --failed {found.name}`)"
        )
        return _said(this, found.job, "notneeded", text, found.status)
    if len(tasks) == len(found.tasks):
        return found
    left = tuple(sorted(index for index in ended if index is not None))
    return replace(found, tasks=tasks, problem=_problem(found.status, tasks), left_out=left)


def _ended(found: Failed) -> Iterator[int | None]:
    """Indices of the tasks that the user ended, or anybody else.

    For tasks of plain arrays no mark is kept: there the scheduler's word counts. Nobody has ended a
    job that never began since what it waits for has failed.
    """
    marked = {part.index for part in found.job.parts if part.cancelled}
    never_began = all(
        was_cancelled(task) and not (task.elapsed or task.nodes) for task in found.status.tasks
    )
    for task in found.tasks:
        failure = failure_of(task)
        cancelled = failure is not None and failure.cause is Cause.CANCELLED
        in_vain = found.job.depends_on and never_began
        if task.index in marked or (failure and cancelled and (failure.by or not in_vain)):
            yield task.index


def _problem(answer: JobStatus, tasks: tuple[TaskStatus, ...]) -> str:
    return explain(replace(answer, tasks=tasks))


def _within_limit(
    this: Round, found: Result | Failed | None, wishes: Wishes
) -> Result | Failed | None:
    if not isinstance(found, Failed) or wishes.max_attempts is None:
        return found
    tasks = tuple(
        task for task in found.tasks if tries(found.job, task.index) < wishes.max_attempts
    )
    if tasks:
        return replace(found, tasks=tasks)
    times = f"{wishes.max_attempts} time{'s' * (wishes.max_attempts != 1)}"
    text = (
        f"Job {found.name} ({found.problem}) was tried {times} already, and --max-attempts allows "
        f"no more: try it once more with a higher number, give it up (`datalad finish "
        f"--close-failed-jobs {found.name}`), or commit what it left (`datalad finish "
        f"--commit-failed-jobs {found.name}`)"
    )
    return _said(this, found.job, "impossible", text, found.status)


def tries(job: Job, task: int | None) -> int:
    """How often a task was submitted so far."""
    return len(attempts_at(job, task)) + 1


def _said(this: Round, job: Job, status: str, text: str, answer: JobStatus | None = None) -> Result:
    return job_result(ACTION, this.root, status, text, job, answer)
