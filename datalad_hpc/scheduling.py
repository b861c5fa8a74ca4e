"""The story of ``schedule``: claim, prepare, submit, remember."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial

from datalad_hpc.commit.head import ADJUSTED, checked_out
from datalad_hpc.environment import of_host
from datalad_hpc.errors import (
    BadRequest,
    InputsClaimed,
)
from datalad_hpc.job import Claim, ClaimRole, Job, JobState, Request
from datalad_hpc.plans.containers import container_facts
from datalad_hpc.plans.logs import log_claims, logs_outside
from datalad_hpc.plans.planning import Plan
from datalad_hpc.plans.waiting import SchedulerNamed, looked_at_again, planned
from datalad_hpc.results import Result, job_result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.status import Submission
from datalad_hpc.store import Store
from datalad_hpc.store.rows import now
from datalad_hpc.submissions import settle_submissions, submission_lock
from datalad_hpc.submitting.auto_finish import check_auto_finish, with_auto_finish
from datalad_hpc.submitting.preparation import prepare
from datalad_hpc.submitting.program_submission import adopt_program, submit_by_program
from datalad_hpc.submitting.reserved import let_go, submit_reserved
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.scheduling")

ACTION = "schedule"

ATTEMPTS = 10
"""How often a job is planned while others that make its inputs come and go."""


def schedule(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    request: Request,
    *,
    action: str = ACTION,
    batch: str = "",
) -> Result:
    """Submit one job and remember what it will make.

    Parameters
    ----------
    workplace, store:
      The dataset and its jobs.
    scheduler:
      Where the job goes.
    scheduler_named:
      Schedulers of earlier jobs, whose submission may have been interrupted.
    request:
      What to run.
    action:
      Name of the command, for the results.
    batch:
      See :attr:`.Job.batch`; then interrupted submissions are settled already.

    Returns
    -------
    dict
      The result of the job.

    Raises
    ------
    HpcError
      There is no new job; where it may still be, the error says so.
    """
    attempt = partial(
        _schedule, workplace, store, scheduler, scheduler_named, request, action, batch
    )
    for _number in range(ATTEMPTS - 1):
        with contextlib.suppress(InputsClaimed):
            return attempt()
    return attempt()


def _schedule(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    request: Request,
    action: str,
    batch: str,
) -> Result:
    if not batch:
        settle(workplace, store, scheduler_named)
    check_auto_finish(workplace, request)
    plan = planned(workplace, store, scheduler, scheduler_named, request)
    with submission_lock(workplace, plan.token) as descriptor:
        job = replace(new_job(workplace, plan, scheduler), batch=batch)
        job = store.reserve(job, check=request.check_outputs, read=plan.waits.read)
        if request.submits:
            found = _run_program(workplace, store, scheduler, plan, job, descriptor, action)
        else:
            submission = submit_reserved(workplace, store, scheduler, plan, job, descriptor)
            found = scheduled(workplace, plan, job, submission, action)
    return with_auto_finish(workplace, store, scheduler, plan, found)


def _run_program(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    plan: Plan,
    job: Job,
    descriptor: int,
    action: str,
) -> Result:
    """The same for a submission program, which may make several jobs."""
    with contextlib.ExitStack() as undo:
        undo.callback(let_go, workplace, store, job)
        prepare(workplace, plan, job)
        plan = looked_at_again(store, scheduler, plan)
        return submit_by_program(workplace, store, plan, job, scheduler, descriptor, undo, action)


def settle(workplace: Workplace, store: Store, scheduler_named: SchedulerNamed) -> None:
    """Adopt or release jobs whose submission was interrupted."""

    def logs_of(job: Job, submission: Submission) -> tuple[Claim, ...]:
        """The claims were made with a stand-in for the id: put the id in its place."""
        return tuple(
            replace(claim, path=claim.path.replace(job.token, submission.job_id))
            for claim in job.claims
            if claim.role is ClaimRole.LOG
        )

    def adopt(job: Job) -> bool:
        return adopt_program(workplace, store, scheduler_named(job.scheduler), job)

    settle_submissions(workplace, store, scheduler_named, logs_of, adopt)


def new_job(workplace: Workplace, plan: Plan, scheduler: Scheduler) -> Job:
    """What the store is to keep of a plan.

    Raises
    ------
    BadRequest
      Nothing can be finished on the branch that is checked out.
    """
    ref, head = checked_out(workplace.root)
    if ref.startswith(ADJUSTED):
        raise BadRequest(
            f"the dataset is on git-annex's adjusted branch {ref}, on which no job can be "
            "finished; check out the branch that it was made from (`git checkout`)"
        )
    return Job(
        key=0,
        token=plan.token,
        state=JobState.RESERVED,
        scheduler=scheduler.name,
        cluster="",
        job_id="",
        created=now(),
        submitted=None,
        request=plan.request,
        script=plan.batch.text,
        submit_line=plan.batch.argv,
        tasks=plan.tasks,
        head=head,
        worktree=workplace.worktree,
        commit="",
        ref="",
        depends_on=plan.waits.rows,
        claims=(*plan.outputs, *log_claims(workplace, plan, plan.token)),
        environment={
            **of_host(workplace, plan.request),
            **container_facts(workplace, plan.request),
        },
    )


def scheduled(
    workplace: Workplace, plan: Plan, job: Job, submission: Submission, action: str
) -> Result:
    """The result of a job that was submitted."""
    opened = replace(job, job_id=submission.job_id)
    outside = logs_outside(workplace, plan, submission.job_id)
    note = f"; {', '.join(outside)} is outside of the dataset and not committed" if outside else ""
    return job_result(
        action,
        workplace.root,
        "ok",
        f"job {submission.job_id} on {job.scheduler}: {_what(plan.request)}{note}{plan.waits.told}",
        opened,
        slurm_job_status="SUBMITTED",
    )


def _what(request: Request) -> str:
    number = len(request.sweep)
    of_tasks = f"{number} task{'s' * (number != 1)} of " if number else ""
    return f"{of_tasks}{request.command}"
