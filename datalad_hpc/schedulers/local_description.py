"""What the local scheduler's spool keeps of a submission."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.requested import OPTIONS
from datalad_hpc.schedulers.arrays import array_indices
from datalad_hpc.schedulers.base import Handover
from datalad_hpc.schedulers.local_job import LocalJob
from datalad_hpc.schedulers.local_spool import now
from datalad_hpc.schedulers.sbatch import BatchCommand, job_name, work_folder

APPEND = {"append": True, "a": True, "truncate": False, "t": False, "": False}


def describe(command: BatchCommand, handover: Handover) -> LocalJob:
    """What the spool keeps of a submission.

    Raises
    ------
    BadRequest
      The local scheduler cannot run it.
    """
    options = command.options
    if command.components > 1:
        raise BadRequest("the local scheduler runs no heterogeneous jobs")
    if "array" in options:
        array_indices(options["array"])
    return LocalJob(
        token=handover.token,
        name=job_name(command),
        user=_name_of(pwd.getpwuid, os.getuid()),
        group=_name_of(grp.getgrgid, os.getgid()),
        submitted=now(),
        submit_folder=handover.folder,
        folder=work_folder(command, handover.folder),
        arguments=command.arguments,
        array=options.get("array", ""),
        output=options.get("output"),
        error=options.get("error"),
        input=options.get("input"),
        append=_append(options.get("open-mode", "")),
        dependency=options.get("dependency", ""),
        cpus_per_task=options.get("cpus-per-task", ""),
        requested={name: options[name] for name in OPTIONS if name in options},
        umask=_umask(),
    )


def _append(mode: str) -> bool:
    if mode not in APPEND:
        raise BadRequest(f"--open-mode={mode} is neither append nor truncate")
    return APPEND[mode]


def _umask() -> int:
    # There is no way to read it without setting it; this value harms nobody.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _name_of(look_up: Any, number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
