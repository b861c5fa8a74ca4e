"""Finds a batch script as sbatch does, and reads the options that stand in it.

Facts are from the man page of sbatch and from trying Slurm 22.05.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence

from datalad_hpc.errors import BadRequest, ContentMissing
from datalad_hpc.schedulers.sbatch_options import (
    FOREIGN_DIRECTIVES,
    IGNORED_IN_SCRIPT,
    SBATCH,
    Grammar,
    read_words,
)

BLANKS = " \t\n\v\f\r"
"""What C calls white space; Python's own idea includes more."""

DIRECTIVES = ("#SBATCH", "#SLURM")
"""What lines with options start with; sbatch warns of the second, but takes it."""

NEXT_COMPONENT = re.compile(rf"(?:hetjob|packjob)(?:[{BLANKS}]|$)", re.IGNORECASE)
"""Start of a line that begins another component of a heterogeneous job."""

FOREIGN_LINES = 100
"""Lines of code after which sbatch gives up looking for options of other systems."""

FLAWS: Sequence[tuple[Callable[[str], bool], str]] = (
    (lambda text: not text.strip(BLANKS), "is empty"),
    (lambda text: not text.startswith("#!"), "does not start with #! and an interpreter"),
    (lambda text: "\0" in text, "contains a NUL character"),
    (lambda text: "\r\n" in text, "has DOS line breaks (CR LF)"),
)
"""What sbatch refuses in a script, in the order in which it looks."""

WORD_PART = re.compile(
    r"\\(?P<escaped>.?)"
    r"""|(?P<quote>["'])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)"""
    rf"""|(?P<plain>[^{BLANKS}\\"'#])""",
    re.DOTALL,
)
"""A piece of a word in a line of options; a backslash works in both kinds of quotes."""


def find_script(name: str, folder: str, chdir: str, environment: Mapping[str, str]) -> str:
    """Where sbatch looks for a batch script.

    Parameters
    ----------
    name:
      The script as given.
    folder:
      Absolute path of the folder where sbatch runs.
    chdir:
      Value of ``--chdir`` on the command line, empty without. sbatch looks there first,
      then in the folders of ``PATH``, and in the folder where it runs last.
    environment:
      Variables that sbatch sees.

    Returns
    -------
    str
      Absolute path of what is there, be it a file or not.

    Raises
    ------
    BadRequest
      There is nothing.
    """
    here = os.path.normpath(os.path.join(folder, name))
    if name.startswith((".", "/")):
        return _existing(here, "")
    work_folder = os.path.join(folder, chdir)
    # Slurm looks through PATH for names with a slash inside too, and takes
    # files there that are not executable.
    for place in (work_folder, *filter(None, environment.get("PATH", "").split(":"))):
        base = work_folder if place.startswith(".") else folder
        path = os.path.join(base, place, name)
        if os.path.exists(path) and not os.path.isdir(path):
            return os.path.normpath(path)
    places = "the folder of --chdir and the folders of PATH" if chdir else "the folders of PATH"
    return _existing(here, f", and none of that name in {places} either")


def _existing(path: str, elsewhere: str) -> str:
    if os.path.exists(path):
        return path
    if os.path.islink(path):
        raise ContentMissing(
            f"the batch script {path} is a link to a file that is not here: "
            "get it first (datalad get)",
            path,
        )
    raise BadRequest(f"there is no batch script {path}{elsewhere}")


def read_script(path: str) -> str:
    """Text of a batch script, undecodable bytes kept as surrogates.

    Raises
    ------
    BadRequest
      It cannot be read, or sbatch would refuse it.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadRequest(f"the batch script {path} is a folder or no ordinary file")
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise BadRequest(f"the batch script {path} cannot be read: {error.strerror}") from None
    refuse_flawed(text, f"the batch script {path}")
    return text


def refuse_flawed(text: str, what: str) -> None:
    """Refuse a script that sbatch would refuse.

    Raises
    ------
    BadRequest
      It would; ``what`` says which script.
    """
    for is_flawed, flaw in FLAWS:
        if is_flawed(text):
            raise BadRequest(f"{what} {flaw}, so sbatch would refuse it")


def script_options(text: str) -> tuple[dict[str, str], int]:
    """Options of the ``#SBATCH`` lines of a script.

    Returns
    -------
    dict
      Values by long name; in a heterogeneous job those of the first component.
    int
      Number of components.

    Raises
    ------
    BadRequest
      Such a line holds something else, or a quote without its partner.
    """
    words: list[str] = []
    components = 1
    for line in _directive_lines(text):
        components += bool(NEXT_COMPONENT.match(line))
        if components == 1:
            words += split_line(line)
    found = _read_all(words)
    return {name: found[name] for name in found if name not in IGNORED_IN_SCRIPT}, components


def foreign_options(text: str) -> dict[str, str]:
    """Options of ``#BSUB`` lines (LSF) or else of ``#PBS`` lines, by the names they have in sbatch.

    sbatch reads such lines unless it has ``--ignore-pbs``, and they beat the
    ``#SBATCH`` lines. Not all are understood here, but those that say where
    logs go, how the job is called and which tasks it has.
    """
    for mark, grammar in FOREIGN_DIRECTIVES.items():
        lines = list(_foreign_lines(text, mark))
        if lines:
            return _read_foreign([word for line in lines for word in split_line(line)], grammar)
    return {}


def split_line(line: str) -> list[str]:
    """Words of a line of options, quotes and backslashes taken away.

    A ``#`` outside quotes ends the line, even within a word (seen with Slurm
    22.05: ``-o out#1`` is ``out``), and so does an empty word such as ``""``.

    Raises
    ------
    BadRequest
      A quote has no partner.
    """
    words: list[str] = []
    at = 0
    while True:
        at = _skip_blanks(line, at)
        word, at = _next_word(line, at)
        if not word:
            return words
        words.append(word)


def _skip_blanks(line: str, at: int) -> int:
    while at < len(line) and line[at] in BLANKS:
        at += 1
    return at


def _next_word(line: str, at: int) -> tuple[str, int]:
    word = ""
    while at < len(line) and line[at] not in BLANKS + "#":
        part = WORD_PART.match(line, at)
        if part is None:
            raise BadRequest(f"a quote has no partner in this line of the batch script: {line}")
        quoted = re.sub(r"\\(.)", r"\1", part["quoted"] or "", flags=re.DOTALL)
        word += quoted + (part["escaped"] or "") + (part["plain"] or "")
        at = part.end()
    return word, at


def _directive_lines(text: str) -> Iterator[str]:
    """What follows ``#SBATCH``, up to the first line that is neither empty nor a comment."""
    for line in text.split("\n"):
        mark = next((mark for mark in DIRECTIVES if line.startswith(mark)), None)
        if mark:
            yield line[len(mark) :].strip(BLANKS)
        elif not line.lstrip(BLANKS).startswith("#") and line.strip(BLANKS):
            return


def _read_all(words: Sequence[str]) -> dict[str, str]:
    """Options of words that have to be options, all lines together as sbatch has them.

    A word behind an option that only a plugin of the site can know is its value.
    """
    reading = read_words(words)
    if reading.end == len(words):
        return dict(reading.options)
    plugin = reading.options[-1][0] if reading.options else ""
    if not plugin or plugin in SBATCH.names or words[reading.end - 1] != f"--{plugin}":
        raise BadRequest(
            f"'{words[reading.end]}' in the #SBATCH lines of the batch script is no option"
        )
    value = {plugin: words[reading.end]}
    return {**dict(reading.options), **value, **_read_all(words[reading.end + 1 :])}


def _foreign_lines(text: str, mark: str) -> Iterator[str]:
    code = 0
    for line in text.split("\n"):
        if line.startswith(mark):
            yield line[len(mark) :]
        code += not line.startswith("#")
        if code > FOREIGN_LINES:
            return


def _read_foreign(words: Sequence[str], grammar: Grammar) -> dict[str, str]:
    # LSF spells one option with one dash and three letters.
    reading = read_words(["-c" if word == "-cwd" else word for word in words], grammar)
    return {name: value for name, value in reading.options if name in SBATCH.names}
