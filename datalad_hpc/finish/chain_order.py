"""Chains in ``finish``: a job is committed after those that it depends on, and not without them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from datalad_hpc.chains.dependencies import inputs_of
from datalad_hpc.claims import ClaimedPaths
from datalad_hpc.commit.recording import Layout
from datalad_hpc.failures import whom_of
from datalad_hpc.finish.cancelled import ended_as_wished
from datalad_hpc.finish.deciding import BEFORE_FAILED, Ready
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Claim, Job, JobState
from datalad_hpc.polling import Answers
from datalad_hpc.results import Result, job_result
from datalad_hpc.status import NEVER, JobStatus, Phase, TaskStatus
from datalad_hpc.wording import some_of

IN_VAIN = ", so that it never starts: cancel it"
"""How the reason ends of a job that is in the queue still."""


def waits_in_vain(task: TaskStatus) -> bool:
    """Whether a task is live by its state only, as :func:`give_reasons` has found."""
    return task.phase is Phase.LIVE and (task.reason == NEVER or task.reason.endswith(IN_VAIN))


def layers(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs in groups, none of which has a job that depends on another of its own.

    What a job depends on is older, and so has a lower row.
    """
    ordered = sorted(jobs, key=lambda job: job.key)
    depths: dict[int, int] = {}
    for job in ordered:
        depths[job.key] = 1 + max((depths.get(row, -1) for row in job.depends_on), default=-1)
    ordered.sort(key=lambda job: depths[job.key])
    return [list(group) for _, group in groupby(ordered, key=lambda job: depths[job.key])]


def awaited(this: Round, jobs: Collection[Job]) -> list[Job]:
    """What the jobs depend on, as far as it is not among them."""
    own = {job.key for job in jobs}
    rows = {row for job in jobs for row in job.depends_on} - own
    return this.store.jobs_of(rows) if rows else []


def give_reasons(jobs: Sequence[Job], earlier: Sequence[Job], answers: Answers) -> dict[int, str]:
    """Say of jobs that never started for which of those that they depend on that is.

    Slurm's accounting has no word on it.

    Returns
    -------
    dict
      For people, by number of the job's row: the reason, or what the job still waits for.
    """
    told = {}
    known = {job.key: job for job in (*earlier, *jobs)}
    # A job may have ended for one that ended for another.
    for job in sorted(jobs, key=lambda job: job.key):
        answer = answers.of(job)
        before = [known[row] for row in job.depends_on if row in known]
        failed = [each for each in before if _has_failed(each, answers)]
        in_vain = any(each.state.holds_claims and _has_all_failed(each, answers) for each in failed)
        if answer and failed and any(_never_starts(task, in_vain) for task in answer.tasks):
            told[job.key] = _reason(answer, failed)
            answers.statuses[job.key] = _with_reason(answer, told[job.key], in_vain)
        elif labels := [each.label for each in before if _is_live(each, answers)]:
            told[job.key] = f"waits for job {some_of(labels)}"
    return told


def _is_live(job: Job, answers: Answers) -> bool:
    answer = answers.of(job)
    return answer is not None and answer.phase is Phase.LIVE


def _never_starts(task: TaskStatus, in_vain: bool) -> bool:
    """Whether a task was ended before it began, or waits in vain: of that sacct has no word."""
    ended = task.state.startswith("CANCELLED") and not task.elapsed
    return ended or task.reason == NEVER or (in_vain and task.state == "PENDING")


def _has_all_failed(job: Job, answers: Answers) -> bool:
    answer = answers.of(job)
    return answer is not None and all(task.phase is Phase.FAILED for task in answer.tasks)


def _has_failed(job: Job, answers: Answers) -> bool:
    answer = answers.of(job)
    failed = answer and any(task.phase is Phase.FAILED for task in answer.tasks)
    return job.state is JobState.CLOSED or bool(failed and job.state.holds_claims)


def _reason(answer: JobStatus, failed: Sequence[Job]) -> str:
    which = "predecessors, jobs" if len(failed) > 1 else "predecessor, job"
    given_up = all(job.state is JobState.CLOSED for job in failed)
    end = f", {'were' if len(failed) > 1 else 'was'} given up" if given_up else BEFORE_FAILED
    reason = f"its {which} {some_of([job.label for job in failed])}{end}"
    return reason + IN_VAIN * (answer.phase is Phase.LIVE)


def _with_reason(answer: JobStatus, reason: str, in_vain: bool) -> JobStatus:
    tasks = (
        replace(task, reason=f"{whom_of(task)}{NEVER}: {reason}")
        if _never_starts(task, in_vain)
        else task
        for task in answer.tasks
    )
    return replace(answer, tasks=tuple(tasks))


def in_order(
    this: Round, jobs: Sequence[Job], decided: Iterable[Result | Ready]
) -> Iterator[Result | Ready]:
    """What was decided about jobs, but for those of which a predecessor is open still.

    Parameters
    ----------
    jobs:
      All of one layer; the layers before it are done.
    """
    rows = {row for job in jobs for row in job.depends_on}
    earlier = {job.key: _Earlier(job) for job in (this.store.jobs_of(rows) if rows else ())}
    for outcome in decided:
        yield (_held_back(this, outcome, earlier) if isinstance(outcome, Ready) else outcome)


@dataclass(frozen=True)
class _Earlier:
    """A job that others depend on; of a sweep only the tasks count that make what they read."""

    job: Job
    made: ClaimedPaths = field(init=False)
    open: ClaimedPaths = field(init=False)

    def __post_init__(self) -> None:
        over = {part.index for part in self.job.parts if part.state is not JobState.OPEN}
        claims = [(claim, self.job.label) for claim in self.job.claims if self.job.parts]
        object.__setattr__(self, "made", ClaimedPaths(claims))
        is_open = (each for each in claims if each[0].task not in over)
        object.__setattr__(self, "open", ClaimedPaths(is_open))

    def is_in_the_way(self, read: Sequence[Claim]) -> bool:
        if not self.job.state.holds_claims:
            return False
        # Who reads nothing of it was told to come after all of it.
        read_of_it = not self.job.parts or any(self.open.holder(claim) for claim in read)
        return read_of_it or not any(self.made.holder(claim) for claim in read)


def _held_back(this: Round, ready: Ready, earlier: Mapping[int, _Earlier]) -> Result | Ready:
    job = ready.job
    found = [earlier[row] for row in job.depends_on if row in earlier]
    found = [each for each in found if each.job.state.holds_claims]
    if not found:
        return ready
    read = [each.claim for each in inputs_of(this.workplace, job.request)]
    labels = [each.job.label for each in found if each.is_in_the_way(read)]
    if not labels:
        return ready
    which, them = ("jobs", "them") if len(labels) > 1 else ("job", "it")
    text = (
        f"Job {job.label} is over and stays open until {which} {some_of(labels)} "
        f"{'are' if len(labels) > 1 else 'is'} finished or closed, since it depends on {them}"
    )
    return job_result(ACTION, this.root, "impossible", text, job, ready.status, held=True)


def readers(this: Round, jobs: Sequence[Job], answers: Answers) -> dict[int, list[str]]:
    """Labels of jobs that may still read outputs which are taken away, by the maker's row.

    So are those in an alternative directory, and with ``--branches`` those in the work tree.
    Readers are looked for after the schedulers were asked: a job that comes later has to find its
    predecessor live, see :mod:`.dependencies`.
    """
    all_of_them = this.wishes.layout is Layout.BRANCHES
    there = {job.key: job for job in jobs if all_of_them or job.request.alternative}
    found: dict[int, list[str]] = {row: [] for row in there}
    for job in this.store.open_jobs() if there else ():
        answer = answers.of(job)
        is_over = answer is not None and answer.phase is not Phase.LIVE
        for row in job.depends_on:
            if row in there and not is_over:
                found[row].append(job.label)
    return found


def still_read(this: Round, job: Job, answers: Answers, labels: Sequence[str]) -> Result | None:
    """The result of a job whose outputs cannot be taken from where others read them."""
    answer = answers.of(job)
    # Of a sweep some tasks may have ended.
    stays = answer is None or (answer.phase is Phase.LIVE and not job.parts)
    closes = answer and answer.phase is Phase.FAILED and this.wishes.close_failed
    closes = closes or (answer and ended_as_wished(job, answer) and not this.wishes.commit_failed)
    if not labels or stays or closes:
        return None
    text = (
        f"Job {job.label} is over and stays open until job {some_of(labels)} has ended, which "
        f"reads its outputs in {job.request.alternative or this.root}"
    )
    return job_result(ACTION, this.root, "impossible", text, job, answer, held=True)
