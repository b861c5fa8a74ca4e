"""Submissions that were interrupted: adopt the job, or let its claims go.

Whoever submits holds a lock on a file of the job's own, and hands it on to the
submitting program. The kernel frees it when the last of the two is gone, so a
lock that can be had means that nobody is at work any more, on any machine
that shares the file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.job import Claim, Job, JobState
from datalad_hpc.results import visible_line
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.status import Submission
from datalad_hpc.store import Store
from datalad_hpc.store.attempts import open_again, put_back
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.submissions")


PATIENCE = 30.0
"""Seconds to wait for others who submit a job that makes an input."""

STEP = 0.1

_LOCKS = ("submission-", ".lock")
"""Beginning and end of the locks' names, with a token in between."""


def _lock_path(workplace: Workplace, token: str) -> Path:
    return workplace.local_state / token.join(_LOCKS)


def script_path(workplace: Workplace, token: str) -> Path:
    """Where the script that is made for a command lies while it is submitted."""
    return _lock_path(workplace, token).with_suffix(".sh")


def notes_path(workplace: Workplace, token: str) -> Path:
    """Where a submission program's calls of sbatch are noted until its jobs are kept."""
    return _lock_path(workplace, token).with_suffix(".jobs")


def forget_notes(workplace: Workplace, token: str) -> None:
    """Remove them; the next command does so where that cannot be."""
    shutil.rmtree(notes_path(workplace, token), ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a lock, and first the script beside it: who finds a lock looks for both."""
    path.with_suffix(".sh").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def submission_lock(workplace: Workplace, token: str) -> Iterator[int]:
    """Say that somebody is at work on a submission; gives the descriptor to hand on."""
    path = _lock_path(workplace, token)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _made_and_locked(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            # It harms nobody: what becomes of the submission is more important.
            _remove(path)


def _made_and_locked(path: Path) -> int:
    """A lock of our own, made again where somebody took it for left behind before we had it."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_still(descriptor, path):
            return descriptor
        os.close(descriptor)


def is_still(descriptor: int, path: Path) -> bool:
    """Whether a path still is the file that was opened there."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


@contextlib.contextmanager
def _taken_over(path: Path) -> Iterator[bool]:
    """Whether nobody is at work on a submission; then nobody else is during the context.

    The lock goes at its end, as nobody needs it any more.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        # Not if another process was faster, has done it all and removed the lock.
        mine = is_still(descriptor, path)
        yield mine
        if mine:
            _remove(path)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def left_behind(workplace: Workplace, store: Store, job: Job) -> Iterator[bool]:
    """Whether all who were at work on a submission are gone, and have left it as it was read.

    If so, nobody else is during the context.
    """
    with _taken_over(_lock_path(workplace, job.token)) as free:
        # Who was at work when we asked may have come to the end meanwhile, and let the lock go.
        yield free and store.state_of(job) is job.state


def settled(workplace: Workplace, find: Callable[[], list[Job]]) -> list[Job]:
    """What ``find`` gives once nobody is at work on submitting one of these jobs.

    Who is at work for longer, since inputs are retrieved, is not waited for.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        jobs = find()
        if not any(_is_under_way(workplace, job) for job in jobs) or time.monotonic() > give_up:
            return jobs
        time.sleep(STEP)


def _is_under_way(workplace: Workplace, job: Job) -> bool:
    if job.state is JobState.OPEN:
        return False
    with contextlib.suppress(FileNotFoundError), _lock_path(workplace, job.token).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remove_locks_left(workplace: Workplace, unsettled: Container[str]) -> None:
    """Remove what processes have left that were killed before their job was kept, or at the end."""
    first, _ = _LOCKS
    left = workplace.local_state.glob(f"{first}*.*")
    for token in {path.name[len(first) :].partition(".")[0] for path in left}:
        if token not in unsettled:
            with _taken_over(_lock_path(workplace, token)) as mine:
                if mine:
                    forget_notes(workplace, token)


def settle_submissions(
    workplace: Workplace,
    store: Store,
    scheduler_named: Callable[[str], Scheduler],
    log_claims: Callable[[Job, Submission], tuple[Claim, ...]],
    adopt_program: Callable[[Job], bool],
) -> None:
    """Find out what became of submissions whose process is gone.

    Parameters
    ----------
    scheduler_named:
      Gives a scheduler by its name.
    log_claims:
      Tells the claims of an adopted job's logs.
    adopt_program:
      Tracks what a submission program has submitted; False where that certainly is nothing.
    """

    def adopt_job(job: Job) -> bool:
        since = job.attempts[-1].replaced if job.attempts else job.created
        found = scheduler_named(job.scheduler).find(job.token, since)
        if found:
            remember(store, job, found, log_claims(job, found))
            tell_adopted(job, found.job_id)
        return found is not None

    unsettled = store.unsettled_jobs()
    _remove_locks_left(workplace, [job.token for job in unsettled])
    for job in unsettled:
        with left_behind(workplace, store, job) as is_ours:
            if is_ours:
                adopt = adopt_program if job.request.submits else adopt_job
                _settle(workplace, store, adopt, job)


def _settle(workplace: Workplace, store: Store, adopt: Callable[[Job], bool], job: Job) -> None:
    """Find out what became of one submission, the lock of which is ours."""
    if job.state is JobState.RESERVED:
        release(workplace, store, job, "it was interrupted before that")
        _tell_free(job, "was interrupted before it was submitted")
        return
    try:
        if adopt(job):
            return
    except SchedulerUnreachable as error:
        lgr.warning(
            "It cannot be told yet whether %s has job %s: %s. Its outputs stay reserved, and the "
            "next command looks again; if you know that there is no such job, give it up "
            "(`datalad finish --close-failed-jobs %s`)",
            job.scheduler,
            job.label,
            str(error).rstrip("."),
            job.label,
        )
        return
    release(workplace, store, job, "the scheduler never accepted it")
    _tell_free(job, f"was never accepted by {job.scheduler}")


def tell_adopted(job: Job, name: str) -> None:
    """Say that a job is tracked after all."""
    lgr.info(
        "Job %s had been submitted after all and is tracked again (it was kept as %s)",
        name,
        job.label,
    )
    if job.request.auto_finish:
        lgr.warning(
            "Its automatic finish was not submitted: run `datalad finish %s` when it is over",
            name.partition(";")[0],
        )


def _tell_free(job: Job, what: str) -> None:
    command = visible_line(job.request.command)
    if job.attempts:
        lgr.info(
            "Job %s (%s) was to be submitted again, which %s; it is open as before",
            job.attempts[-1].job_id,
            command,
            what,
        )
        return
    lgr.info("Job %s (%s) %s; its outputs are free again", job.label, command, what)


def remember(store: Store, job: Job, submission: Submission, logs: tuple[Claim, ...]) -> None:
    """The scheduler has a job: keep its id, and claim its logs by their true names."""
    if job.attempts:
        open_again(store, job, submission, logs)
    else:
        store.opened(job, submission, logs)


def release(workplace: Workplace, store: Store, job: Job, note: str) -> None:
    """Let the claims of a job go that was never submitted, its outputs being as before.

    One that was submitted before is put back, and keeps its claims and what it has left.
    """
    if job.attempts:
        _put_back(workplace, store, job)
        return
    if not job.request.alternative and job.worktree == workplace.worktree:
        # Rarely needed, and the better part of all that writes Git.
        from datalad_hpc.commit.restoring import restore

        restore(workplace.root, job.claims, job.token)
    store.move(job, JobState.REFUSED, note=note)


def _put_back(workplace: Workplace, store: Store, job: Job) -> None:
    if not job.request.alternative and job.worktree == workplace.worktree:
        from datalad_hpc.commit.restoring import remove_half_copies

        remove_half_copies(workplace.root, job.claims, job.token)
    put_back(store, job)
