"""The story of ``reschedule``: find the records, check them, schedule them again."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from datalad_hpc.claims import shown
from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import BadRequest, HpcError, SubmissionUncertain, SubmissionUntracked
from datalad_hpc.history.choosing import Choice, Selection, chosen
from datalad_hpc.history.records import RecordedCommit, made_by
from datalad_hpc.job import Request
from datalad_hpc.located import is_gits_own
from datalad_hpc.placeholders import is_submission, recordable
from datalad_hpc.plans.changing import Changes, changed, refuse_others
from datalad_hpc.plans.filling import make_temporary
from datalad_hpc.plans.planning import Plan, make_plan
from datalad_hpc.plans.resources import OF_ANYBODY, sound
from datalad_hpc.plans.waiting import SchedulerNamed
from datalad_hpc.record import Record
from datalad_hpc.results import Result, result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.scheduling import schedule
from datalad_hpc.staging.sending import check_alternative
from datalad_hpc.store import Store
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.rescheduling")

ACTION = "reschedule"

Resources = Mapping[str, str]
"""Options of sbatch, as :attr:`.Request.resources`."""


def reschedule(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    selection: Selection,
    changes: Changes,
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
    for choice, asked in _with_resources(store, chosen(workplace, selection)):
        try:
            request = _wanted(workplace, choice, selection, asked, changes)
            yield schedule(workplace, store, scheduler, scheduler_named, request, action=ACTION)
        except HpcError as error:
            yield _not_scheduled(workplace, choice.commit, error)


def report(
    workplace: Workplace, store: Store | None, selection: Selection, changes: Changes
) -> Iterator[Result]:
    """What :func:`reschedule` would submit; nothing is changed."""
    for choice, asked in _with_resources(store, chosen(workplace, selection)):
        try:
            request = _wanted(workplace, choice, selection, asked, changes)
            plan = make_plan(workplace, request)
        except HpcError as error:
            yield _not_scheduled(workplace, choice.commit, error)
            continue
        yield result(
            ACTION,
            workplace.root,
            "ok",
            f"{choice.commit.commit[:10]} would run: {_line(plan)}",
            commit=choice.commit.commit,
            reschedule_action="run",
            command=plan.request.command,
            argv=list(plan.batch.argv),
            command_line=_line(plan),
            folder=plan.folder,
            inputs=list(request.inputs),
            outputs=list(request.declared),
            script=plan.batch.text,
        )


def write_script(
    workplace: Workplace,
    store: Store | None,
    selection: Selection,
    changes: Changes,
    target: str,
) -> Iterator[Result]:
    """Write the commands of records as a shell script; ``-`` is standard output."""
    lines = ["#!/bin/sh", "# Recorded jobs, the oldest first", "set -e"]
    for choice, asked in _with_resources(store, chosen(workplace, selection)):
        try:
            request = _wanted(workplace, choice, selection, asked, changes)
            plan = make_plan(workplace, request)
            make_temporary(plan.request, plan.token)
        except HpcError as error:
            raise BadRequest(
                f"commit {choice.commit.commit[:10]}: {error}; no script was written"
            ) from error
        lines += ["", f"# {choice.commit.commit}", f"cd {shlex.quote(plan.folder)}"]
        lines.append(_submission(plan))
    text = "\n".join(lines) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    path = workplace.here / target
    try:
        path.write_bytes(os.fsencode(text))
        path.chmod(0o755)
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}") from error
    yield result(ACTION, workplace.root, "ok", f"The commands were written to {path}")


def _line(plan: Plan) -> str:
    """What would run, in a line for people."""
    command = plan.request.command
    return shlex.join(plan.batch.argv) if is_submission(command) else command


def _submission(plan: Plan) -> str:
    """A submission for a shell; what sbatch takes for a script that has no file follows it."""
    if plan.request.submits or is_submission(plan.request.command):
        return shlex.join(plan.batch.argv)
    text = plan.batch.text.rstrip("\n")
    end = "END"
    while end in text:
        end += "_"
    before = shlex.join(plan.batch.argv[: plan.batch.script_position])
    return f"{before} <<'{end}'\n{text}\n{end}"


def _with_resources(
    store: Store | None, choices: Sequence[Choice]
) -> Iterator[tuple[Choice, Resources | None]]:
    """Each record with what its job was given, if it was scheduled here; a record tells less."""
    told = {each.commit.commit: each.commit.record for each in choices}
    ids = {commit: record.job_id.partition("_")[0] for commit, record in told.items() if record}
    asked = store.resources_of(ids) if store else {}
    return ((choice, asked.get(choice.commit.commit)) for choice in choices)


def _wanted(
    workplace: Workplace,
    choice: Choice,
    selection: Selection,
    asked: Resources | None,
    changes: Changes,
) -> Request:
    """The request that a record stands for, with what is to be different this time.

    Raises
    ------
    BadRequest
      It cannot be different in this way.
    """
    request = request_of(workplace, choice, selection, asked)
    if not changes:
        return request
    before = make_plan(workplace, request).batch.options
    options = changes.options(before, None)
    request = changed(request, options)
    refuse_others(options, make_plan(workplace, request).batch)
    return request


def request_of(
    workplace: Workplace, choice: Choice, selection: Selection, asked: Resources | None = None
) -> Request:
    """The request that a record stands for.

    Parameters
    ----------
    asked:
      What its job was given, if that is known from elsewhere than the record.

    Raises
    ------
    BadRequest
      It is from another dataset, or names paths that this dataset cannot have.
    HpcError
      The record is broken.
    """
    record = _sound(workplace, choice.commit)
    outputs = record.request.outputs or _made(workplace, choice.commit)
    claims = [workplace.claim(path, base=workplace.root) for path in outputs]
    folder = workplace.relative(record.request.folder or ".", workplace.root)
    if is_gits_own(folder):
        raise BadRequest(
            f"its folder {record.request.folder!r} is Git's own folder, where no job is to run"
        )
    message = record.messages if selection.message is None else selection.message
    recordable("the message", message)
    alternative = selection.alternative
    return replace(
        record.request,
        folder=folder,
        outputs=tuple(shown(claim) for claim in claims),
        message=message,
        chain=(*record.request.chain, choice.commit.commit),
        resources=_of_anybody(choice.commit.commit, record) if asked is None else asked,
        only_tasks=choice.tasks,
        assume_ready=selection.assume_ready,
        alternative=check_alternative(alternative, workplace.root) if alternative else None,
        jobs=selection.jobs,
        auto_finish=selection.auto_finish,
    )


def _of_anybody(commit: str, record: Record) -> Resources:
    """What a job may be given because a record from elsewhere says so.

    Raises
    ------
    BadRequest
      It is not what any job can be given.
    """
    told = sound(record.request.resources, "what its record asks for cannot be had")
    left_out = [name for name in told if name not in OF_ANYBODY]
    if left_out:
        lgr.warning(
            "Commit %s asks for %s. This is taken only from jobs that were scheduled in this "
            "dataset, and is left out; variables such as SBATCH_ACCOUNT set it for sbatch",
            commit[:10],
            ", ".join(f"--{name}" for name in left_out),
        )
    return {name: told[name] for name in told if name in OF_ANYBODY}


def _sound(workplace: Workplace, commit: RecordedCommit) -> Record:
    record = commit.record
    if record is None:
        raise BadRequest(f"its record is broken: {commit.problem}")
    if record.dataset_id and record.dataset_id != workplace.dataset_id:
        raise BadRequest(
            f"it was recorded in another dataset ({record.dataset_id}); reschedule it there"
        )
    if not record.request.declared and not record.is_cores:
        raise BadRequest("its record names no outputs, so there is nothing to reserve")
    return record


def _made(workplace: Workplace, commit: RecordedCommit) -> Sequence[str]:
    """What stands for outputs where core's ``run`` was told of none: all that its commit changed.

    Raises
    ------
    BadRequest
      That is nothing.
    """
    if not (commit.record and commit.record.is_cores):
        return ()
    made = made_by(Repository.find(workplace.root), commit.commit)
    if not made:
        raise BadRequest(
            "its record names no outputs, and the commit has no new or changed files that could "
            "stand for them, so there is nothing to reserve"
        )
    return made


def _not_scheduled(workplace: Workplace, commit: RecordedCommit, error: HpcError) -> Result:
    may_run = isinstance(error, SubmissionUncertain | SubmissionUntracked)
    text = f"Commit {commit.commit[:10]}{'' if may_run else ' was not scheduled'}: {error}"
    return result(ACTION, workplace.root, error.status, text, commit=commit.commit)
