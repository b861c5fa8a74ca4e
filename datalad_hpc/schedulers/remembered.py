"""A submission as it was, of what is kept of it: its script may have been changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datalad_hpc.schedulers.sbatch import BatchCommand, read_command_line, scripted, wrapped


def remembered(
    argv: Sequence[str], text: str, environment: Mapping[str, str]
) -> BatchCommand | None:
    """What :func:`.read_batch_command` made of a command.

    Parameters
    ----------
    argv:
      The command that was submitted, ``sbatch`` (or a path to it) first.
    text:
      Text of its batch script.
    environment:
      The variables that it is taken to have seen.

    Returns
    -------
    BatchCommand or None
      ``None`` of what is no such command: of a submission program.
    """
    if not argv:
        return None
    options, position = read_command_line(argv)
    if "wrap" in options:
        return wrapped(argv, environment, options["wrap"], None)
    return None if position is None else scripted(argv, environment, position, text, None)
