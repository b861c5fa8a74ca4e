"""Placeholders in commands and paths, as in ``datalad run``, without a shell in between.

A command is kept as one line of text, the way core's ``run`` records it. It is
split into words by the rules of a shell's quoting, and each word is filled in
by itself, so that names with blanks or quotes arrive whole.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datalad_hpc.claims import has_magic
from datalad_hpc.errors import BadRequest

_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", re.DOTALL)
_BLANKS = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|\s+""", re.DOTALL)
_SHELL = re.compile(r"[;&|<>`()]|\$\(")
_WRAP = re.compile(r"--wrap(=|$)")


def one_line(command: str | Sequence[str]) -> str:
    """A command as one line of text; from a list each item becomes one word.

    A list of one item is a line already: the user quoted the whole command.
    """
    if isinstance(command, str):
        return command.strip()
    words = list(command[1:] if command and command[0] == "--" else command)
    return words[0].strip() if len(words) == 1 else shlex.join(words)


def split_words(line: str) -> list[str]:
    """The words of a command line, quotes and all.

    Raises
    ------
    BadRequest
      A quote is not closed, or a word would need a shell.
    """
    words = _WORD.findall(line)
    if "".join(words) != _BLANKS.sub(lambda found: found[1] or "", line):
        raise BadRequest(f"The command has a quote that is not closed: {line}")
    for word in words:
        found = _SHELL.search(_unquoted_part(word))
        if found:
            raise BadRequest(
                f"The command is not run through a shell, so {found[0]!r} has no meaning in it; "
                f"quote it, or put it into the script: {line}"
            )
    return words


def _unquoted_part(word: str) -> str:
    return re.sub(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", "", word, flags=re.DOTALL)


def fill_command(line: str, values: Mapping[str, Any]) -> list[str]:
    """Fill the placeholders of a command line.

    An unquoted word that names several paths becomes several arguments; a
    quoted one stays one argument; in the value of ``--wrap``, which is a
    shell's text, paths are quoted for the shell.

    Raises
    ------
    BadRequest
      A placeholder is not known, or the line needs a shell.
    """
    arguments: list[str] = []
    for word in split_words(line):
        wraps = bool(arguments and arguments[-1] == "--wrap") or bool(_WRAP.match(word))
        arguments += _fill_word(word, values, for_shell=wraps)
    return arguments


def _fill_word(word: str, values: Mapping[str, Any], *, for_shell: bool) -> list[str]:
    plain = shlex.split(word)[0]
    quoted = plain != word
    if for_shell:
        return [fill(plain, _shell_quoted(values))]
    if quoted:
        return [fill(plain, values)]
    return shlex.split(fill(word, _shell_quoted(values)))


def _shell_quoted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [shlex.quote(item) for item in value]
        if isinstance(value, list)
        else shlex.quote(str(value))
        for name, value in values.items()
    }


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Fill the placeholders of one text; lists are joined by blanks.

    Raises
    ------
    BadRequest
      A placeholder is not known.
    """
    from datalad.utils import SequenceFormatter

    try:
        return SequenceFormatter().format(text, **values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{name}}}" for name in sorted(values))
        raise BadRequest(
            f"{text!r} has a placeholder that is not known or cannot be filled ({error}); known "
            f"are {known}, and a brace that is meant as such is doubled"
        ) from None


def fill_paths(paths: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Fill the placeholders of paths; a lone ``{inputs}`` stands for the whole list."""
    if len(paths) == 1 and isinstance(values.get(paths[0][1:-1]), list):
        return tuple(values[paths[0][1:-1]])
    return tuple(fill(path, values) for path in paths)


def expand_paths(paths: Sequence[str], folder: Path) -> list[str]:
    """Paths with their globs replaced by what they match, relative to ``folder``.

    A name that exists as it stands is no glob, whatever characters it has.
    """
    expanded: list[str] = []
    for path in paths:
        if has_magic(path) and not os.path.lexists(folder / path):
            expanded += sorted(glob.glob(path, root_dir=folder, recursive=True))
        else:
            expanded.append(path)
    return list(dict.fromkeys(expanded))
