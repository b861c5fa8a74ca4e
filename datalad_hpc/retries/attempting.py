"""One more submission of a failed job: planned, reserved, handed over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from datalad_hpc.attempt import Attempt
from datalad_hpc.errors import BadRequest
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job, JobState, Request
from datalad_hpc.members import as_attempted, is_about
from datalad_hpc.plans.changing import asked_for, changed, refuse_others
from datalad_hpc.plans.logs import log_claims
from datalad_hpc.plans.planning import Plan, make_plan
from datalad_hpc.plans.resources import OF_ANYBODY
from datalad_hpc.plans.waiting import planned
from datalad_hpc.results import Result, job_result
from datalad_hpc.retries.choosing import ACTION, Failed, Wishes, tries
from datalad_hpc.retries.ending import ended
from datalad_hpc.scheduling import new_job
from datalad_hpc.staging.sending import check_alternative
from datalad_hpc.status import Submission, TaskStatus
from datalad_hpc.store.attempts import begin_again
from datalad_hpc.store.rows import now
from datalad_hpc.submissions import submission_lock
from datalad_hpc.submitting.auto_finish import with_auto_finish
from datalad_hpc.submitting.reserved import submit_reserved


@dataclass(frozen=True)
class Asked:
    """What is asked for the next time."""

    request: Request
    """What the job's row is to have from then on."""
    to_run: Request
    """The same for the tasks that are to run, as it is planned."""


def asked(this: Round, found: Failed, wishes: Wishes) -> tuple[Asked, dict[str, str]]:
    """The request for another attempt, and the options that were changed in it.

    Raises
    ------
    BadRequest
      Something cannot be changed as it is wished.
    """
    job = found.job
    before = asked_for(job.submit_line, job.script)
    options = dict(wishes.changes.options(before, found.status.facts))
    request = changed(job.request, options)
    some = found.indices != job.tasks and found.indices
    to_run = replace(
        request,
        only_tasks=found.indices if some else request.only_tasks,
        assume_ready=wishes.assume_ready or request.assume_ready,
        jobs=wishes.jobs,
    )
    if request.alternative:
        check_alternative(request.alternative, this.root)
    return Asked(request, to_run), options


def checked(plan: Plan, found: Failed, options: dict[str, str]) -> Plan:
    """The plan, after a look whether it is for the same tasks and asks for what is wished.

    Raises
    ------
    BadRequest
      It does not: a script may have been edited meanwhile.
    """
    if plan.tasks != (found.indices or None):
        raise BadRequest(
            "its command or script asks for other tasks of an array than before; close the job and "
            "schedule it anew"
        )
    refuse_others(options, plan.batch)
    return plan


def would_run(this: Round, found: Failed, wishes: Wishes) -> tuple[Plan, str]:
    """The plan of another attempt, which nobody submits, and what there is to add in words."""
    wanted, options = asked(this, found, wishes)
    plan = checked(make_plan(this.workplace, wanted.to_run), found, options)
    return plan, wishes.changes.left_alone(options)


def attempt(this: Round, found: Failed, wishes: Wishes) -> Result:
    """Submit a failed job, or its failed tasks, once more.

    Returns
    -------
    dict
      The result of the job.

    Raises
    ------
    HpcError
      It was not submitted, and is as it was; or it may have been, and the error says so.
    """
    job, workplace, store = found.job, this.workplace, this.store
    scheduler = this.scheduler_named(job.scheduler)
    wanted, options = asked(this, found, wishes)
    plan = planned(workplace, store, scheduler, this.scheduler_named, wanted.to_run, job.depends_on)
    plan = checked(plan, found, options)
    # Not before it is certain that it can run again: it would be ended for nothing.
    found = ended(this, found)
    with submission_lock(workplace, plan.token) as descriptor:
        fresh = new_job(workplace, plan, scheduler)
        logs = log_claims(workplace, plan, plan.token)
        again = _again(found, fresh, wanted.request)
        with workplace.save_lock():
            if not begin_again(store, job, again, logs, found.indices):
                return _too_late(this, found)
        here = replace(again, claims=fresh.claims)
        submission = submit_reserved(workplace, store, scheduler, plan, here, descriptor)
    more = wishes.changes.left_alone(options)
    submitted = _submitted(this, found, again, plan, submission, more)
    return with_auto_finish(workplace, store, scheduler, plan, submitted)


def _again(found: Failed, fresh: Job, request: Request) -> Job:
    """The job as it is to be kept: as a new one, but for what it is to the dataset."""
    job = found.job
    some = found.indices if found.indices and found.indices != job.tasks else None
    return replace(
        job,
        state=JobState.RESERVED,
        token=fresh.token,
        cluster="",
        job_id="",
        submitted=None,
        request=request,
        script=fresh.script,
        submit_line=fresh.submit_line,
        head=fresh.head,
        environment=fresh.environment,
        commit="",
        ref="",
        attempts=_attempts(job, found),
        tried=some,
    )


def _attempts(job: Job, found: Failed) -> tuple[Attempt, ...]:
    """All that came before, each with how those of its tasks ended that are to run again."""
    before = asked_for(job.submit_line, job.script)
    newest = Attempt(
        job_id=job.job_id,
        cluster=job.cluster,
        token=job.token,
        submitted=job.submitted or job.created,
        replaced=now(),
        tasks=job.tasks if job.tried is None else job.tried,
        submit_line=job.submit_line,
        script=job.script,
        resources=job.request.resources,
        asked={name: value for name, value in before.items() if name in OF_ANYBODY},
        facts=found.status.facts if is_about(found.status.facts, job.job_id) else {},
        head=job.head,
        environment=job.environment,
    )
    ended: dict[str, list[TaskStatus]] = {}
    for task in found.tasks:
        whose = as_attempted(job, task.index).job_id
        ended.setdefault(whose, []).append(replace(task, job_id="", number=None))
    return tuple(
        replace(each, ended=(*each.ended, *ended.get(each.job_id, ())))
        for each in (*job.attempts, newest)
    )


def _too_late(this: Round, found: Failed) -> Result:
    text = (
        f"Job {found.name} was left as it is: another command has submitted it again, or finished "
        "it, meanwhile"
    )
    return job_result(ACTION, this.root, "notneeded", text, found.job, found.status)


def _submitted(
    this: Round, found: Failed, again: Job, plan: Plan, submission: Submission, more: str
) -> Result:
    opened = replace(again, job_id=submission.job_id)
    number = max(tries(opened, task.index) for task in found.tasks)
    text = (
        f"job {submission.job_id} on {opened.scheduler}: {found.told}{plan.request.command}; "
        f"attempt {number}, after job {found.name} ({found.problem}){plan.waits.told}"
        f"{more}{found.left_out_of(opened)}"
    )
    return job_result(
        ACTION,
        this.root,
        "ok",
        text,
        opened,
        slurm_job_status="SUBMITTED",
        attempt=number,
        command_line=" ".join(plan.batch.argv),
        retried=list(found.indices),
        left_out=list(found.left_out),
    )
