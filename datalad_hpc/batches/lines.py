"""The story of many jobs at once: one for each line of a batch, going on where a call ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

from datalad_hpc.batches.recalling import Recalling
from datalad_hpc.batches.turns import Batch, Line, Turn, taking_turn
from datalad_hpc.dry_run import dry_run
from datalad_hpc.errors import (
    BadRequest,
    HpcError,
    StoreUnusable,
    SubmissionRefused,
    SubmissionUntracked,
)
from datalad_hpc.job import Job, JobState, Request
from datalad_hpc.plans.waiting import SchedulerNamed
from datalad_hpc.progress import showing
from datalad_hpc.results import Result, error_result, file_system_says, job_result, result
from datalad_hpc.scheduling import ACTION, settle
from datalad_hpc.store import Store
from datalad_hpc.store.batches import is_whole, jobs_of_batch, line_mark
from datalad_hpc.sweeping import schedule_any
from datalad_hpc.wording import ranges, some_of
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.batches")

IN_A_ROW = 3
"""After so many lines in a row that the scheduler would not have, it is not asked any more."""

UNSETTLED = (JobState.RESERVED, JobState.SUBMITTING)


Understood = Callable[[Line], tuple[Request, str]]
"""Gives what a line asks for, and the name of the scheduler that it is for."""


def schedule_batch(
    workplace: Workplace,
    store: Store,
    scheduler_named: SchedulerNamed,
    batch: Batch,
    understood: Understood,
) -> Iterator[Result]:
    """Submit a job for each line that has none yet.

    Parameters
    ----------
    workplace, store, scheduler_named:
      As for one job.
    batch:
      What to run.
    understood:
      Works out what a line asks for.

    Yields
    ------
    dict
      One result per line, and one at the end if lines are left.

    Raises
    ------
    BadRequest
      A line asks for what cannot be, or another process is at work on the same batch;
      nothing was submitted.
    StoreUnusable, SubmissionUntracked
      It could not go on.
    """
    settle(workplace, store, scheduler_named)
    with taking_turn(workplace, store, batch) as turn:
        have = jobs_of_batch(store, turn.name, above=turn.since)
        turn.has_jobs = bool(have)
        _tell(batch, len(have))
        new = [line for line in batch.lines if not is_whole(have.get(line.number, []))]
        wanted = _wanted(new, understood, batch.name)
        for name in {name for _, name in wanted.values()}:
            scheduler_named(name)
        asked = cache(lambda name: Recalling(scheduler_named(name), store.open_jobs))
        with showing("Scheduling jobs", " Jobs", len(batch.lines)) as step:
            for line in batch.lines:
                of_line = have.get(line.number, [])
                if line.number in wanted and not _is_in_doubt(of_line):
                    request, name = wanted[line.number]
                    submit = partial(schedule_any, workplace, store, scheduler_named(name), asked)
                    yield from _tried(workplace, turn, line, request, of_line, submit)
                else:
                    yield _passed_over(workplace, turn, line, of_line)
                step()
                if turn.refused >= IN_A_ROW:
                    break
        if turn.left:
            yield _left_over(workplace, turn)


def _tell(batch: Batch, number: int) -> None:
    if number:
        # DataLad does not show what was not needed.
        lgr.info(
            "%d of %d lines of %s were submitted before, and are passed over",
            *(number, len(batch.lines), batch.name),
        )


def dry_run_batch(workplace: Workplace, batch: Batch, understood: Understood) -> Iterator[Result]:
    """What each line would submit; changes nothing."""
    for number, (request, _) in _wanted(batch.lines, understood, batch.name).items():
        try:
            found = dry_run(workplace, request, action=ACTION)
        except BadRequest as error:
            found = error_result(
                ACTION, workplace.root, BadRequest(f"line {number} of {batch.name}: {error}")
            )
        found["batch_line"] = number
        yield found


def _wanted(
    lines: Iterable[Line], understood: Understood, name: str
) -> dict[int, tuple[Request, str]]:
    """What lines ask for, by their numbers.

    Raises
    ------
    BadRequest
      Naming all lines that ask for what cannot be.
    """
    found, complaints = {}, []
    for line in lines:
        try:
            found[line.number] = understood(line)
        except BadRequest as error:
            complaints.append(f"line {line.number}: {error}")
    if complaints:
        raise BadRequest(f"{name} cannot be used: {some_of(complaints, '; ')}")
    return found


def _rest(request: Request, of_line: Sequence[Job]) -> Request:
    """What is still to be submitted of a sweep of which some arrays were."""
    have = {frozenset(part.values.items()) for job in of_line for part in job.parts}
    rest = (values for values in request.sweep if frozenset(values.items()) not in have)
    return replace(request, sweep=tuple(rest)) if have else request


def _is_in_doubt(of_line: Sequence[Job]) -> bool:
    return any(job.state in UNSETTLED for job in of_line)


def _tried(
    workplace: Workplace,
    turn: Turn,
    line: Line,
    request: Request,
    of_line: Sequence[Job],
    submit: Callable[..., Iterator[Result]],
) -> Iterator[Result]:
    """Submit what a line asks for; an error is that line's alone, unless the store fails."""
    had_jobs, turn.has_jobs = turn.has_jobs, True
    mark = line_mark(turn.name, line.number, len(request.sweep))
    try:
        for found in submit(_rest(request, of_line), batch=mark):
            had_jobs, turn.refused = True, 0
            found["batch_line"] = line.number
            yield found
    except (StoreUnusable, SubmissionUntracked):
        raise
    except (HpcError, OSError) as error:
        if isinstance(error, BadRequest):
            turn.has_jobs = had_jobs
        if not isinstance(error, BadRequest) or isinstance(error, SubmissionRefused):
            turn.refused += 1
        yield _failed(workplace, turn, line, error)
    else:
        turn.left.remove(line.number)


def _failed(workplace: Workplace, turn: Turn, line: Line, error: HpcError | OSError) -> Result:
    said = file_system_says(error) if isinstance(error, OSError) else str(error)
    text = (
        f"Line {line.number} of {turn.batch.name}: {said.rstrip('.')}; when that is over or put "
        "right, the same command tries this line again"
    )
    status = getattr(error, "status", "error")
    return result(ACTION, workplace.root, status, text, batch_line=line.number)


def _passed_over(workplace: Workplace, turn: Turn, line: Line, of_line: Sequence[Job]) -> Result:
    """A line has been dealt with by an earlier call."""
    place = f"Line {line.number} of {turn.batch.name}"
    job = next((job for job in of_line if job.state in UNSETTLED), of_line[0])
    if job.state in UNSETTLED:
        status = "impossible"
        text = (
            f"{place} was interrupted, and it cannot be told yet whether {job.scheduler} has its "
            f"job, which is kept as {job.label}; `datalad finish --list-open-jobs` looks for it"
        )
    else:
        turn.left.remove(line.number)
        labels = some_of([job.label for job in of_line])
        status, text = "notneeded", f"{place} was submitted before, as job {labels}"
    return job_result(ACTION, workplace.root, status, text, job, batch_line=line.number)


def _left_over(workplace: Workplace, turn: Turn) -> Result:
    total, left = len(turn.batch.lines), turn.left
    stopped = turn.refused >= IN_A_ROW
    text = (
        f"The scheduler was not asked any more after it had refused {IN_A_ROW} jobs in a row. "
        * stopped
        + f"{total - len(left):,} of {total:,} lines of {turn.batch.name} are submitted, not line "
        f"{some_of(ranges(left).split(','))}. The same command goes on with what is left"
    )
    if turn.has_jobs:
        text += f"; remove {turn.path} to have it begin anew"
    return result(ACTION, workplace.root, "impossible", text)
