"""Pure: the batch script that is made for a command, with what the job needs and the site's set-up.

Options stand in it as ``#SBATCH`` lines, so that the script says all by itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

INTERPRETER = "#!/bin/bash"


def job_script(options: Mapping[str, str], folder: str, setup: str, command: str) -> str:
    """The text of a batch script.

    Parameters
    ----------
    options:
      Options for sbatch by long name; flags have an empty value.
    folder:
      Absolute path of the folder in which the command runs.
    setup:
      Lines that come before the command, such as ``module load``; may be empty.
    command:
      The command, for a shell.
    """
    # Slurm goes on in /tmp where it cannot enter the folder, and the outputs would be lost there.
    enter = f"cd -- {shlex.quote(folder)} || exit 1"
    parts = ["\n".join([INTERPRETER, *map(directive, options.items())]), enter, setup, command]
    # A line between them, since the set-up may end in a backslash.
    return "\n\n".join(filter(None, [part.strip("\n") for part in parts])) + "\n"


def directive(option: tuple[str, str]) -> str:
    """The line for an option, its value quoted as sbatch reads it."""
    name, value = option
    return f"#SBATCH --{name}={_quoted(value)}" if value else f"#SBATCH --{name}"


def _quoted(value: str) -> str:
    if value.isascii() and not set(value) & set(" \t'\"\\#"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
