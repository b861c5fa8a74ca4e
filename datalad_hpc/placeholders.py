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
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import has_magic
from datalad_hpc.later_globs import LaterGlob, NotHere, quote_glob
from datalad_hpc.templates import TASK

# Only these four separate words, as in a shell: a no-break space does not.
_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", re.DOTALL)
_BLANKS = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|[ \t\r\n]+""", re.DOTALL)
_SHELL = re.compile(r"[;&|<>`()]|\$\(")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_]\w*(?:\[\d+\])?\}")
_WRAP = re.compile(r"--wr(?:ap?)?(=|$)")
"""The option with a shell's text, in full or as far as sbatch needs it to know it."""
_QUOTED_PIECE = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<bare>(?:\\.|[^'"\\])+|.)""", re.DOTALL
)
_SUBSTITUTION = re.compile(r"\$\(|`")
_FAR_TOO_WIDE = re.compile(r"\d{5}")
_LIVE_IN_QUOTES = re.compile(r'(["$`\\])')


def one_line(command: str | Sequence[str]) -> str:
    """A command as one line of text; from a list each item becomes one word.

    A list of one item is a line already: the user quoted the whole command.

    Raises
    ------
    BadRequest
      No record can hold it, since it is not UTF-8 or has a NUL byte.
    """
    return recordable("the command", _line(command).strip())


def recordable(what: str, text: str) -> str:
    """A text that a record can hold, and a commit message.

    Raises
    ------
    BadRequest
      It is not UTF-8 or has a NUL byte; ``what`` says what it is.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{what} is not valid UTF-8 and cannot be recorded: {text!r}") from None
    if "\0" in text:
        raise BadRequest(
            f"{what} has a NUL byte, which neither an argument nor a commit message can have: "
            f"{text!r}"
        )
    return text


def _line(command: str | Sequence[str]) -> str:
    if isinstance(command, str):
        return command
    words = list(command[1:] if command and command[0] == "--" else command)
    return words[0] if len(words) == 1 else " ".join(map(_quoted_word, words))


def _quoted_word(word: str) -> str:
    """A word for a shell; a lone placeholder stays bare, since it may stand for several words."""
    return word if _PLACEHOLDER.fullmatch(word) else shlex.quote(word)


def is_submission(command: str) -> bool:
    """Whether a command hands a batch script to sbatch itself, and is not run as the job."""
    return os.path.basename(command.split(maxsplit=1)[0].strip("'\"")) == "sbatch"


def split_words(line: str) -> list[str]:
    """The words of a command line, quotes and all.

    Raises
    ------
    BadRequest
      A quote is not closed, or a word would need a shell.
    """
    words = _WORD.findall(line)
    if "".join(words) != _BLANKS.sub(lambda found: found[1] or "", line):
        raise BadRequest(f"the command has a quote that is not closed: {line}")
    for word in words:
        found = _SHELL.search(_unquoted_part(word))
        if found:
            raise BadRequest(
                f"the command is not run through a shell, so {found[0]!r} has no meaning in it; "
                f"quote it, or put it into the script: {line}"
            )
    return words


def _unquoted_part(word: str) -> str:
    return re.sub(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", "", word, flags=re.DOTALL)


def fill_command(line: str, values: Mapping[str, Any]) -> list[str]:
    """Fill the placeholders of a command line.

    An unquoted word that names several paths becomes several arguments; a
    quoted one stays one argument. The value of ``--wrap`` is a shell's text:
    names are quoted for the shell there, and within quotes escaped.

    Raises
    ------
    BadRequest
      A placeholder is not known, or the line needs a shell.
    """
    arguments: list[str] = []
    for word in split_words(line):
        plain = shlex.split(word)[0]
        found = _WRAP.match(plain)
        if (found and found[1]) or (arguments and _WRAP.fullmatch(arguments[-1])):
            option = found[0] if found else ""
            arguments.append(option + fill_shell_text(plain[len(option) :], values))
        elif plain != word:
            arguments.append(fill(plain, _mapped(values, str)))
        else:
            arguments += shlex.split(fill(word, _mapped(values, shlex.quote)))
    return arguments


def fill_shell_text(text: str, values: Mapping[str, Any]) -> str:
    """Fill a text that a shell will read, so that a name is never anything but a name.

    Raises
    ------
    BadRequest
      A placeholder is not known, or stands where nothing can be quoted.
    """
    return _fill_pieces(text, values, fill)


def fill_known_in_shell_text(text: str, values: Mapping[str, str]) -> str:
    """The same, with :func:`fill_known` in the place of :func:`fill`."""
    return _fill_pieces(text, values, fill_known)


def _fill_pieces(text: str, values: Mapping[str, Any], fill_piece: Callable[..., str]) -> str:
    pieces = []
    for found in _QUOTED_PIECE.finditer(text):
        if found["single"] is not None:
            quoted = _mapped(values, _within_single_quotes)
            pieces.append(f"'{fill_piece(found['single'], quoted)}'")
        elif found["double"] is not None:
            _refuse_nested(found["double"])
            quoted = _mapped(values, _within_double_quotes)
            pieces.append(f'"{fill_piece(found["double"], quoted)}"')
        else:
            pieces.append(fill_piece(found["bare"], _mapped(values, shlex.quote, quote_glob)))
    return "".join(pieces)


def _refuse_nested(text: str) -> None:
    if _SUBSTITUTION.search(text) and "{" in text.replace("{{", ""):
        raise BadRequest(
            "a placeholder in a command substitution within double quotes cannot be quoted safely; "
            f'leave the double quotes out, or put it into a script: "{text}"'
        )


def _within_single_quotes(name: str) -> str:
    return name.replace("'", "'\\''")


def _within_double_quotes(name: str) -> str:
    return _LIVE_IN_QUOTES.sub(r"\\\1", name)


def _mapped(
    values: Mapping[str, Any],
    quote: Callable[[str], str],
    quote_later: Callable[[str], Any] = NotHere,
) -> dict[str, Any]:
    def quoted(item: Any) -> Any:
        return quote_later(item) if isinstance(item, LaterGlob) else quote(str(item))

    return {
        name: [quoted(item) for item in value] if isinstance(value, list) else quote(str(value))
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

    class Formatter(SequenceFormatter):
        def format_element(self, elem: Any, format_spec: str) -> Any:
            # A record can ask for more blanks than there is memory.
            if _FAR_TOO_WIDE.search(format_spec):
                raise ValueError(f"{format_spec!r} is too wide")
            return super().format_element(elem, format_spec)

    try:
        return Formatter().format(text, **values)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        if error.args == (TASK,):
            raise BadRequest(
                f"{text!r} has {{task}}, which is not known at submission: it stands for the "
                "index of an array's task in outputs (-o) only; in the batch script use "
                "$SLURM_ARRAY_TASK_ID"
            ) from None
        known = ", ".join(f"{{{name}}}" for name in sorted(values))
        raise BadRequest(
            f"{text!r} has a placeholder that is not known or cannot be filled ({error}); known "
            f"are {known}, and a brace that is meant as such is doubled"
        ) from None


def fill_known(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders that have a value; what is left is a text with placeholders again.

    Raises
    ------
    BadRequest
      A brace has no partner.
    """
    pieces = []
    try:
        for literal, name, spec, conversion in Formatter().parse(text):
            pieces.append(_doubled(literal))
            if name is None:
                continue
            if name in values and not spec and not conversion:
                pieces.append(_doubled(values[name]))
            else:
                how = f"!{conversion}" * bool(conversion) + f":{spec}" * bool(spec)
                pieces.append(f"{{{name}{how}}}")
    except ValueError as error:
        raise BadRequest(
            f"{text!r} has a placeholder that cannot be read ({error}); a brace that is meant as "
            "such is doubled"
        ) from None
    return "".join(pieces)


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def fill_paths(paths: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Fill the placeholders of paths; a lone ``{inputs}`` stands for the whole list."""
    lists = {f"{{{name}}}": value for name, value in values.items() if isinstance(value, list)}
    if len(paths) == 1 and paths[0] in lists:
        return tuple(lists[paths[0]])
    return tuple(fill(path, values) for path in paths)


def expand_paths(paths: Sequence[str], folder: Path, later: Collection[str] = ()) -> list[str]:
    """Paths with their globs replaced by what they match, relative to ``folder``.

    A name that exists as it stands is no glob, whatever characters it has. Those that are to be
    expanded ``later`` stay globs.
    """
    expanded: list[str] = []
    for path in paths:
        if path in later:
            expanded.append(LaterGlob(path))
        elif has_magic(path) and not os.path.lexists(folder / path):
            expanded += sorted(glob.glob(path, root_dir=folder, recursive=True))
        else:
            expanded.append(path)
    return list(dict.fromkeys(expanded))
