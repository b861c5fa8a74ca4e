"""The story of ``reschedule --failed``: find what failed, and submit it again as the same job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from datalad_hpc.cancel.targets import Target, chosen
from datalad_hpc.errors import HpcError, SubmissionUncertain, SubmissionUntracked
from datalad_hpc.finish.catching_up import complete_interrupted
from datalad_hpc.finish.chain_order import awaited, give_reasons
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job
from datalad_hpc.plans.planning import Plan
from datalad_hpc.polling import Answers, ask
from datalad_hpc.results import Result, error_result, job_result, result
from datalad_hpc.retries.attempting import attempt, would_run
from datalad_hpc.retries.choosing import ACTION, Failed, Wishes, failed
from datalad_hpc.retries.recent import Recent
from datalad_hpc.scheduling import settle


def retry(this: Round, wishes: Wishes) -> Iterator[Result]:
    """Submit failed open jobs again.

    Yields
    ------
    dict
      One result per job that was submitted again or cannot be, or that was named.

    Raises
    ------
    HpcError
      It could not begin; all jobs without a result are as before.
    """
    settle(this.workplace, this.store, this.scheduler_named)
    with this.workplace.save_lock():
        targets, others = chosen(this)
        jobs, completed = complete_interrupted(this, [target.job for target in targets])
    yield from _as_ours([*others, *completed])
    yield from _each(this, _of_tasks(wishes, targets), jobs)


def report(this: Round, wishes: Wishes) -> Iterator[Result]:
    """What :func:`retry` would submit; nothing is changed."""
    targets, others = chosen(this)
    yield from _as_ours(others)
    jobs = [target.job for target in targets]
    yield from _each(this, _of_tasks(wishes, targets), jobs, dry=True)


def _of_tasks(wishes: Wishes, targets: Sequence[Target]) -> Wishes:
    """The wishes with the tasks that were named."""
    named = {target.job.key: target.tasks for target in targets if target.tasks is not None}
    return replace(wishes, tasks=named)


def _each(
    this: Round, wishes: Wishes, jobs: Sequence[Job], *, dry: bool = False
) -> Iterator[Result]:
    earlier = awaited(this, jobs)

    def asked() -> Answers:
        answers = ask([*jobs, *earlier], this.scheduler_named, facts=True)
        give_reasons(jobs, earlier, answers)
        return answers

    recent = Recent(asked)
    some = bool(recent().failures) or not jobs
    yield from (error_result(ACTION, this.root, error) for error in recent.failures())
    for found in failed(this, jobs, recent, wishes):
        some = True
        yield _outcome(this, found, wishes, dry) if isinstance(found, Failed) else found
    yield from (error_result(ACTION, this.root, error) for error in recent.failures())
    if not some:
        yield result(ACTION, this.root, "notneeded", "No open job has failed")


def _outcome(this: Round, found: Failed, wishes: Wishes, dry: bool) -> Result:
    try:
        if dry:
            return _report(this, found, *would_run(this, found, wishes))
        return attempt(this, found, wishes)
    except HpcError as error:
        may_run = isinstance(error, SubmissionUncertain | SubmissionUntracked)
        not_so = "" if may_run else " was not submitted again and stays open as it was"
        text = f"Job {found.name}{not_so}: {error}"
        return job_result(ACTION, this.root, error.status, text, found.job, found.status)


def _report(this: Round, found: Failed, plan: Plan, more: str) -> Result:
    line = " ".join(plan.batch.argv)
    more += found.left_out_of(found.job)
    text = f"Job {found.name} ({found.problem}) would run again: {line}{more}"
    return job_result(
        ACTION,
        this.root,
        "ok",
        text,
        found.job,
        found.status,
        reschedule_action="run",
        left_out=list(found.left_out),
        remarks=more.removeprefix("; "),
        command=plan.request.command,
        argv=list(plan.batch.argv),
        command_line=line,
        folder=plan.folder,
        inputs=list(plan.request.inputs),
        script=plan.batch.text,
    )


def _as_ours(results: Sequence[Result]) -> Iterator[Result]:
    """What ``finish`` says of jobs that are not meant, or are over."""
    for each in results:
        each["action"] = ACTION
        yield each
