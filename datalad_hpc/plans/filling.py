"""What stands in the place of placeholders, and the script that is made for a plain command."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.job_script import job_script
from datalad_hpc.placeholders import expand_paths
from datalad_hpc.plans.containers import setup_of
from datalad_hpc.plans.requests import substitutions
from datalad_hpc.plans.resources import as_arguments
from datalad_hpc.plans.site_setup import site_setup
from datalad_hpc.schedulers.batch_script import refuse_flawed
from datalad_hpc.schedulers.sbatch import BatchCommand, batch_command_of
from datalad_hpc.workplace import Workplace


def fixed_values(workplace: Workplace, request: Request, folder: str, token: str) -> dict[str, Any]:
    """The placeholders that are the same for all tasks of a job.

    Parameters
    ----------
    folder:
      Absolute path of the folder from which the job is submitted.
    token:
      The job's token, after which its temporary directory is named.
    """
    return {
        **substitutions(workplace),
        "pwd": folder,
        "dspath": request.alternative or str(workplace.root),
        "tmpdir": _temporary(token),
    }


def _temporary(token: str) -> str:
    return os.path.join(tempfile.gettempdir(), f"datalad-hpc-{token}")


def make_temporary(request: Request, token: str) -> None:
    """Make the temporary directory of a job, if its command names it.

    Raises
    ------
    BadRequest
      It cannot be made.
    """
    if "{tmpdir}" not in request.command:
        return
    path = _temporary(token)
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise BadRequest(
            f"the temporary directory {path} could not be made: {error.strerror}"
        ) from error


def values_of_paths(
    workplace: Workplace, folder: str, inputs: Sequence[str], outputs: Sequence[str]
) -> dict[str, list[str]]:
    """The placeholders for inputs and outputs.

    Parameters
    ----------
    folder:
      Where the command runs, relative to the dataset's root.
    inputs:
      As seen from there, globs expanded.
    outputs:
      Relative to the dataset's root.
    """
    seen = [_seen_from(folder, path) for path in outputs]
    return {"inputs": list(inputs), "outputs": expand_paths(seen, workplace.root / folder)}


def _seen_from(folder: str, path: str) -> str:
    if not folder:
        return path
    return os.path.relpath(path, folder) + ("/" if path.endswith("/") else "")


def made_into_script(
    workplace: Workplace,
    request: Request,
    command: str,
    body: str,
    folder: str,
    more: Mapping[str, str] | None = None,
) -> BatchCommand:
    """The submission of a plain command.

    Parameters
    ----------
    command:
      A command, for the job's name.
    body:
      What the script runs.
    folder:
      Absolute path of the folder from which it is submitted.
    more:
      Options for sbatch besides those of the request.

    Raises
    ------
    BadRequest
      A setting of the site cannot be used, or sbatch would refuse the script.
    """
    name = _name_of(request.container or command)
    options = {"job-name": name, **request.resources, **(more or {})}
    there = os.path.normpath(os.path.join(folder, options.get("chdir", "")))
    setup = "\n".join(filter(None, [site_setup(workplace), setup_of(request)]))
    script = job_script(options, there, setup, body)
    refuse_flawed(script, "the batch script that is made for the command")
    # There too, since variables such as SBATCH_TIMELIMIT beat what stands in a script.
    given = as_arguments({**request.resources, **(more or {})})
    return batch_command_of(script, given, os.environ)


def _name_of(command: str) -> str:
    first = re.split(r"\s", command.strip(), maxsplit=1)[0].strip("'\"")
    return os.path.basename(first) or "job"
