"""From a request to a plan of one submission; nothing is changed."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datalad_hpc.chains.dependencies import NOTHING, Waits
from datalad_hpc.claims import ClaimedPaths, shown
from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Claim, Request
from datalad_hpc.placeholders import expand_paths, fill_command, fill_shell_text, is_submission
from datalad_hpc.plans.filling import fixed_values, made_into_script, values_of_paths
from datalad_hpc.plans.limiting import limited, refuse_other_tasks
from datalad_hpc.plans.programs import program_command, refuse_unsuited
from datalad_hpc.plans.resources import as_arguments
from datalad_hpc.plans.sweeps import plan_sweep
from datalad_hpc.schedulers.logs import log_files
from datalad_hpc.schedulers.sbatch import (
    BatchCommand,
    read_batch_command,
    tasks_of,
    with_options,
    with_script,
    work_folder,
)
from datalad_hpc.templates import glob_of, path_of
from datalad_hpc.workplace import Workplace

UNSUITED = {
    "wait": "does not return before the job has ended",
}
"""Options of sbatch that do not go with tracking a job, and why."""


@dataclass(frozen=True)
class Plan:
    """A request worked out to the last detail."""

    request: Request
    token: str
    batch: BatchCommand
    """The submission as the scheduler will read it."""
    folder: str
    """Absolute path of the folder from which it is submitted."""
    outputs: tuple[Claim, ...]
    inputs: tuple[str, ...]
    """Existing inputs, globs expanded, as seen from the request's folder."""
    base: str
    """What is the dataset's root to the job: the root, or the alternative directory."""
    waits: Waits = NOTHING
    """What it waits for."""

    @property
    def tasks(self) -> tuple[int, ...] | None:
        """Array indices, ``None`` for a plain job."""
        return tasks_of(self.batch)


def make_plan(workplace: Workplace, request: Request, waits: Waits = NOTHING) -> Plan:
    """Work a request out, and check all that can be checked beforehand.

    Parameters
    ----------
    waits:
      What is known of the jobs that make its inputs.

    Raises
    ------
    BadRequest
      Something is wrong with it.
    """
    here = workplace.root / request.folder
    if not here.is_dir():
        raise BadRequest(f"the folder {here}, where the job is to start, does not exist")
    refuse_unsuited(request)
    base = request.alternative or str(workplace.root)
    folder = os.path.join(base, request.folder).rstrip("/")
    token = secrets.token_hex(8)
    if request.sweep:
        batch, outputs, inputs = plan_sweep(workplace, request, folder, token, waits.globs)
    else:
        inputs = tuple(expand_paths(request.inputs, here, waits.globs))
        if request.expand in ("inputs", "both"):
            request = replace(request, inputs=inputs)
        request, batch = _batch_of(workplace, request, folder, inputs, token)
        outputs = _claimed_outputs(workplace, request, tasks_of(batch))
    _refuse_unsuited(batch)
    if request.alternative:
        _refuse_to_leave(batch, workplace)
    if not _can_be_made(work_folder(batch, folder), request.alternative):
        raise BadRequest(
            f"the folder {work_folder(batch, folder)}, where the job is to run, does not exist; "
            "Slurm would accept the job and fail it without a log"
        )
    _refuse_folders_of_ids(batch, folder)
    return Plan(request, token, batch, folder, outputs, inputs, base, waits)


def _batch_of(
    workplace: Workplace, request: Request, folder: str, inputs: Sequence[str], token: str
) -> tuple[Request, BatchCommand]:
    """What is submitted for a request that is no sweep."""
    declared = (*request.outputs, *map(glob_of, request.task_outputs))
    values = {
        **fixed_values(workplace, request, folder, token),
        **values_of_paths(workplace, request.folder, inputs, declared),
    }
    if request.submits:
        argv = fill_command(request.command, values)
        return request, program_command(argv, folder)
    if is_submission(request.command):
        return _submitted(workplace, request, values, folder)
    command = fill_shell_text(request.command, values)
    return request, made_into_script(workplace, request, command, command, folder)


def _submitted(
    workplace: Workplace, request: Request, values: Mapping[str, Any], folder: str
) -> tuple[Request, BatchCommand]:
    """A command that starts with sbatch, read as sbatch does."""
    here = str(workplace.root / request.folder)
    batch = _read(request, values, here)
    if request.only_tasks:
        request = limited(request, batch)
        batch = _read(request, values, here)
        refuse_other_tasks(request, batch)
    return request, _moved(batch) if request.alternative else batch


def _read(request: Request, values: Mapping[str, Any], here: str) -> BatchCommand:
    """A command for sbatch, in which the user's own options beat what the job needs otherwise."""
    argv = with_options(fill_command(request.command, values), as_arguments(request.resources))
    return read_batch_command(argv, here, os.environ)


def _can_be_made(folder: str, alternative: str | None) -> bool:
    """Whether a job's folder is there, or lies where we make folders."""
    if os.path.isdir(folder):
        return True
    return bool(alternative) and Path(os.path.normpath(folder)).is_relative_to(str(alternative))


def _claimed_outputs(
    workplace: Workplace, request: Request, tasks: Sequence[int] | None
) -> tuple[Claim, ...]:
    """Claims of the whole job, and of each task."""
    whole = [workplace.claim(path, base=workplace.root) for path in request.outputs]
    if request.task_outputs and tasks is None:
        raise BadRequest(
            f"{request.task_outputs[0]!r} has {{task}}, the index of an array's task, but the job "
            "is no array; ask for one with --array or leave {task} out"
        )
    of_tasks = [
        replace(workplace.claim(path_of(template, task), base=workplace.root), task=task)
        for template in request.task_outputs
        for task in tasks or ()
    ]
    _refuse_shared(whole, of_tasks)
    return (*whole, *of_tasks)


def _refuse_shared(whole: Sequence[Claim], of_tasks: Sequence[Claim]) -> None:
    """What lies in both could not be left out together with a task that failed."""
    held = ClaimedPaths((claim, shown(claim)) for claim in whole)
    for claim in of_tasks:
        if of_job := held.holder(claim):
            raise BadRequest(
                f"the output {of_job} of the whole job and {shown(claim)} of task {claim.task} "
                "overlap; declare one of them only"
            )


def _refuse_folders_of_ids(batch: BatchCommand, folder: str) -> None:
    """Nobody can make such a folder before the job starts, and without it there is no job."""
    stand_in = "0job0"
    for log in log_files(batch, folder, stand_in, getpass.getuser()):
        if stand_in in os.path.dirname(log.path):
            raise BadRequest(
                "the folder of a log is named after the job's id, so it cannot be there when the "
                "job starts, and the job would fail without a log; put the id into the file's name"
            )


def _refuse_unsuited(batch: BatchCommand) -> None:
    for name, reason in UNSUITED.items():
        if name in batch.options:
            raise BadRequest(f"sbatch --{name} {reason}; leave it out")


def _refuse_to_leave(batch: BatchCommand, workplace: Workplace) -> None:
    chdir = batch.options.get("chdir", "")
    if os.path.isabs(chdir) and Path(os.path.realpath(chdir)).is_relative_to(workplace.root):
        raise BadRequest(
            f"with an alternative directory the job cannot change to {chdir} in the dataset; "
            "give --chdir relative to the folder of the command"
        )


def _moved(batch: BatchCommand) -> BatchCommand:
    """The same submission from the alternative directory, with the dataset's own script."""
    argv: Sequence[str] = batch.argv
    if batch.script_path is not None:
        argv = with_script(batch, batch.script_path)
    return read_batch_command(argv, os.path.dirname(batch.script_path or "/"), os.environ)
