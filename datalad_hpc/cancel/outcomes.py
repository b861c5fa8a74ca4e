"""What became of jobs that were to end, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from datalad_hpc.cancel.ends import Closed
from datalad_hpc.cancel.targets import Target
from datalad_hpc.finish.cancelled import was_cancelled
from datalad_hpc.finish.closing import what_is_left
from datalad_hpc.finish.deciding import ways_out
from datalad_hpc.finish.good_tasks import is_partly_failed
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job, JobState
from datalad_hpc.results import Result, explain, job_result
from datalad_hpc.sizes import span_text
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.unfolding import part_label
from datalad_hpc.wording import MOST_SHOWN, ranges, some_of, some_tasks

CLOSED, ENDING, COMPLETED, FAILED, OVER = "closed", "ending", "completed", "failed", "over"
"""The field ``outcome``: what of a job is closed, still ends, completed before, did not succeed and
stays open; or somebody else has ended the job in the store meanwhile."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job, or of some tasks of it."""

    target: Target
    answer: JobStatus
    """With the tasks that are meant."""
    told: bool
    """Whether it ran, and its scheduler was told to end it."""
    closed: Closed | None = None
    waiting: Sequence[str] = ()
    """Names of open jobs that wait for it."""

    @property
    def job(self) -> Job:
        """The job that is meant."""
        return self.target.job

    def by_outcome(self) -> dict[str, list[TaskStatus]]:
        """Its tasks by what became of them."""
        found: dict[str, list[TaskStatus]] = {}
        for task in self.answer.tasks:
            found.setdefault(self._outcome_of(task), []).append(task)
        return found

    def _outcome_of(self, task: TaskStatus) -> str:
        if self.closed and task.index in self.closed.tasks:
            return CLOSED
        if task.phase is Phase.LIVE:
            return ENDING
        return COMPLETED if task.phase is Phase.COMPLETED else FAILED


def result_of(this: Round, outcome: Outcome) -> Result:
    """The result of one job."""
    job, closed = outcome.job, outcome.closed
    if closed and not closed.tasks and not closed.job.state.holds_claims:
        text = f"Job {job.label} is over: {_ended_by_others(closed.job)}"
        commit = closed.job.commit
        return job_result(
            this.action, this.root, "ok", text, closed.job, outcome=OVER, commit=commit
        )
    if closed and closed.job.token != job.token:
        text = (
            f"Job {job.label} was submitted again meanwhile, and may run as job "
            f"{closed.job.label}: `datalad hpc-cancel {job.label}` ends that"
        )
        return job_result(this.action, this.root, "impossible", text, closed.job, outcome=FAILED)
    tasks = outcome.by_outcome()
    clauses = _of_array_task(outcome) if outcome.target.is_rest_untouched else _clauses(outcome)
    text = "; ".join([*clauses, *_about_waiting(outcome, tasks)])
    return job_result(
        this.action,
        this.root,
        "ok" if outcome.told or CLOSED in tasks else "notneeded",
        text[0].upper() + text[1:],
        job,
        outcome.answer,
        outcome=next(iter(tasks)) if len(tasks) == 1 else {w: _ids(t) for w, t in tasks.items()},
        elapsed=max((task.elapsed or 0.0 for task in outcome.answer.tasks), default=0.0),
        waiting_jobs=list(outcome.waiting),
    )


def _ended_by_others(job: Job) -> str:
    if job.state is JobState.FINISHED:
        return f"it was committed meanwhile, as {job.commit[:10]}"
    return f"it was closed meanwhile ({job.note})"


def _clauses(outcome: Outcome) -> Iterator[str]:
    """What became of a job, or of each of the tasks of a sweep."""
    tasks = outcome.by_outcome()
    if not outcome.job.parts and CLOSED not in tasks:
        # What has no parts is committed, or given up, as a whole.
        tasks = {_of_whole(outcome.answer): list(outcome.answer.tasks)}
    for word in (CLOSED, ENDING, COMPLETED, FAILED):
        if word in tasks:
            yield _CLAUSES[word](outcome, tasks[word])


def _of_whole(answer: JobStatus) -> str:
    return {Phase.LIVE: ENDING, Phase.COMPLETED: COMPLETED, Phase.FAILED: FAILED}[answer.phase]


def _closed(outcome: Outcome, tasks: Sequence[TaskStatus]) -> str:
    who, was, _ = _names(outcome, tasks)
    changed = outcome.closed.changed if outcome.closed else ()
    left = what_is_left(outcome.job, replace(outcome.answer, tasks=tuple(tasks)), ())
    if changed and not left:
        left = f"; these files of its were left as they are: {some_of(changed)}"
    free = "; its outputs are free again, and as they were before"
    return f"{who} {was} cancelled {_when(tasks)} and closed without a commit{left or free}"


def _ending(outcome: Outcome, tasks: Sequence[TaskStatus]) -> str:
    who, was, has = _names(outcome, tasks)
    states = explain(replace(outcome.answer, tasks=tuple(tasks)))
    return (
        f"{who} {was} told to end and {has} not yet ({states}): the outputs stay reserved until "
        "`datalad finish` finds that it is over, and closes it"
    )


def _completed(outcome: Outcome, tasks: Sequence[TaskStatus]) -> str:
    who, _, has = _names(outcome, tasks)
    when = "completed before that" if outcome.told else f"{has} completed already"
    return f"{who} {when}: `datalad finish {_named(outcome, tasks)}` commits what was made"


def _failed(outcome: Outcome, tasks: Sequence[TaskStatus]) -> str:
    who, was, _ = _names(outcome, tasks)
    job, answer = outcome.job, replace(outcome.answer, tasks=tuple(tasks))
    how = f"{was} cancelled" if all(map(was_cancelled, tasks)) else "did not succeed"
    partly = not job.parts and is_partly_failed(job, answer)
    named = replace(job, job_id=_named(outcome, tasks))
    out = ways_out(named, answer, with_good_tasks=partly)
    return f"{who} {how}: {explain(answer)}; {out}"


_CLAUSES = {CLOSED: _closed, ENDING: _ending, COMPLETED: _completed, FAILED: _failed}


def _of_array_task(outcome: Outcome) -> Iterator[str]:
    """Of some tasks of an array nothing is closed: the commit is one for all."""
    who, was, has = _names(outcome, outcome.answer.tasks)
    states = explain(outcome.answer)
    live = any(task.phase is Phase.LIVE for task in outcome.answer.tasks)
    yield f"{who} {was} told to end and {has} not yet: {states}" if live else states
    yield (
        f"the other tasks of job {outcome.job.label} are left alone; once it is over `datalad "
        f"finish --commit-good-tasks {outcome.job.label}` commits those that completed"
    )


def _about_waiting(outcome: Outcome, words: Collection[str]) -> Iterator[str]:
    """What there is to say of jobs that wait for one that does not complete."""
    names = outcome.waiting
    if not names or set(words) == {COMPLETED}:
        return
    which = f"job{'s' * (len(names) > 1)} {some_of(names)}"
    never = "may never start" if outcome.target.tasks else "can never start"
    ids = " ".join(names[:MOST_SHOWN])
    yield f"{which}, waiting for it, {never}: `datalad hpc-cancel {ids}` gives up on that too"


def _names(outcome: Outcome, tasks: Sequence[TaskStatus]) -> tuple[str, str, str]:
    """How some tasks are called, and the verbs that go with that."""
    job, target = outcome.job, outcome.target
    all_of_it = target.tasks is None and len(tasks) == len(outcome.answer.tasks)
    if all_of_it or (not job.parts and target.tasks is None):
        return f"job {job.label}", "was", "has"
    indices = [task.index for task in tasks if task.index is not None]
    who = f"{some_tasks(indices)} of job {job.label}"
    return (who, "were", "have") if len(indices) > 1 else (who, "was", "has")


def _named(outcome: Outcome, tasks: Sequence[TaskStatus]) -> str:
    """The names with which some tasks are given to a command."""
    job = outcome.job
    if not job.parts or outcome.target.tasks is None:
        return job.label
    indices = [task.index for task in tasks if task.index is not None]
    return " ".join(part_label(job, index) for index in indices[:MOST_SHOWN])


def _when(tasks: Sequence[TaskStatus]) -> str:
    longest = max((task.elapsed or 0.0 for task in tasks), default=0.0)
    if not any(task.nodes or task.elapsed for task in tasks):
        return "before it started"
    return f"after {span_text(longest)}"


def _ids(tasks: Sequence[TaskStatus]) -> str:
    return ranges([task.index for task in tasks if task.index is not None])
