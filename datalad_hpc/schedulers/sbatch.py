"""Reads a command that starts with ``sbatch`` the way sbatch does, before it is submitted.

Where the job's logs go, which tasks it has and which script it runs has to be
known before submission, and the local scheduler runs the same command on a
machine without Slurm. Sources of the facts: the man page of sbatch, and what
Slurm 22.05 was seen to do where the man page is silent or wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.arrays import array_indices
from datalad_hpc.schedulers.batch_script import (
    find_script,
    foreign_options,
    read_script,
    script_options,
)
from datalad_hpc.schedulers.sbatch_options import (
    ENVIRONMENT,
    FLAGS,
    SUBMITS_NOTHING,
    read_words,
)

TOKEN_MARK = "datalad-hpc:"
"""What stands before the token in the comment of a job."""

SCRIPT = "job.sh"
"""Stands for the file of a script that is made for a command."""

COMMENT_LIMIT = 1024
"""Bytes of a comment that Slurm's controller takes."""


@dataclass(frozen=True)
class BatchCommand:
    """A submission command, taken apart."""

    argv: tuple[str, ...]
    """The command as given, ``sbatch`` first."""
    options: Mapping[str, str]
    """Effective options by long name; flags have an empty value.

    The command line beats the environment, which beats the script; within one
    source the last one wins. Of a heterogeneous job these are the options of
    the first component, the one that runs the script.
    """
    script: str | None
    """Batch script as given; ``None`` with ``--wrap``."""
    script_position: int | None
    """Index of the script in ``argv``."""
    arguments: tuple[str, ...]
    """What the script gets."""
    text: str
    """Text of the batch script, undecodable bytes kept as surrogates."""
    script_path: str | None = None
    """Absolute path of the file that the script was found to be."""
    components: int = 1
    """Number of components; more than one in a heterogeneous job."""


def read_batch_command(
    argv: Sequence[str], folder: str, environment: Mapping[str, str]
) -> BatchCommand:
    """Take a submission command apart.

    Parameters
    ----------
    argv:
      The command, ``sbatch`` (or a path to it) first.
    folder:
      Absolute path of the folder where the command is to run.
    environment:
      The variables that it is to see: ``SBATCH_*`` set options, ``PATH`` may lead to the script.

    Raises
    ------
    BadRequest
      This is no command that sbatch would turn into a job.
    """
    if not argv or os.path.basename(argv[0]) != "sbatch":
        raise BadRequest(
            f"the command has to start with sbatch, not with {_quoted(argv)} (-o and -i take one "
            "path each: quote globs)"
        )
    all_options, position = read_command_line(argv)
    _refuse_what_submits_nothing(all_options)
    if "wrap" in all_options:
        return wrapped(argv, environment, all_options["wrap"], position)
    if position is None:
        raise BadRequest(
            "sbatch has neither a batch script nor --wrap, and a script on standard input "
            "cannot be scheduled: name the script's file"
        )
    path = find_script(argv[position], folder, all_options.get("chdir", ""), environment)
    return scripted(argv, environment, position, read_script(path), path)


def batch_command_of(
    script: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> BatchCommand:
    """What sbatch makes of a script that has no file yet; :func:`with_script` gives it one.

    Parameters
    ----------
    script:
      The script's text, its options as ``#SBATCH`` lines.
    arguments:
      Options for the command line of sbatch.
    environment:
      The variables that sbatch is to see.
    """
    return scripted(("sbatch", *arguments, SCRIPT), environment, 1 + len(arguments), script, None)


def with_options(command_argv: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    """Put options right behind ``sbatch``, where all of the user's own ones beat them."""
    return (command_argv[0], *extra, *command_argv[1:])


def with_script(command: BatchCommand, path: str) -> tuple[str, ...]:
    """The command with another file (best an absolute path) as its batch script.

    Raises
    ------
    BadRequest
      The command has no script to replace, but ``--wrap``.
    """
    if command.script_position is None:
        raise BadRequest("the command has --wrap instead of a batch script, so none can replace it")
    before = command.argv[: command.script_position]
    return (*before, path, *command.argv[command.script_position + 1 :])


def with_dependency(command: BatchCommand, condition: str) -> BatchCommand:
    """The command with one more condition to hold before the job starts."""
    value = ",".join(filter(None, [command.options.get("dependency", ""), condition]))
    at = 1 + read_words(command.argv[1:]).last
    argv = (*command.argv[:at], f"--dependency={value}", *command.argv[at:])
    position = command.script_position
    return replace(
        command,
        argv=argv,
        options={**command.options, "dependency": value},
        script_position=None if position is None else position + 1,
    )


def comment_with_token(
    command: BatchCommand, token: str, more: Sequence[str] = ()
) -> tuple[str, ...]:
    """The command to submit: the comment of its job ends with a token.

    The user's own comment, wherever it was given, stays in front. The option, and ``more`` of
    them, stand behind the user's options, since sbatch takes the last one; in a heterogeneous
    job they belong to the first component.

    Raises
    ------
    BadRequest
      Slurm would refuse the comment for its length.
    """
    own = command.options.get("comment")
    comment = f"{own}; {TOKEN_MARK}{token}" if own else f"{TOKEN_MARK}{token}"
    surplus = len(os.fsencode(comment)) - COMMENT_LIMIT
    if surplus > 0:
        raise BadRequest(
            f"the job's --comment is {surplus} bytes too long: Slurm takes {COMMENT_LIMIT} bytes, "
            "and a mark by which the job is found again is added to it"
        )
    at = 1 + read_words(command.argv[1:]).last
    return (*command.argv[:at], *more, f"--comment={comment}", *command.argv[at:])


def tasks_of(command: BatchCommand) -> tuple[int, ...] | None:
    """Indices of the array that a command asks for; ``None`` for a plain job.

    Raises
    ------
    BadRequest
      Slurm would refuse them.
    """
    spec = command.options.get("array")
    return array_indices(spec) if spec else None


def work_folder(command: BatchCommand, folder: str) -> str:
    """Absolute path of the folder in which the job runs, for a command that runs in ``folder``."""
    return os.path.normpath(os.path.join(folder, command.options.get("chdir", "")))


def job_name(command: BatchCommand) -> str:
    """The job's name: the one given, else ``wrap`` or the script's file name."""
    default = "wrap" if command.script is None else os.path.basename(command.script)
    return command.options.get("job-name", default)


def _quoted(argv: Sequence[str]) -> str:
    return f"'{argv[0]}'" if argv else "nothing"


def scripted(
    argv: Sequence[str],
    environment: Mapping[str, str],
    position: int,
    text: str,
    path: str | None,
) -> BatchCommand:
    in_script, components = script_options(text)
    options = _effective(argv, environment, in_script, text)
    _refuse_what_submits_nothing(options)
    return BatchCommand(
        argv=tuple(argv),
        options=options,
        script=argv[position],
        script_position=position,
        # Slurm drops colons from the script's arguments too (seen with 22.05).
        arguments=tuple(word for word in argv[position + 1 :] if word != ":"),
        text=text,
        script_path=path,
        components=max(components, 1 + argv[:position].count(":")),
    )


def wrapped(
    argv: Sequence[str], environment: Mapping[str, str], command: str, position: int | None
) -> BatchCommand:
    if position is not None:
        raise BadRequest(
            f"sbatch has both --wrap and a batch script ({argv[position]}): give one of them"
        )
    # Slurm does not look for #SBATCH lines in a wrapped command.
    options = _effective(argv, environment, {}, "")
    return BatchCommand(
        argv=tuple(argv),
        options={**options, "wrap": command},
        script=None,
        script_position=None,
        arguments=(),
        text=f"#!/bin/sh\n# The command that was given with --wrap.\n\n{command}\n",
        components=1 + argv.count(":"),
    )


def read_command_line(argv: Sequence[str]) -> tuple[dict[str, str], int | None]:
    """Options of all components, and where the script stands.

    Slurm takes the colons between components out before it looks for the script.
    """
    positions = [at for at, word in enumerate(argv) if at and word != ":"]
    reading = read_words([argv[at] for at in positions])
    position = positions[reading.end] if reading.end < len(positions) else None
    return dict(reading.options), position


def _refuse_what_submits_nothing(options: Mapping[str, str]) -> None:
    for name in sorted(SUBMITS_NOTHING & options.keys()):
        raise BadRequest(f"sbatch submits no job with --{name}, so there is nothing to schedule")


def _effective(
    argv: Sequence[str], environment: Mapping[str, str], in_script: Mapping[str, str], text: str
) -> dict[str, str]:
    """Put the sources of options together, the weakest first."""
    given = dict(read_words(argv[1:]).options)
    options = _with_environment(in_script, environment) | given
    if "ignore-pbs" in options:
        return options
    return _with_environment({**in_script, **foreign_options(text)}, environment) | given


def _with_environment(options: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Options after the variables had their say; a flag can be switched off by its variable too."""
    result = dict(options)
    for variable, name in ENVIRONMENT.items():
        value = environment.get(variable)
        if value is None:
            continue
        if name not in FLAGS:
            result[name] = value
        elif _switches_on(value):
            result[name] = ""
        else:
            result.pop(name, None)
    return result


def _switches_on(value: str) -> bool:
    """Whether a variable sets its flag: empty, ``yes`` or a number other than 0 (man page)."""
    if value == "" or value.lower() == "yes":
        return True
    return re.fullmatch(r"[+-]?0*[1-9][0-9]*", value) is not None
