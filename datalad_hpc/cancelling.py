"""The story of ``hpc-cancel``: ask for the end of jobs, and close those that have ended."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from datalad_hpc.cancel.asking import asked_to_end, tokens_of, wait_for_ends
from datalad_hpc.cancel.ends import Closed, close_ended
from datalad_hpc.cancel.outcomes import Outcome, result_of
from datalad_hpc.cancel.targets import Target, chosen
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.finish.cancelled import unseen_end
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import JobState
from datalad_hpc.polling import Answers, ask, is_forgotten, is_untold, unknown_text
from datalad_hpc.results import Result, error_result, job_result
from datalad_hpc.scheduling import settle
from datalad_hpc.status import JobStatus
from datalad_hpc.store.wishes import wish_end

ACTION = "hpc-cancel"


def cancel(this: Round, *, everything: bool = False) -> Iterator[Result]:
    """End jobs, and say what became of them.

    Parameters
    ----------
    everything:
      Whether all open jobs are meant; else those that are named.

    Yields
    ------
    dict
      One result per job.

    Raises
    ------
    HpcError
      It could not begin or go on. What was asked for stays asked for.
    """
    _check(this, everything)
    settle(this.workplace, this.store, this.scheduler_named)
    targets, results = chosen(this)
    yield from results
    answers = ask([each.job for each in targets], this.scheduler_named, facts=True)
    yield from (error_result(this.action, this.root, error) for error in answers.failures)
    known = []
    for target in targets:
        if why := _why_not(this, target, answers):
            yield _result(this, "impossible", why, target, answers)
        else:
            known.append(target)
    yield from _end(this, known, answers)


def _check(this: Round, everything: bool) -> None:
    if everything and this.wishes.job_ids:
        raise BadRequest("either name jobs, or give --all for all of them")
    if not everything and not this.wishes.job_ids:
        raise BadRequest(
            "say which jobs are to end: their ids, as `datalad finish --list-open-jobs` shows "
            "them, or --all for all open jobs of this dataset"
        )


def _why_not(this: Round, target: Target, answers: Answers) -> str:
    """Why a job cannot be cancelled from here, or it cannot be told whether it is ours."""
    job = target.job
    root = this.workplace.root_of(job.worktree)
    if job.worktree != this.workplace.worktree and root.exists():
        command = f"`datalad hpc-cancel -d {shlex.quote(str(root))} {job.label}`"
        return f"Job {job.label} belongs to the worktree {root} and was left alone; {command}"
    if job.state is not JobState.OPEN:
        return f"{unknown_text(job, answers)}, and cancel it by its id then"
    answer = unseen_end(job, answers) or answers.of(job)
    if is_forgotten(job, answers) or not answer or all(map(is_untold, target.of(answer))):
        return unknown_text(job, answers)
    return ""


def _end(this: Round, targets: Sequence[Target], answers: Answers) -> Iterator[Result]:
    """Have jobs end that are known, and close them."""
    live = [each for each in targets if each.live(answers.of(each.job))]
    failed = asked_to_end(this, live, answers) if live else {}
    for target in live:
        if target.job.key in failed:
            text = f"Job {target.job.label} may run on: {failed[target.job.key]}"
            yield _result(this, "error", text, target, answers)
    targets = [each for each in targets if each.job.key not in failed]
    # Somebody has cancelled them already, and the user wants the same.
    by_name = bool(this.wishes.job_ids)
    ended = [each.ended_units(answers.of(each.job), begun=by_name) for each in targets]
    wish_end(this.store, [unit for units in ended for unit in units], tokens_of(targets))
    wait_for_ends(this, targets, answers)
    yield from _outcomes(this, targets, answers, {each.job.key for each in live})


def _outcomes(
    this: Round, targets: Sequence[Target], answers: Answers, told: set[int]
) -> Iterator[Result]:
    closed: dict[int, Closed] = {}
    try:
        closed = close_ended(this, targets, answers)
    except HpcError as error:
        # They have ended all the same, which the following results tell.
        yield error_result(this.action, this.root, error)
    waiting = _waiting_for(this, targets)
    for target in targets:
        key, answer = target.job.key, answers.of(target.job) or JobStatus(target.job.job_id, ())
        answer = replace(answer, tasks=target.of(answer))
        names = waiting.get(key, ())
        yield result_of(this, Outcome(target, answer, key in told, closed.get(key), names))


def _waiting_for(this: Round, targets: Sequence[Target]) -> dict[int, list[str]]:
    """Names of open jobs that wait for others, also by way of a third, by the others' rows."""
    own = {target.job.key for target in targets}
    # What a job waits for is older, and so comes first.
    later = [job for job in this.store.open_jobs() if job.key not in own and job.depends_on]
    found: dict[int, list[str]] = {}
    for key in own:
        rows = {key}
        for job in later:
            if not rows.isdisjoint(job.depends_on):
                rows.add(job.key)
                found.setdefault(key, []).append(job.label)
    return found


def _result(this: Round, status: str, text: str, target: Target, answers: Answers) -> Result:
    return job_result(this.action, this.root, status, text, target.job, answers.of(target.job))
