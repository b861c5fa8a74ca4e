"""The story of a sweep: as few arrays as the site allows, claimed together, submitted in turn."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from datalad_hpc.errors import HpcError
from datalad_hpc.job import Job, Request
from datalad_hpc.plans.planning import Plan
from datalad_hpc.plans.waiting import SchedulerNamed, planned
from datalad_hpc.results import Result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.schedulers.sbatch import with_dependency
from datalad_hpc.scheduling import (
    ACTION,
    new_job,
    schedule,
    scheduled,
    settle,
)
from datalad_hpc.store import Store
from datalad_hpc.submissions import submission_lock
from datalad_hpc.submitting.auto_finish import check_auto_finish, with_auto_finish
from datalad_hpc.submitting.reserved import let_go, submit_reserved
from datalad_hpc.workplace import Workplace

LARGEST_SCRIPT = 3_500_000
"""Bytes of a batch script; Slurm takes 4 MiB by default (max_script_size in slurm.conf)."""


def schedule_any(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    request: Request,
    *,
    action: str = ACTION,
    batch: str = "",
) -> Iterator[Result]:
    """Submit one job, or the arrays of a sweep; see :func:`.schedule`.

    Yields
    ------
    dict
      A result for each job that the scheduler has got.

    Raises
    ------
    HpcError
      There is no new job, or not all arrays of a sweep were submitted: the error tells which.
    """
    if not request.sweep:
        yield schedule(
            workplace, store, scheduler, scheduler_named, request, action=action, batch=batch
        )
        return
    if not batch:
        settle(workplace, store, scheduler_named)
    check_auto_finish(workplace, request)
    plans = _plans(workplace, store, scheduler, scheduler_named, request)
    with contextlib.ExitStack() as locks:
        held = [locks.enter_context(submission_lock(workplace, plan.token)) for plan in plans]
        new = [replace(new_job(workplace, plan, scheduler), batch=batch) for plan in plans]
        jobs = store.reserve_all(
            new, check=request.check_outputs, reads=[plan.waits.read for plan in plans]
        )
        yield from _submit_all(workplace, store, scheduler, plans, jobs, held, action)


def _plans(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    request: Request,
) -> list[Plan]:
    """The whole, checked; or its pieces, where it is too large for one array."""
    whole = planned(workplace, store, scheduler, scheduler_named, request)
    number = len(request.sweep)
    most = min(number, scheduler.largest_array() or number)
    pieces = max(ceil(number / most), ceil(len(whole.batch.text) / LARGEST_SCRIPT))
    if pieces == 1:
        return [whole]
    size = ceil(number / pieces)
    starts = range(0, number, size)
    parts = (replace(request, sweep=request.sweep[start : start + size]) for start in starts)
    return [planned(workplace, store, scheduler, scheduler_named, part) for part in parts]


def _submit_all(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    plans: Sequence[Plan],
    jobs: Sequence[Job],
    descriptors: Sequence[int],
    action: str,
) -> Iterator[Result]:
    """Submit arrays one after the other; should one be refused, those behind it are let go."""
    submitted: list[str] = []
    with contextlib.ExitStack() as undo:
        waiting = deque(jobs)
        undo.callback(_let_all_go, workplace, store, waiting)
        for plan, job, descriptor in zip(plans, jobs, descriptors, strict=True):
            waiting.popleft()
            if submitted and plan.request.max_concurrent:
                # So many at a time of the whole sweep, not of each array.
                plan = replace(plan, batch=with_dependency(plan.batch, f"afterany:{submitted[-1]}"))
            try:
                submission = submit_reserved(workplace, store, scheduler, plan, job, descriptor)
            except HpcError as error:
                raise _told(error, submitted, len(plans)) from error
            submitted.append(submission.job_id)
            found = scheduled(workplace, plan, job, submission, action)
            yield with_auto_finish(workplace, store, scheduler, plan, found)


def _let_all_go(workplace: Workplace, store: Store, waiting: deque[Job]) -> None:
    while waiting:
        let_go(workplace, store, waiting.popleft())


def _told(error: HpcError, submitted: Sequence[str], number: int) -> HpcError:
    """The error, with what became of the other arrays of the sweep."""
    if number == 1:
        return error
    others = (
        f"its other arrays before it run (jobs {', '.join(submitted)})"
        if submitted
        else "nothing of it was submitted"
    )
    return type(error)(
        f"{str(error).rstrip('.')}. This is array {len(submitted) + 1} of {number} of a sweep; "
        f"{others}, and those behind it were not submitted: their outputs are free"
    )
