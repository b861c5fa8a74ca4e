"""A command that asks for an array, limited to some of its tasks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.placeholders import split_words
from datalad_hpc.schedulers.arrays import array_limit
from datalad_hpc.schedulers.sbatch import BatchCommand, tasks_of
from datalad_hpc.schedulers.sbatch_options import read_words
from datalad_hpc.wording import ranges


def limited(request: Request, batch: BatchCommand) -> Request:
    """The request with a command for the tasks that it is limited to.

    Parameters
    ----------
    batch:
      What its command was read as: the array may be asked for in the script.
      As many tasks as there run at a time.

    Raises
    ------
    BadRequest
      The command cannot be read.
    """
    at_a_time = array_limit(batch.options.get("array", ""))
    return replace(request, command=with_tasks(request.command, request.only_tasks, at_a_time))


def refuse_other_tasks(request: Request, batch: BatchCommand) -> None:
    """Make sure that a limited command asks for the tasks that are wanted.

    Raises
    ------
    BadRequest
      It does not, since a placeholder hides options of its own.
    """
    if tasks_of(batch) != request.only_tasks:
        raise BadRequest(
            f"the command cannot be limited to the tasks {ranges(request.only_tasks)} by "
            f"an --array behind its options: {request.command}; schedule these tasks with a "
            "command of your own"
        )


def with_tasks(command: str, tasks: Sequence[int], at_a_time: int | None = None) -> str:
    """A command with an ``--array`` behind the user's options, since sbatch takes the last one.

    Parameters
    ----------
    command:
      The command as it was given; placeholders and quotes stay as they are.
    tasks:
      Indices of the tasks to run.
    at_a_time:
      How many of them may run at a time, if there is a limit.

    Returns
    -------
    str
      The command. If its last option is an ``--array=`` already, that one is replaced.

    Raises
    ------
    BadRequest
      The command cannot be read.
    """
    words = split_words(command)
    plain = [shlex.split(word)[0] for word in words]
    reading = read_words(plain[1:])
    at = 1 + reading.last
    ends_so = plain[at - 1].startswith("--array=") and reading.options[-1][0] == "array"
    limit = f"%{at_a_time}" if at_a_time else ""
    option = f"--array={ranges(tasks)}{limit}"
    return " ".join([*words[: at - ends_so], option, *words[at:]])
