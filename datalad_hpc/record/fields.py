"""The fields of a record, as far as they are what they have to be."""

from __future__ import annotations

import json
import re
from typing import Any

from datalad_hpc.errors import BrokenRecord
from datalad_hpc.templates import is_template

_NO_ARGUMENT = re.compile("[\0\ud800-\udfff]")

_REQUIRED = {"cmd": str, "outputs": list}
_OPTIONAL = {
    "inputs": list,
    "extra_inputs": list,
    "slurm_outputs": list,
    "chain": list,
    "pwd": str,
    "dsid": str,
}


def sound_fields(text: str) -> dict[str, Any]:
    """The fields of a record; those that may be missing are there, and empty.

    Raises
    ------
    BrokenRecord
      It is no JSON, or a field is not what it has to be.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Also numbers that are too long, and lists in lists without end.
        raise BrokenRecord(f"it is not valid JSON ({error})") from None
    if not isinstance(fields, dict):
        raise BrokenRecord("it is not a JSON object")
    for name, kind in _REQUIRED.items():
        if not isinstance(fields.get(name), kind):
            raise BrokenRecord(f"its field {name!r} is missing or not a {_called(kind)}")
    for name, kind in {**_REQUIRED, **_OPTIONAL}.items():
        # datalad-slurm writes null where a dataset has no id.
        value = fields[name] = kind() if fields.get(name) is None else fields[name]
        if not isinstance(value, kind):
            raise BrokenRecord(f"its field {name!r} is not a {_called(kind)}")
        if not all(map(_is_text, value if kind is list else [value])):
            raise BrokenRecord(
                f"its field {name!r} holds something that is not text or has no place in a name"
            )
    fields["hpc"] = _sound_own_part(fields.get("hpc"))
    return fields


def _sound_own_part(own: Any) -> dict[str, Any]:
    """What is ours alone, as far as it is read again."""
    known: dict[str, Any] = {"tasks": {}, "covers": "", "task_outputs": []}
    known |= own if isinstance(own, dict) else {}
    tasks, templates = known["tasks"], known["task_outputs"]
    sound = isinstance(tasks, dict) and isinstance(templates, list)
    if not (sound and all(map(_is_text, [*tasks.values(), *templates, known["covers"]]))):
        raise BrokenRecord("what its field 'hpc' tells of an array's tasks cannot be used")
    if not all(map(is_template, templates)):
        raise BrokenRecord("its field 'hpc.task_outputs' holds something without a lone {task}")
    return known


def _called(kind: type) -> str:
    return "list" if kind is list else "text"


def _is_text(value: Any) -> bool:
    """Whether it can be an argument of a program; JSON can spell NUL and half characters."""
    return isinstance(value, str) and not _NO_ARGUMENT.search(value)
