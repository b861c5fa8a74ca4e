"""The story of ``reschedule``: find the records, check them, schedule them again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from datalad_hpc.claims import shown
from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import BadRequest, HpcError, SubmissionUncertain, SubmissionUntracked
from datalad_hpc.history import RecordedCommit, records
from datalad_hpc.job import Request
from datalad_hpc.located import is_gits_own
from datalad_hpc.placeholders import recordable
from datalad_hpc.record import Record
from datalad_hpc.requests import make_plan
from datalad_hpc.results import Result, result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.scheduling import SchedulerNamed, schedule
from datalad_hpc.staging import check_alternative
from datalad_hpc.store import Store
from datalad_hpc.workplace import Workplace

ACTION = "reschedule"


@dataclass(frozen=True)
class Selection:
    """Which records are to run again, and how."""

    revision: str | None = None
    since: str | None = None
    message: str | None = None
    """In the place of the recorded messages."""
    with_failed: bool = False
    assume_ready: str | None = None
    alternative: str | None = None
    jobs: int | None = None


def reschedule(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    selection: Selection,
) -> Iterator[Result]:
    """Submit the jobs of records again.

    Yields
    ------
    dict
      One result per record; a record that cannot run stops none of the others.

    Raises
    ------
    BadRequest
      There is nothing to run.
    """
    for commit in _selected(workplace, selection):
        try:
            request = request_of(workplace, commit, selection)
            yield schedule(workplace, store, scheduler, scheduler_named, request, action=ACTION)
        except HpcError as error:
            yield _not_scheduled(workplace, commit, error)


def report(workplace: Workplace, selection: Selection) -> Iterator[Result]:
    """What :func:`reschedule` would submit; nothing is changed."""
    for commit in _selected(workplace, selection):
        try:
            request = request_of(workplace, commit, selection)
            plan = make_plan(workplace, request)
        except HpcError as error:
            yield _not_scheduled(workplace, commit, error)
            continue
        yield result(
            ACTION,
            workplace.root,
            "ok",
            f"{commit.commit[:10]} would run: {shlex.join(plan.batch.argv)}",
            commit=commit.commit,
            reschedule_action="run",
            command=request.command,
            argv=list(plan.batch.argv),
            command_line=shlex.join(plan.batch.argv),
            folder=plan.folder,
            inputs=list(request.inputs),
            outputs=list(request.outputs),
            script=plan.batch.text,
        )


def write_script(workplace: Workplace, selection: Selection, target: str) -> Iterator[Result]:
    """Write the commands of records as a shell script; ``-`` is standard output."""
    lines = ["#!/bin/sh", "# Recorded jobs, the oldest first", "set -e"]
    for commit in _selected(workplace, selection):
        request = request_of(workplace, commit, selection)
        plan = make_plan(workplace, request)
        lines += ["", f"# {commit.commit}", f"cd {shlex.quote(plan.folder)}"]
        lines.append(shlex.join(plan.batch.argv))
    text = "\n".join(lines) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    path = workplace.here / target
    path.write_text(text)
    path.chmod(0o755)
    yield result(ACTION, workplace.root, "ok", f"The commands were written to {path}")


def request_of(workplace: Workplace, commit: RecordedCommit, selection: Selection) -> Request:
    """The request that a record stands for.

    Raises
    ------
    BadRequest
      It is from another dataset, or names paths that this dataset cannot have.
    HpcError
      The record is broken.
    """
    record = _sound(workplace, commit)
    claims = [workplace.claim(path, base=workplace.root) for path in record.request.outputs]
    folder = workplace.relative(record.request.folder or ".", workplace.root)
    if is_gits_own(folder):
        raise BadRequest(
            f"its folder {record.request.folder!r} is Git's own folder, where no job is to run"
        )
    message = record.messages if selection.message is None else selection.message
    recordable("The message", message)
    alternative = selection.alternative
    return replace(
        record.request,
        folder=folder,
        outputs=tuple(shown(claim) for claim in claims),
        message=message,
        chain=(*record.request.chain, commit.commit),
        assume_ready=selection.assume_ready,
        alternative=check_alternative(alternative, workplace.root) if alternative else None,
        jobs=selection.jobs,
    )


def _sound(workplace: Workplace, commit: RecordedCommit) -> Record:
    record = commit.record
    if record is None:
        raise BadRequest(f"its record is broken: {commit.problem}; nothing was submitted for it")
    if record.dataset_id and record.dataset_id != workplace.dataset_id:
        raise BadRequest(
            f"it was recorded in another dataset ({record.dataset_id}); reschedule it there"
        )
    if not record.request.outputs:
        raise BadRequest("its record names no outputs, so there is nothing to reserve")
    return record


def _selected(workplace: Workplace, selection: Selection) -> Sequence[RecordedCommit]:
    repository = Repository.find(workplace.root)
    if not repository.tip:
        raise BadRequest(f"{workplace.root} has no commits yet, so there is nothing to run again")
    found = list(records(repository, selection.revision, selection.since))
    chosen = [commit for commit in found if selection.with_failed or _succeeded(commit)]
    if not found:
        raise BadRequest(
            f"No record of a job in {_range_text(selection)}; `git log --grep 'DATALAD SLURM RUN'` "
            "shows the commits that have one"
        )
    if not chosen:
        raise BadRequest(
            f"All jobs recorded in {_range_text(selection)} had failed; --with-failed-jobs runs "
            "such jobs again"
        )
    return chosen


def _succeeded(commit: RecordedCommit) -> bool:
    return commit.record is None or commit.record.completed


def _range_text(selection: Selection) -> str:
    revision = selection.revision or "HEAD"
    if selection.since is None:
        return revision
    return f"{selection.since}..{revision}" if selection.since else f"the history of {revision}"


def _not_scheduled(workplace: Workplace, commit: RecordedCommit, error: HpcError) -> Result:
    may_run = isinstance(error, SubmissionUncertain | SubmissionUntracked)
    text = f"Commit {commit.commit[:10]}{'' if may_run else ' was not scheduled'}: {error}"
    return result(ACTION, workplace.root, error.status, text, commit=commit.commit)
