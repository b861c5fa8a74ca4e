"""Where the logs of a batch job go: file name patterns, before and after the job's id is known.

The patterns are those of the man page of sbatch, and what the man page leaves
open was tried with Slurm 22.05; up to 24.11 only ``%b`` was added.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from datalad_hpc.schedulers.sbatch import BatchCommand, job_name, work_folder

DEFAULT_LOG = "slurm-%j.out"
DEFAULT_ARRAY_LOG = "slurm-%A_%a.out"

NO_INDEX = 4294967294
"""What ``%a`` becomes in a job that is no array: Slurm's number for "none"."""

BATCH_VALUES: Mapping[str, str | int] = {"n": 0, "s": "batch", "t": 0}
"""Placeholders that have one value in all batch scripts: these run on the first node, as
the first task of a step called ``batch``, which ``%J`` does not show. (What the man page says of
these is true of steps that srun starts.)"""

LETTERS = frozenset("AJNSabjnrstux")
"""All placeholders. ``%b`` is new in Slurm 24.11 and ``%r`` and ``%S`` are newer still; where they
are not known they are taken literally, which the ``*`` that stands for them covers too."""

WIDEST = 10
"""Slurm pads with zeros up to this width, whatever the number in the pattern says."""

PLACEHOLDER = re.compile(r"%(?:(?P<percent>%)|(?P<width>[0-9]*)(?P<letter>[A-Za-z]?))")


@dataclass(frozen=True)
class LogFile:
    """A file, or files, that a job writes its log to."""

    path: str
    """Absolute and normalised; a glob's literal parts are escaped like glob.escape does."""
    is_glob: bool


def log_files(
    command: BatchCommand, folder: str, job_id: str, user: str, task: int | None = None
) -> tuple[LogFile, ...]:
    """Files that standard output and standard error of a job go to.

    Parameters
    ----------
    command:
      The submission command.
    folder:
      Absolute path of the folder where it runs.
    job_id:
      The job's id, or a text that stands for it as long as it is not known.
    user:
      Name of the user who submits.
    task:
      Index of the array's task that writes the files; all tasks if not given.

    Returns
    -------
    tuple of LogFile
      Each once, standard output first. What is known only while the job runs is ``*``
      in a glob. Devices such as ``/dev/null`` are left out.
    """
    found = streams(command, folder, job_id, user, task)
    return tuple(dict.fromkeys(file for file in found if file is not None))


def streams(
    command: BatchCommand, folder: str, job_id: str, user: str, task: int | None = None
) -> tuple[LogFile | None, LogFile | None]:
    """The same for standard output, and for standard error; ``None`` is no file."""
    number = int(job_id) if re.fullmatch("[1-9][0-9]{0,9}", job_id) else job_id
    known = {**BATCH_VALUES, "A": number, "u": user, "x": job_name(command)}
    array = command.options.get("array")
    if task is not None:
        known |= {"a": task}
    elif not array:
        # Tasks of an array differ in these: each but one has a job id of its own.
        known |= {"a": NO_INDEX, "j": number, "J": number}
    output = command.options.get("output")
    folder = work_folder(command, folder)

    def file(given: str | None) -> LogFile | None:
        return _log_file(_pattern(folder, given, bool(array)), known)

    return file(output), file(command.options.get("error", output))


def log_path(folder: str, given: str | None, values: Mapping[str, str | int]) -> str:
    """Absolute path of the log of a job or a task that runs.

    Parameters
    ----------
    folder:
      Absolute path of the folder in which the job runs.
    given:
      Value of ``--output``, or of ``--error`` where there is one; ``None`` without both.
    values:
      Values of the placeholders by letter; those of BATCH_VALUES need not be
      in it. ``a`` is NO_INDEX in a job that is no array.
    """
    pattern = _pattern(folder, given, values.get("a", NO_INDEX) != NO_INDEX)
    return _normalise(pattern.folder + expand_pattern(pattern.text, {**BATCH_VALUES, **values}))


def expand_pattern(pattern: str, values: Mapping[str, str | int]) -> str:
    """Fill in the placeholders of a file name pattern.

    Parameters
    ----------
    pattern:
      A pattern such as ``out/%x-%4j.log``.
    values:
      Values by letter; numbers are padded with zeros where the pattern says so.

    Returns
    -------
    str
      The file name. As with Slurm, a backslash anywhere switches all
      placeholders off and disappears (two in a row leave one), and of a
      placeholder without a value the percent sign stays or, if it has a width,
      the last digit of that (``%12z`` is ``2z``).
    """
    return _fill(_split(pattern, values), values)


@dataclass(frozen=True)
class _Pattern:
    """A pattern below a folder whose name is taken literally; ``folder`` may be empty."""

    folder: str
    text: str


@dataclass(frozen=True)
class _Placeholder:
    letter: str
    width: int

    def fill(self, values: Mapping[str, str | int]) -> str:
        value = values[self.letter]
        return str(value).zfill(self.width) if isinstance(value, int) else value


def _pattern(folder: str, given: str | None, is_array: bool) -> _Pattern:
    if given is None:
        return _Pattern(f"{folder}/", DEFAULT_ARRAY_LOG if is_array else DEFAULT_LOG)
    if given.lower() == "none":
        return _Pattern("", "/dev/null")
    # Surprise: sbatch puts the work folder in front before anything is
    # replaced. A % or a backslash in the folder's own name counts as well, and
    # such a job finds no place for its log, unless it keeps the default name.
    return _Pattern("", os.path.join(folder, given))


def _split(pattern: str, letters: Container[str]) -> list[str | _Placeholder]:
    if "\\" in pattern:
        return [re.sub(r"\\(\\?)", r"\1", pattern)]
    parts: list[str | _Placeholder] = []
    at = 0
    for match in PLACEHOLDER.finditer(pattern):
        parts += [pattern[at : match.start()], _part(match, letters)]
        at = match.end()
    return [*parts, pattern[at:]]


def _part(match: re.Match[str], letters: Container[str]) -> str | _Placeholder:
    if match["percent"]:
        return "%"
    width, letter = match["width"], match["letter"]
    if letter and letter in letters:
        return _Placeholder(letter, min(int(width or 0), WIDEST))
    return (width[-1:] or "%") + letter


def _log_file(pattern: _Pattern, known: Mapping[str, str | int]) -> LogFile | None:
    if pattern.text.endswith("/"):
        # An empty name, as in --output=: the job fails without a log.
        return None
    parts = [pattern.folder, *_split(pattern.text, LETTERS)]
    is_glob = any(isinstance(part, _Placeholder) and part.letter not in known for part in parts)
    path = _normalise(_as_glob(parts, known) if is_glob else _fill(parts, known))
    return None if _is_device(path) else LogFile(path, is_glob)


def _is_device(path: str) -> bool:
    """In ``/dev/shm`` are files: it is the memory that is used as a disk."""
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")


def _fill(parts: list[str | _Placeholder], values: Mapping[str, str | int]) -> str:
    return "".join(part if isinstance(part, str) else part.fill(values) for part in parts)


def _as_glob(parts: list[str | _Placeholder], known: Mapping[str, str | int]) -> str:
    """Parts with ``*`` for what is not known, once for several in a row."""
    pieces: list[str] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str):
            pieces.append(glob.escape(part))
        elif part.letter in known:
            pieces.append(glob.escape(part.fill(known)))
        elif pieces[-1:] != ["*"]:
            pieces.append("*")
    return "".join(pieces)


def _normalise(path: str) -> str:
    # POSIX lets two slashes at the start mean something else; Linux does not.
    return "/" + os.path.normpath(path).lstrip("/")
