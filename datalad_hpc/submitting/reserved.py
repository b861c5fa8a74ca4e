"""A job whose outputs are claimed is prepared, handed to its scheduler, and remembered."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

from datalad_hpc.errors import HpcError, StoreUnusable, SubmissionUncertain, SubmissionUntracked
from datalad_hpc.interruption import uncut
from datalad_hpc.job import Job, JobState
from datalad_hpc.placeholders import is_submission
from datalad_hpc.plans.logs import log_claims
from datalad_hpc.plans.planning import Plan
from datalad_hpc.plans.waiting import looked_at_again
from datalad_hpc.schedulers.base import Handover, Scheduler
from datalad_hpc.schedulers.dependency import dependency_options
from datalad_hpc.schedulers.sbatch import BatchCommand, comment_with_token, with_script
from datalad_hpc.status import Submission
from datalad_hpc.store import Store
from datalad_hpc.submissions import release, remember, script_path
from datalad_hpc.submitting.preparation import prepare
from datalad_hpc.wording import shortened
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.submitting")


def submit_reserved(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    plan: Plan,
    job: Job,
    descriptor: int,
) -> Submission:
    """Prepare and submit a job whose outputs are claimed.

    Parameters
    ----------
    descriptor:
      That of the job's submission lock, which is held.

    Raises
    ------
    HpcError
      It was not submitted, and its outputs are free again, or it is as before if this was not its
      first submission; or it may have been, and is kept.
    """
    with contextlib.ExitStack() as undo:
        undo.push(lambda _kind, error, _trace: let_go(workplace, store, job, error))
        prepare(workplace, plan, job)
        plan = looked_at_again(store, scheduler, plan)
        with uncut():
            store.move(job, JobState.SUBMITTING)
            submission = _submit(workplace, plan, job, scheduler, descriptor, undo)
            undo.pop_all()
            _remember(workplace, store, plan, job, submission)
    return submission


def _submit(
    workplace: Workplace,
    plan: Plan,
    job: Job,
    scheduler: Scheduler,
    descriptor: int,
    undo: contextlib.ExitStack,
) -> Submission:
    """Hand the job over; where it is not certain that there is none, nothing is undone."""
    options = dependency_options(plan.batch, plan.waits.conditions)
    argv = comment_with_token(_with_file(workplace, plan), plan.token, options)
    try:
        return scheduler.submit(Handover(argv, plan.folder, plan.token, (descriptor,)))
    except SubmissionUncertain as error:
        undo.pop_all()
        raise _kept(job, error) from error


def _with_file(workplace: Workplace, plan: Plan) -> BatchCommand:
    """The submission; a script that was made for the command gets a file until it is over."""
    if is_submission(plan.request.command):
        return plan.batch
    path = script_path(workplace, plan.token)
    path.write_text(plan.batch.text)
    return replace(plan.batch, argv=with_script(plan.batch, str(path)))


def let_go(workplace: Workplace, store: Store, job: Job, why: BaseException | None = None) -> None:
    """Release a job; what kept it from being submitted may stand in the way of that, too."""
    told = f": {shortened(' '.join(str(why).split()))}" if isinstance(why, HpcError) else ""
    try:
        release(workplace, store, job, f"it could not be submitted{told}")
    except HpcError as error:
        if job.attempts:
            lgr.warning(
                "Job %s was not submitted again; the next command has it as before: %s",
                job.attempts[-1].job_id,
                error,
            )
            return
        lgr.warning(
            "The outputs of job %s stay reserved, although it was not submitted; the next command "
            "sets them free: %s",
            job.label,
            error,
        )


def _remember(
    workplace: Workplace, store: Store, plan: Plan, job: Job, submission: Submission
) -> None:
    """Keep the id of a job that the scheduler has."""
    try:
        remember(store, job, submission, log_claims(workplace, plan, submission.job_id))
    except StoreUnusable as error:
        raise SubmissionUntracked(
            f"Job {submission.job_id} was submitted to {job.scheduler}, but its id could not be "
            f"kept. Do not submit it again: it is kept as {job.label} with its outputs reserved, "
            f"and the next command (`datalad finish --list-open-jobs`) finds its id. {error}"
        ) from error


def _kept(job: Job, error: SubmissionUncertain) -> SubmissionUncertain:
    return SubmissionUncertain(
        f"{str(error).rstrip('.')}. The job is kept as {job.label} and its outputs stay reserved: "
        "do not submit it again, `datalad finish --list-open-jobs` looks for it"
    )
