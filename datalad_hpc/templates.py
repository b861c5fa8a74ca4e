"""Pure: outputs that each task of an array has for itself, as templates with ``{task}``.

A template is a path relative to the dataset's root. ``{task}`` in it stands for
the index of a task; all other braces are doubled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

from datalad_hpc.errors import BadRequest

TASK = "task"
"""Name of the placeholder."""

_PLACEHOLDER = f"{{{TASK}}}"
_BESIDE_A_GLOB = re.compile(r"\{task\}[0-9]*[*?\[]|[*?\]][0-9]*\{task\}")


def refuse_variants(path: str) -> None:
    """Refuse what would give the index another form, such as ``{task:03}``.

    Raises
    ------
    BadRequest
      There is such a placeholder.
    """
    for name, spec, conversion in _fields(path):
        if re.split(r"[.\[]", name)[0] == TASK and (name != TASK or spec or conversion):
            raise BadRequest(
                f"{path!r} wants the index of a task in a form of its own; {_PLACEHOLDER} stands "
                "for the plain number only"
            )


def is_template(text: str) -> bool:
    """Whether a text has ``{task}`` in it and no other placeholder."""
    try:
        fields = _fields(text)
    except ValueError:
        return False
    return bool(fields) and all(field == (TASK, "", None) for field in fields)


def _fields(text: str) -> list[tuple[str, str | None, str | None]]:
    return [
        (name, spec, conversion)
        for _, name, spec, conversion in Formatter().parse(text)
        if name is not None
    ]


def template_of(path: str, marks: Mapping[str, str]) -> str:
    """The template for a path in which marks, by name, stand for placeholders.

    Raises
    ------
    BadRequest
      What one task writes there could be another one's as well.
    """
    template = path.replace("{", "{{").replace("}", "}}")
    for name, mark in marks.items():
        template = template.replace(mark, f"{{{name}}}")
    if _BESIDE_A_GLOB.search(template):
        raise BadRequest(
            f"in {template!r} a glob stands right beside {_PLACEHOLDER}, so that what task 1 "
            f"writes could not be told from what task 11 does; put something between the two, "
            f"such as '{_PLACEHOLDER}-*'"
        )
    return template


def path_of(template: str, task: int) -> str:
    """The path, or glob, that a template stands for with one task."""
    return template.format(task=task)


def glob_of(template: str) -> str:
    """A glob that covers what the template stands for with any task."""
    return template.format(task="*").rstrip("/")
