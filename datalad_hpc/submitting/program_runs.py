"""A submission program is run, here and now, and all jobs that it submits are found.

Its sbatch is ours (:mod:`.noting_sbatch`). It may be killed at any point, and so may we: what it
has submitted by then is in its notes, and it goes on to note there when we are gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from datalad_hpc import process
from datalad_hpc.errors import BadRequest, ProcessFailed, SchedulerUnreachable, SubmissionRefused
from datalad_hpc.facts import facts_path
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job
from datalad_hpc.member import Member
from datalad_hpc.plans.logs import log_claims, logs_outside
from datalad_hpc.plans.planning import Plan
from datalad_hpc.schedulers.attempts import Attempt, Notes
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.schedulers.sbatch import tasks_of
from datalad_hpc.schedulers.slurm_submit import every_submission_in, submission_environment
from datalad_hpc.status import JobKey, JobStatus
from datalad_hpc.store import Store
from datalad_hpc.store.members import opened_all
from datalad_hpc.store.rows import now
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.programs")

TICK = 0.05
"""Seconds between two looks at a program."""

CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True)
class Made:
    """What a program has submitted."""

    members: tuple[Member, ...]
    attempts: tuple[Attempt, ...] = ()
    """The calls of sbatch that came to something; members that it only named have none."""
    refused: int = 0
    """How many came to nothing."""


def run(plan: Plan, notes: Notes, descriptor: int, stop: Callable[[], int]) -> int:
    """Run the program to its end, and show what it prints on our standard error.

    Parameters
    ----------
    descriptor:
      Stays open in the program and what it starts.
    stop:
      Tells whether it is to be ended early.

    Returns
    -------
    int
      Its exit code; that of a signal is negative.

    Raises
    ------
    SubmissionRefused
      It could not be started.
    """
    environment = submission_environment(os.environ)
    environment["PATH"] = os.pathsep.join([str(notes.bin), os.environ.get("PATH", os.defpath)])
    # Not a pipe: that would end the program if we are killed.
    with notes.output.open("wb") as output, notes.output.open("rb") as printed:
        try:
            running = process.detach(
                plan.batch.argv,
                folder=plan.folder,
                environment=environment,
                output=output,
                errors=2,
                inherit=(descriptor,),
            )
        except (ProcessFailed, OSError) as error:
            raise SubmissionRefused(
                f"{plan.batch.argv[0]} could not be started: {error}"
            ) from error
        ends = [(0.0, signal.SIGTERM), (process.GRACE, signal.SIGKILL)]
        asked = 0.0
        while running.poll() is None:
            if stop():
                asked = asked or time.monotonic()
                if ends and time.monotonic() >= asked + ends[0][0]:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(running.pid, ends.pop(0)[1])
            _show(printed.read())
            time.sleep(TICK)
        _show(printed.read())
    return running.returncode


def _show(text: bytes) -> None:
    with contextlib.suppress(OSError):
        while text:
            text = text[os.write(2, text) :]


def made_by(notes: Notes, scheduler: Scheduler, job: Job, *, wait: bool) -> Made | None:
    """What a program that has ended, or was killed, has submitted.

    Parameters
    ----------
    wait:
      Whether to wait for an sbatch of it that still goes on; else the answer is None.

    Raises
    ------
    SchedulerUnreachable
      It cannot be told yet.
    """
    try:
        notes.close()
        attempts = notes.attempts(wait=wait)
        output = notes.output.read_bytes() if notes.output.exists() else b""
    except (OSError, ValueError) as error:
        raise SchedulerUnreachable(f"what it submitted cannot be read: {error}") from error
    if attempts is None:
        return None
    settled = [_settled(attempt, scheduler, job) for attempt in attempts]
    found = tuple(attempt for attempt in settled if attempt.submission)
    known = tuple(map(_member, found))
    named = _named(os.fsdecode(output), {each.job_id for each in known}, scheduler, job)
    return Made((*known, *named), found, len(settled) - len(found))


def _settled(attempt: Attempt, scheduler: Scheduler, job: Job) -> Attempt:
    """The call of sbatch, with the job that came of it if nobody lived to note it."""
    if attempt.submission or attempt.refused:
        return attempt
    return replace(attempt, submission=scheduler.find(attempt.token, job.created))


def _member(attempt: Attempt) -> Member:
    assert attempt.submission
    return Member(
        attempt.submission.job_id,
        attempt.submission.cluster,
        attempt.token,
        tasks_of(attempt.batch),
        attempt.batch.argv,
        attempt.batch.text,
    )


def _named(output: str, known: set[str], scheduler: Scheduler, job: Job) -> list[Member]:
    """Jobs that the program has named, and not submitted through our sbatch."""
    named = [told for told in every_submission_in(output) if told.job_id not in known]
    if not named:
        return []
    keys = [JobKey(told.job_id, told.cluster, "", now()) for told in named]
    answer = scheduler.status(keys, facts=True)
    silent = [told.job_id for told in named if answer.get(told.job_id, "") is None]
    if silent:
        raise SchedulerUnreachable(f"{scheduler.name} gave no answer about {some_of(silent)}")
    taken = [told for told in named if _is_of(answer.get(told.job_id), job)]
    if others := [told.job_id for told in named if told not in taken]:
        lgr.warning(
            "Not tracked: %s, which the submission program has printed; %s has no such job of "
            "yours that was submitted by it",
            some_of(others),
            scheduler.name,
        )
    return [Member(told.job_id, told.cluster) for told in taken]


def _is_of(status: JobStatus | None, job: Job) -> bool:
    """Whether a job is the user's, and as young as the program."""
    if status is None:
        return False
    own = pwd.getpwuid(os.getuid()).pw_name
    submitted = str(status.facts.get("submitted") or "")
    return (
        status.identity.get("user", own) == own
        and submitted != ""
        and datetime.fromisoformat(submitted) >= job.created - CLOCKS_DIFFER
    )


def keep(workplace: Workplace, store: Store, job: Job, made: Made) -> tuple[Job, list[str]]:
    """Remember the jobs of a program, and claim their logs.

    Returns
    -------
    tuple
      The job with its members, and what there is to say of them.

    Raises
    ------
    StoreUnusable
      They could not be kept.
    """
    first = made.members[0]
    job = replace(job, members=made.members, job_id=first.job_id, cluster=first.cluster)
    logs, outside = _logs_of(workplace, job, made.attempts)
    taken = opened_all(store, job, logs)
    said = [f"{', '.join(outside)} is outside of the dataset and not committed"] * bool(outside)
    if taken:
        paths = some_of([claim.path for claim in taken])
        said.append(f"{paths} is reserved by another open job and committed with that one")
    if unseen := [each.job_id for each in made.members if not each.token]:
        said.append(
            f"{some_of(unseen)} did not come from the sbatch on PATH, so that the logs of it are "
            "not known: `datalad finish -o PATH` commits them as well"
        )
    if made.refused:
        said.append(f"calls of sbatch that came to nothing: {made.refused}")
    return job, said


def _logs_of(
    workplace: Workplace, job: Job, attempts: Sequence[Attempt]
) -> tuple[list[Claim], list[str]]:
    """Claims of all logs, and of one file for the facts of all; and logs outside of the dataset."""
    claims: dict[Claim, None] = {}
    outside: dict[str, None] = {}
    base = str(workplace.root_of(job.worktree))
    for attempt in attempts:
        assert attempt.submission
        job_id = attempt.submission.job_id
        plan = Plan(job.request, attempt.token, attempt.batch, attempt.folder, (), (), base)
        try:
            *logs, _facts = log_claims(workplace, plan, job_id)
            outside |= dict.fromkeys(logs_outside(workplace, plan, job_id))
        except BadRequest as error:
            outside[str(error)] = None
            continue
        claims |= dict.fromkeys(logs)
    facts = facts_path(job.request.folder, [*claims], job.job_id)
    return [*claims, Claim(facts, ClaimKind.FILE, ClaimRole.LOG)], [*outside]
