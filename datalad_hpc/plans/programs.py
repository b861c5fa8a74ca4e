"""A site's own submission program as the command of a job: what it is, and what it cannot be."""

from __future__ import annotations

import os
from collections.abc import Sequence

from datalad_hpc.errors import BadRequest, ContentMissing
from datalad_hpc.job import Request
from datalad_hpc.schedulers.sbatch import BatchCommand

UNSUITED = {
    "container": "-n: its jobs choose their containers",
    "resources": "-r and --template: its jobs say what they need",
    "sweep": "--foreach: the program decides which jobs there are",
    "max_concurrent": "--max-concurrent: the program decides how many jobs there are",
    "alternative": "--alt-dir: nobody can tell its jobs to run there",
    "task_outputs": "{task} in an output: its jobs need not be one array",
    "only_tasks": "single tasks: the program submits all of its jobs",
}
"""What can be asked of a job, but not of a program that submits others, and why."""


def refuse_unsuited(request: Request) -> None:
    """Refuse what a submission program cannot give.

    Raises
    ------
    BadRequest
      More is asked for than can be had of a program.
    """
    for name, what in UNSUITED.items():
        if request.submits and getattr(request, name):
            raise BadRequest(f"--submits does not go with {what}; leave one of them out")


def program_command(argv: Sequence[str], folder: str) -> BatchCommand:
    """What stands for the submission in the plan; a program has no logs, script or tasks itself.

    Parameters
    ----------
    argv:
      The command, placeholders filled in.
    folder:
      Absolute path of the folder where it runs.

    Raises
    ------
    ContentMissing
      The program is in the dataset, and its content is not here.
    """
    path = os.path.normpath(os.path.join(folder, argv[0]))
    if "/" in argv[0] and os.path.islink(path) and not os.path.exists(path):
        raise ContentMissing(
            f"the submission program {path} is a link to a file that is not here: get it first "
            "(datalad get)",
            path,
        )
    return BatchCommand(
        argv=tuple(argv),
        options={"output": "/dev/null"},
        script=None,
        script_position=None,
        arguments=(),
        text="",
    )
