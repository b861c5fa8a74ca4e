"""What ``--foreach`` and ``--foreach-file`` stand for, as it is now: a table of values."""

from __future__ import annotations

import glob
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import has_magic
from datalad_hpc.placeholders import recordable
from datalad_hpc.sweeps import Values, combined, refuse_names, used_in

MOST_TASKS = 1_000_000
"""More combinations than that are a mistake, and would fill the memory."""


def table_of(
    here: Path, foreach: Mapping[str, Sequence[Any]] | Sequence[str], file: str | None
) -> tuple[Values, ...]:
    """The values of each task; empty where no sweep is asked for.

    Parameters
    ----------
    here:
      Folder that globs and the file are relative to.
    foreach:
      ``NAME=VALUES`` each, globs among the values being matched, or values by name as they are.
    file:
      Path of a table.

    Raises
    ------
    BadRequest
      Something cannot be read, has no values, or is too much.
    """
    columns = [_column(*each) for each in _by_name(here, foreach)]
    tables = [*columns, _read(here / file)] if file else columns
    number = 1
    for table in tables:
        number *= len(table)
    if number > MOST_TASKS:
        raise BadRequest(f"these are {number} combinations, more than {MOST_TASKS} tasks")
    return combined(tables) if tables else ()


def _by_name(here: Path, foreach: Any) -> list[tuple[str, Sequence[str]]]:
    if isinstance(foreach, Mapping):
        return [(name, [str(value) for value in values]) for name, values in foreach.items()]
    found: list[tuple[str, Sequence[str]]] = []
    for text in [foreach] if isinstance(foreach, str) else foreach or ():
        name, equals, values = str(text).partition("=")
        if not equals or not values:
            raise BadRequest(
                f"--foreach {text} cannot be read; write it like sub=sub-01,sub-02 or 'sub=sub-*'"
            )
        matched = [_matching(here, name, value) for value in values.split(",")]
        found.append((name, [value for values in matched for value in values]))
    return found


def _column(name: str, values: Sequence[str]) -> list[Values]:
    refuse_names([name])
    if not values:
        raise BadRequest(f"{{{name}}} has no values")
    return [{name: value} for value in dict.fromkeys(values)]


def _matching(here: Path, name: str, text: str) -> list[str]:
    """What a value stands for: itself, or all that it matches as a glob."""
    if not has_magic(text):
        return [text]
    found = sorted(glob.glob(text, root_dir=here, recursive=True))
    if not found:
        raise BadRequest(f"{{{name}}} has no values: nothing in {here} matches {text!r}")
    return found


def _read(path: Path) -> list[Values]:
    import csv

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadRequest(f"the table {path} cannot be read: {reason}") from error
    lines = io.StringIO(text, newline="")
    if path.suffix.lower() == ".csv":
        rows = list(csv.reader(lines))
    else:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    names, *rows = [row for row in rows if any(row)] or [[]]
    if not rows:
        raise BadRequest(f"the table {path} has no rows below the line with the names of columns")
    return [_row(path, names, row) for row in rows]


def _row(path: Path, names: Sequence[str], row: Sequence[str]) -> Values:
    if len(row) != len(names):
        raise BadRequest(
            f"the table {path} has {len(names)} columns, but a row with {len(row)}: "
            f"{', '.join(row)}"
        )
    return dict(zip(names, row, strict=True))


def used(table: Sequence[Values], texts: Sequence[str]) -> tuple[Values, ...]:
    """A table with the columns that stand as placeholders in texts.

    Raises
    ------
    BadRequest
      None does, or one cannot stand there.
    """
    names = used_in(texts, table[0])
    if not names:
        known = ", ".join(f"{{{name}}}" for name in table[0])
        raise BadRequest(f"the command and its outputs use no value of the sweep ({known})")
    refuse_names(names)
    return tuple({name: _sound(name, row[name]) for name in names} for row in table)


def _sound(name: str, value: str) -> str:
    if not value or "\n" in value:
        raise BadRequest(f"{{{name}}} has a value that is empty or has a line break: {value!r}")
    return recordable(f"a value of {{{name}}}", value)
