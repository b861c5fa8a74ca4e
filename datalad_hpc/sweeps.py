"""Pure: one request for many tasks, each with values of its own in the place of placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product

from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.placeholders import fill_known_in_shell_text

Values = Mapping[str, str]
"""What the placeholders of a task stand for, by name."""

OURS = ("inputs", "outputs", "pwd", "dspath", "tmpdir", "task")
"""Names that have a meaning already."""


def task_request(request: Request, values: Values) -> Request:
    """The request of one task of a sweep: that of a plain job, but for the outputs.

    Its outputs are what the job's claims for the task say.

    Raises
    ------
    BadRequest
      A placeholder cannot be filled.
    """
    return replace(
        request,
        command=fill_known_in_shell_text(request.command, values),
        inputs=tuple(path.format(**values) for path in request.inputs),
        message=_in_message(request.message, values),
        outputs=(),
        task_outputs=(),
        sweep=(),
        max_concurrent=None,
    )


def _in_message(message: str, values: Values) -> str:
    """A message is text for people: what is no name of ours stays as it is."""
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], message)


def combined(tables: Iterable[Sequence[Values]]) -> tuple[Values, ...]:
    """Every combination of the rows of tables, the last one changing fastest.

    Raises
    ------
    BadRequest
      Two tables have a name in common.
    """
    tables = list(tables)
    names = [name for table in tables for name in table[0]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRequest(f"{{{twice[0]}}} gets its values twice; give them once")
    rows = product(*tables)
    return tuple({name: row[name] for row in choice for name in row} for choice in rows)


def used_in(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """Those of some names that stand as placeholders in texts."""
    found = set(re.findall(r"\{(\w+)[^{}]*\}", "\n".join(texts)))
    return [name for name in names if name in found]


def refuse_names(names: Iterable[str]) -> None:
    """Refuse what cannot be a placeholder of a sweep.

    Raises
    ------
    BadRequest
      A name is not one, or has a meaning already.
    """
    for name in names:
        if not name.isidentifier() or not name.isascii():
            raise BadRequest(
                f"{name!r} cannot be the name of a placeholder; take letters, digits and '_' only"
            )
        if name in OURS:
            raise BadRequest(f"{{{name}}} has a meaning already; take another name")


_CASES = "case $SLURM_ARRAY_TASK_ID in\n0)\n"


def batch_script_body(commands: Sequence[str]) -> str:
    """The part of a batch script that runs the command of its task."""
    cases = (f"{index})\n{command}{_end_of(index)}" for index, command in enumerate(commands))
    return f"case $SLURM_ARRAY_TASK_ID in\n{''.join(cases)}esac"


def _end_of(index: int) -> str:
    return f"\n;; # end of task {index}\n"


def script_of_task(script: str, index: int) -> str:
    """The batch script of a sweep as it would be for one of its tasks alone.

    The whole script where it cannot be taken apart, as that of another version may be.
    """
    before, commands = _taken_apart(script)
    return f"{before}{commands[index]}\n" if index < len(commands) else script


@lru_cache(maxsize=4)
def _taken_apart(script: str) -> tuple[str, Sequence[str]]:
    """What stands before the commands of the tasks, and these."""
    before, _, rest = script.partition(_CASES)
    commands: list[str] = []
    at = 0
    while (end := rest.find(_end_of(len(commands)), at)) >= 0:
        commands.append(rest[at:end])
        at = end + len(_end_of(len(commands) - 1)) + len(f"{len(commands)})\n")
    return before, commands
