"""The part of the story of ``schedule`` that is told of submission programs."""

from __future__ import annotations

import contextlib

from datalad_hpc.errors import (
    SchedulerUnreachable,
    StoreUnusable,
    SubmissionRefused,
    SubmissionUncertain,
    SubmissionUntracked,
)
from datalad_hpc.interruption import Interruption, uncut
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_ids
from datalad_hpc.plans.planning import Plan
from datalad_hpc.results import Result, job_result, visible_line
from datalad_hpc.schedulers.attempts import Notes, Settings
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.schedulers.noting_sbatch import write_stand_in
from datalad_hpc.store import Store
from datalad_hpc.submissions import forget_notes, notes_path, tell_adopted
from datalad_hpc.submitting.program_runs import Made, keep, made_by, run
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

CONFIGURATION = (
    "datalad.hpc.scheduler-timeout",
    "datalad.hpc.local.spool",
    "datalad.hpc.local.slots",
)
"""Settings that a scheduler may need to submit."""

STOPPING = "The submission program is asked to end; what it has submitted by then is tracked"


def submit_by_program(
    workplace: Workplace,
    store: Store,
    plan: Plan,
    job: Job,
    scheduler: Scheduler,
    descriptor: int,
    undo: contextlib.ExitStack,
    action: str,
) -> Result:
    """Run the program of a job that is reserved, and track all that it submits.

    Parameters
    ----------
    descriptor:
      Holds the lock of the submission, which the program inherits.
    undo:
      Lets the job go; emptied unless it is certain that there is none.

    Raises
    ------
    SubmissionRefused
      It submitted nothing.
    SubmissionUncertain
      It cannot be told yet what it submitted.
    SubmissionUntracked
      It cannot be kept.
    """
    notes = Notes(notes_path(workplace, plan.token))
    undo.callback(forget_notes, workplace, plan.token)
    configuration = {name: workplace.setting(name) for name in CONFIGURATION}
    notes.create(Settings(plan.token, scheduler.name, configuration, plan.waits.conditions))
    write_stand_in(notes)
    with uncut(STOPPING) as stop:
        store.move(job, JobState.SUBMITTING)
        code = run(plan, notes, descriptor, stop)
        letting_go = undo.pop_all()
        made = _made(notes, scheduler, job, plan)
        if not made.members:
            letting_go.close()
            if stop():
                raise Interruption(stop())
            raise SubmissionRefused(_nothing_text(plan, code, made))
        try:
            job, said = keep(workplace, store, job, made)
        except StoreUnusable as error:
            raise SubmissionUntracked(
                f"{_ids(made)} on {job.scheduler} were submitted, but their ids could not be kept. "
                f"Do not submit them again: they are kept as {job.label} with the outputs "
                "reserved, and the next command (`datalad finish --list-open-jobs`) tracks them. "
                f"{error}"
            ) from error
        forget_notes(workplace, plan.token)
    text = "; ".join([_text(plan, job, code), *said])
    # After a signal another result says how the command ended.
    status = "error" if code and not stop() else "ok"
    return job_result(action, workplace.root, status, text, job, slurm_job_status="SUBMITTED")


def _made(notes: Notes, scheduler: Scheduler, job: Job, plan: Plan) -> Made:
    try:
        made = made_by(notes, scheduler, job, wait=True)
    except SchedulerUnreachable as error:
        raise SubmissionUncertain(
            f"{plan.batch.argv[0]} has ended, but it cannot be told yet which jobs it has "
            f"submitted: {str(error).rstrip('.')}. They are kept as {job.label} and the outputs "
            "stay reserved: do not submit them again, `datalad finish --list-open-jobs` looks for "
            "them"
        ) from error
    assert made
    return made


def _ids(made: Made) -> str:
    ids = [member.job_id for member in made.members]
    return f"job{'s' * (len(ids) > 1)} {some_of(ids)}"


def _nothing_text(plan: Plan, code: int, made: Made) -> str:
    program = plan.batch.argv[0]
    what = f"{program} {_end(code)} before it had submitted a job"
    if not code:
        what = f"{program} has ended well, but submitted no job that could be tracked"
    calls = f" (calls of sbatch that came to nothing: {made.refused})" if made.refused else ""
    return f"{what}{calls}; what it printed says more"


def _end(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"failed (exit code {code})"


def _text(plan: Plan, job: Job, code: int) -> str:
    ids = list(all_ids(job))
    jobs = f"job{'s' * (len(ids) > 1)} {some_of(ids)} on {job.scheduler}"
    if not code:
        return f"{jobs}: {visible_line(plan.request.command)}{plan.waits.told}"
    cancel = f" (`scancel {' '.join(ids)}`)" if job.scheduler == "slurm" else ""
    return (
        f"{plan.batch.argv[0]} {_end(code)} after it had submitted {jobs}, which are tracked "
        f"together as job {job.label}. If that is all, go on as always (`datalad finish "
        f"{job.label}`); else cancel what is there{cancel}, give it up (`datalad finish "
        f"--close-failed-jobs {job.label}`), and schedule again"
    )


def adopt_program(workplace: Workplace, store: Store, scheduler: Scheduler, job: Job) -> bool:
    """Track what a program has submitted that nobody waits for any more.

    Returns
    -------
    bool
      Whether there is something to track, or it is still at work.

    Raises
    ------
    SchedulerUnreachable
      It cannot be told yet.
    """
    made = made_by(Notes(notes_path(workplace, job.token)), scheduler, job, wait=False)
    if made is None:
        return True
    if made.members:
        _job, said = keep(workplace, store, job, made)
        tell_adopted(job, "; ".join([_ids(made).partition(" ")[2], *said]))
    forget_notes(workplace, job.token)
    return bool(made.members)
