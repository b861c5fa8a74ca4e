"""What becomes of a job in ``finish``: it waits, is closed, or can be committed."""

from __future__ import annotations

import logging
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datalad_hpc.claims import shown
from datalad_hpc.errors import HpcError
from datalad_hpc.failures import Cause, failure_of
from datalad_hpc.finish.cancelled import ended_as_wished, is_wished, unseen_end
from datalad_hpc.finish.closing import Closing, close, closing_as_wished
from datalad_hpc.finish.good_tasks import LeftOut, failed_tasks, is_partly_failed, without_tasks
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Claim, ClaimRole, Job, JobState
from datalad_hpc.located import Listing, Locator
from datalad_hpc.polling import Answers, is_forgotten, is_untold, status_of, unknown_text
from datalad_hpc.results import Result, explain, job_result, visible
from datalad_hpc.staging.returning import bring_back
from datalad_hpc.status import JobStatus, Phase
from datalad_hpc.submissions import left_behind
from datalad_hpc.wording import some_of

MORE = {
    Cause.OUT_OF_MEMORY: ("memory", "mem=2"),
    Cause.TIMEOUT: ("time", "time=2"),
}
"""What a job had too little of, and how ``reschedule --scale`` is told to ask for more."""

BEFORE_FAILED = ", failed"
"""How the reason ends of a job that never started, where an open one that it waits for failed."""

lgr = logging.getLogger("datalad.hpc.deciding")


@dataclass(frozen=True)
class Ready:
    """A job that can be committed."""

    job: Job
    status: JobStatus
    listing: Listing
    """What there is below its claims."""
    locator: Locator
    """Found it."""
    left: LeftOut = field(default_factory=LeftOut)
    """What the commit is not to hold."""


def decide(finish: Round, job: Job, answers: Answers, locator: Locator) -> Result | Ready:
    """Decide about one job.

    Parameters
    ----------
    locator:
      Finds the job's files; one for all jobs remembers what it has seen.

    Returns
    -------
    dict or Ready
      A result for a job that stays open or was closed.
    """
    if job.worktree != finish.workplace.worktree:
        return elsewhere(finish, job)
    answer = given_up(finish, job, answers) or unseen_end(job, answers) or answers.of(job)
    if answer is None or is_forgotten(job, answers):
        return without_answer(finish, job, answers)
    if answer.phase is Phase.LIVE:
        text = f"Job {job.label} is not over: {explain(answer)}{told_to_end(job, answer)}"
        return job_result(ACTION, finish.root, "impossible", text, job, answer, live=True)
    job = with_more_outputs(finish, job)
    partly = is_partly_failed(job, answer) and not finish.wishes.commit_failed
    if partly and finish.wishes.commit_good:
        good, left = without_tasks(job, failed_tasks(answer))
        return _closed(finish, decide_ended(finish, good, answer, locator, left))
    if partly and not finish.wishes.close_failed:
        # Outputs in an alternative directory stay there: it is open which of them are wanted.
        text = f"{failure(job, answer)}; {ways_out(job, answer, with_good_tasks=True)}"
        return job_result(ACTION, finish.root, "impossible", text, job, answer)
    return _closed(finish, decide_ended(finish, job, answer, locator))


def told_to_end(job: Job, answer: JobStatus) -> str:
    """What there is to say of a job that may still run, or tasks of it, if it was cancelled."""
    again = f"; it was told to end (`datalad hpc-cancel {job.label}` does so again)"
    return again * any(is_wished(job, task.index) for task in answer.tasks)


def _closed(finish: Round, decided: Result | Ready | Closing) -> Result | Ready:
    return close(finish, [decided])[0] if isinstance(decided, Closing) else decided


def decide_ended(
    finish: Round, job: Job, answer: JobStatus, locator: Locator, left: LeftOut | None = None
) -> Result | Ready | Closing:
    """Decide about a job, or a part of a sweep, that is over.

    Parameters
    ----------
    left:
      What its commit is not to hold, if it is to be committed for its good tasks.
    """
    failed = answer.phase is Phase.FAILED and left is None
    if ended_as_wished(job, answer) and not finish.wishes.commit_failed:
        return closing_as_wished(job, answer)
    try:
        # What a failed job has left elsewhere must not replace what is here, unless it is wanted.
        if not failed or finish.wishes.commit_failed:
            _fetch(finish, job)
        listing = locator.listing(job.claims)
    except (HpcError, OSError) as error:
        text = f"Job {job.label} stays open: {error}"
        return job_result(ACTION, finish.root, "error", text, job, answer)
    if failed:
        problem = failure(job, answer)
    else:
        who = f"Job {job.label}" if left is None else f"The good tasks of job {job.label}"
        # Of the good tasks alone nobody can tell who was to make an output of the whole job.
        problem = _missing(finish, who, missing := _missing_of(listing, left is not None))
        answer = _with_missing(answer, missing) if problem else answer
    if not problem or finish.wishes.commit_failed:
        return Ready(job, answer, listing, locator, left or LeftOut())
    if finish.wishes.close_failed and left is None:
        return Closing(job, answer, problem)
    status = "impossible" if failed else "error"
    return job_result(
        ACTION, finish.root, status, f"{problem}; {ways_out(job, answer)}", job, answer
    )


def elsewhere(finish: Round, job: Job) -> Result:
    """A job of another worktree has its outputs there; if that is gone, so are they."""
    root = finish.workplace.root_of(job.worktree)
    if finish.wishes.close_failed and not root.exists():
        finish.store.closed(job, (), "its worktree was removed")
        text = f"Job {job.label} was closed without a commit: its worktree was removed"
        return job_result(ACTION, finish.root, "ok", text, job)
    text = f"Job {job.label} belongs to the worktree {root}"
    if root.exists():
        text += f"; finish it there (`datalad finish -d {shlex.quote(str(root))} {job.label}`)"
    else:
        text += (
            f", which was removed; give it up (`datalad finish --close-failed-jobs {job.label}`)"
        )
    return job_result(ACTION, finish.root, "impossible", text, job)


def given_up(finish: Round, job: Job, answers: Answers) -> JobStatus | None:
    """The end of a job that its scheduler has forgotten, in part at least, if it was named."""
    named = bool(finish.wishes.job_ids)
    wanted = finish.wishes.close_failed or finish.wishes.commit_failed
    if not (named and wanted and is_forgotten(job, answers)):
        return None
    known = answers.of(job) or status_of(job, {})
    end = tuple(
        replace(task, phase=Phase.FAILED, reason="forgotten") if is_untold(task) else task
        for task in known.tasks
    )
    answers.statuses[job.key] = replace(known, tasks=end)
    return answers.statuses[job.key]


def without_answer(finish: Round, job: Job, answers: Answers) -> Result:
    named = bool(finish.wishes.job_ids)
    if job.state is not JobState.OPEN and finish.wishes.close_failed and named:
        with left_behind(finish.workplace, finish.store, job) as is_ours:
            if is_ours:
                closing = Closing(job, None, f"Job {job.label} was given up by name")
                return close(finish, [closing])[0]
    live = job.state is JobState.OPEN and not is_forgotten(job, answers)
    text = unknown_text(job, answers)
    # Somebody may be at work on its submission.
    more = {} if job.state is JobState.OPEN else {"held": True}
    answer = answers.of(job)
    return job_result(ACTION, finish.root, "impossible", text, job, answer, live=live, **more)


def with_more_outputs(finish: Round, job: Job) -> Job:
    """The job with the outputs that were named at finish.

    Raises
    ------
    BadRequest
      One of them cannot be an output, or is reserved by another open job.
    """
    if not finish.wishes.outputs:
        return job
    more = [finish.workplace.claim(path) for path in finish.wishes.outputs]
    return finish.store.claim_more(job, more)


def _fetch(finish: Round, job: Job) -> None:
    """Outputs of a job that ran elsewhere come to their place."""
    if job.request.alternative:
        alternative = Path(job.request.alternative)
        bring_back(finish.root, alternative, job.claims, finish.workplace.scratch_dir)


def ways_out(job: Job, answer: JobStatus, *, with_good_tasks: bool = False) -> str:
    """The commands that decide about a job which has failed, as they are typed."""
    good = f"commit its good tasks (`datalad finish --commit-good-tasks {job.label}`), "
    them = "its failed tasks" if with_good_tasks else "it"
    if _waits_for_failed(answer) and not job.request.submits:
        return (
            f"it stays open: give it up (`datalad finish --close-failed-jobs {job.label}`), or run "
            f"its predecessor again first, and then it (`datalad reschedule --failed {job.label}`)"
        )
    again = run_again(job.label, answer, them) if _can_run_again(job, answer) else ""
    return (
        f"it stays open: {again}{good * with_good_tasks}give it up (`datalad finish "
        f"--close-failed-jobs {job.label}`), or commit what it left (`datalad finish "
        f"--commit-failed-jobs {job.label}`)"
    )


def _waits_for_failed(answer: JobStatus) -> bool:
    """Whether nothing of a job has started, since one that it waits for failed and is open."""
    return all(
        (found := failure_of(task)) is not None
        and found.cause is Cause.DEPENDENCY
        and task.reason.endswith(BEFORE_FAILED)
        for task in answer.tasks
    )


def _can_run_again(job: Job, answer: JobStatus) -> bool:
    """Of what lies elsewhere nobody looks what is missing before it is brought back."""
    is_elsewhere = job.request.alternative and answer.phase is Phase.COMPLETED
    return not (job.request.submits or is_elsewhere)


def run_again(names: str, answer: JobStatus, them: str = "it") -> str:
    """The command that submits again what has failed, with more of what there was too little of."""
    causes = {found.cause for task in answer.tasks if (found := failure_of(task))}
    if not causes:
        return ""
    more = [MORE[cause] for cause in MORE if cause in causes]
    what = f" with more {' and '.join(word for word, _ in more)}" if more else ""
    scale = f" --scale {' '.join(option for _, option in more)}" if more else ""
    return f"run {them} again{what} (`datalad reschedule --failed {names}{scale}`), "


def failure(job: Job, answer: JobStatus) -> str:
    return f"Job {job.label} did not succeed: {explain(answer)}"


def _missing_of(listing: Listing, of_tasks: bool) -> list[Claim]:
    """Declared outputs that are not there, or only those of an array's tasks."""
    missing = (claim for claim in listing.empty if claim.role is ClaimRole.OUTPUT)
    return [claim for claim in missing if not (of_tasks and claim.task is None)]


def _with_missing(answer: JobStatus, missing: Sequence[Claim]) -> JobStatus:
    """The status in which each task that completed has what is missing of it.

    Any of them may have been the one to make an output of the whole job.
    """
    of_task: dict[int | None, list[str]] = defaultdict(list)
    for claim in missing:
        of_task[claim.task].append(shown(claim))
    whole = of_task.pop(None, [])
    return replace(
        answer,
        tasks=tuple(
            replace(task, missing=(*whole, *of_task.get(task.index, ())))
            if task.phase is Phase.COMPLETED
            else task
            for task in answer.tasks
        ),
    )


def _missing(finish: Round, who: str, missing: Sequence[Claim]) -> str:
    if not missing:
        return ""
    text = f"{who} completed, but did not produce {some_of(list(map(shown, missing)))}"
    if finish.workplace.setting("datalad.hpc.missing-outputs") != "warning":
        return text
    lgr.warning("%s", visible(text))
    return ""
