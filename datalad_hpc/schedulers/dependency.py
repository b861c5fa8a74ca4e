"""Pure: the options of sbatch with which a job waits for others."""

from __future__ import annotations

from collections.abc import Iterable

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.sbatch import BatchCommand

ENDS = "kill-on-invalid-dep"
"""The option by which a job ends that waits for what cannot come any more."""


def dependency_options(command: BatchCommand, conditions: Iterable[str]) -> tuple[str, ...]:
    """Options that add conditions to those of a command's own; none where there are none.

    Without the option that ends it, a job would stay in the queue for ever once one that it waits
    for has failed.

    Parameters
    ----------
    conditions:
      As sbatch reads them, such as ``afterok:12:13_4``; all of them are to hold.

    Raises
    ------
    BadRequest
      One of the command's own conditions is to be enough, and Slurm cannot have both.
    """
    conditions = list(conditions)
    if not conditions:
        return ()
    own = command.options.get("dependency", "")
    if "?" in own:
        raise BadRequest(
            f"the job has to wait for all of {','.join(conditions)}, but --dependency={own} asks "
            "for any one, and Slurm cannot do both; ask for all of them (',' in the place of '?'), "
            "or schedule the job when its inputs are there"
        )
    ends = () if ENDS in command.options else (f"--{ENDS}=yes",)
    return (f"--dependency={','.join(filter(None, [own, *conditions]))}", *ends)
