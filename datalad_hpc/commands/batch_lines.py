"""The lines of a batch: what each job is to be, as JSON or as on the command line."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from datalad.cli.parser import ArgumentParserDisableAbbrev, setup_parser_for_interface

from datalad_hpc.batches.lines import dry_run_batch, schedule_batch
from datalad_hpc.batches.turns import Batch, Line
from datalad_hpc.commands.schedule import Schedule, of_job
from datalad_hpc.commands.schedule_options import PARAMETERS
from datalad_hpc.commands.shared import chosen_scheduler, opened
from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.plans.requests import make_request
from datalad_hpc.results import Result, as_results
from datalad_hpc.scheduling import ACTION
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

STANDARD_INPUT = "-"

OF_BATCH = ("dataset", "dry_run", "list_templates", "batch")
"""Parameters that can be given beside a batch only, for all of its lines."""

KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int | None": (lambda value: type(value) is int, "a whole number"),
    "str | None": (lambda value: _is_text(value), "text"),
    "Any": (lambda value: _is_text(value) or _is_texts(value), "text or a list of texts"),
}
"""What a value has to be, by the annotation of its parameter."""

WIDER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "foreach": (
        lambda value: _is_text(value) or _is_texts(value) or _is_table(value),
        "text, a list of texts, or lists of values by name",
    ),
    "after": (
        lambda value: _is_id(value) or _are_ids(value),
        "a job id or a list of them",
    ),
}
"""The same of parameters that take more."""


def schedule_lines(workplace: Workplace, asked: Mapping[str, Any]) -> Iterator[Result]:
    """Schedule, or only show, what all lines of a batch ask for.

    Parameters
    ----------
    workplace:
      Where they are scheduled.
    asked:
      All parameters of ``schedule``.
    """

    def understood(line: Line) -> tuple[Request, str]:
        request = make_request(workplace, **of_job(line.asked))
        return request, chosen_scheduler(workplace, line.asked.get("scheduler"))

    with as_results(ACTION, workplace.root, "batch") as results:
        batch = read_batch(asked["batch"], asked)
        if asked["dry_run"]:
            yield from dry_run_batch(workplace, batch, understood)
        else:
            with opened(workplace) as (store, named):
                yield from schedule_batch(workplace, store, named, batch, understood)
    yield from results


def read_batch(source: Any, asked: Mapping[str, Any]) -> Batch:
    """Read all lines, and check what they ask for as far as a line alone tells.

    Parameters
    ----------
    source:
      Path of a file, ``-`` for standard input, or a list of the lines themselves: each
      a text, or a mapping as JSON would give it.
    asked:
      Parameters that were given beside it: what a line does not say.

    Raises
    ------
    BadRequest
      The file cannot be read, or some lines cannot be understood; all of these are named.
    """
    name, entries = _entries(source)
    for_all = {name: value for name, value in asked.items() if name not in OF_BATCH}
    lines, complaints = [], []
    for number, entry in entries:
        try:
            if said := _understood(entry):
                lines.append(Line(number, {**for_all, **said}))
        except BadRequest as error:
            complaints.append(f"line {number}: {error}")
    if complaints:
        raise BadRequest(f"{name} cannot be used: {some_of(complaints, '; ')}")
    if not lines:
        raise BadRequest(f"{name} has no line that asks for a job")
    return Batch(name, tuple(lines))


def _entries(source: Any) -> tuple[str, Iterable[tuple[int, Any]]]:
    """The name of a batch, and its lines with their numbers."""
    if not isinstance(source, str | os.PathLike):
        return "the batch", enumerate(source, 1)
    if source == STANDARD_INPUT:
        return "standard input", enumerate(sys.stdin.buffer.read().split(b"\n"), 1)
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise BadRequest(f"{source} cannot be read: {error.strerror}") from error
    return os.fspath(source), enumerate(content.split(b"\n"), 1)


def _understood(entry: Any) -> dict[str, Any]:
    """What a line asks for; nothing where it is empty or a comment."""
    if isinstance(entry, bytes):
        try:
            entry = entry.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadRequest("it is not UTF-8") from error
    if isinstance(entry, str):
        text = entry.strip()
        if not text or text.startswith("#"):
            return {}
        entry = _from_json(text) if text.startswith("{") else _from_words(text)
    if not isinstance(entry, Mapping):
        raise BadRequest(f"{entry!r} is neither text nor a mapping of parameters")
    _refuse_unknown(entry)
    return {name: value for name, value in entry.items() if value is not None}


def _from_json(text: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"it is not valid JSON ({error})") from error
    return said


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRequest(f"it says {twice[0]!r} twice")
    return dict(pairs)


def _refuse_unknown(said: Mapping[str, Any]) -> None:
    known = [name for name in _annotations() if name not in OF_BATCH]
    for name, value in said.items():
        if name in OF_BATCH:
            raise BadRequest(f"{name!r} is for all lines: give it beside the batch")
        if name not in known:
            raise BadRequest(f"{name!r} is not known; known are {', '.join(known)}")
        if value is not None:
            _refuse_unfit(name, value)


def _refuse_unfit(name: str, value: Any) -> None:
    """Refuse a value of the wrong kind, or one that the command line would refuse."""
    is_fit, kind = WIDER.get(name) or KINDS[_annotations()[name]]
    if not is_fit(value):
        raise BadRequest(f"{name!r} is {value!r}, but has to be {kind}")
    _converted(name, value)


@cache
def _annotations() -> dict[str, str]:
    parameters = inspect.signature(Schedule.__call__).parameters
    return {name: parameter.annotation for name, parameter in parameters.items()}


def _converted(name: str, value: Any) -> Any:
    """A value as the parameter's own rule takes it."""
    rule = PARAMETERS[name].constraints
    try:
        return value if rule is None else rule(value)
    except ValueError as error:
        wanted = rule.short_description()
        raise BadRequest(f"{name!r} is {value!r}, but has to be {wanted}") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_are_ids, value.values()))


def _are_ids(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_id, value))


def _is_id(value: Any) -> bool:
    return _is_text(value) or type(value) is int


class _Parser(ArgumentParserDisableAbbrev):
    """The parser of ``datalad schedule`` itself, for a line of a file."""

    def error(self, message: str) -> Any:
        raise BadRequest(f"{message}; it is read as the command line of `datalad schedule` is")


@cache
def _parser() -> _Parser:
    parser = _Parser(prog="datalad schedule", add_help=False)
    setup_parser_for_interface(parser, Schedule)
    for action in parser._actions:
        # Only what a line says counts, and is converted as in JSON.
        action.default = SUPPRESS
        action.type = None
    return parser


def _from_words(text: str) -> dict[str, Any]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadRequest(f"it cannot be split into words ({error})") from error
    if words[:2] == ["datalad", "schedule"]:
        words = words[2:]
    return {name: _of_words(name, value) for name, value in _said(words)}


def _said(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """What was given; a line may leave the command to what was given beside the batch."""
    found = vars(_parser().parse_args(words))
    return ((name, value) for name, value in found.items() if value not in ([], ["--"]))


def _of_words(name: str, value: Any) -> Any:
    return _converted(name, value) if isinstance(value, str) else value
