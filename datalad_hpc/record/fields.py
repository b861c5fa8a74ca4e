"""The fields of a record, as far as they are what they have to be."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from datalad_hpc.errors import BrokenRecord
from datalad_hpc.templates import is_template

_NO_ARGUMENT = re.compile("[\0\ud800-\udfff]")
_OPTION = re.compile("[a-z][a-z-]{0,63}")
MOST_OPTIONS = 100
LONGEST_VALUE = 1000
"""What the resources in a record may have at most: sbatch has about 120 options."""

_TYPES: dict[str, type] = {
    "cmd": str,
    "outputs": list,
    "inputs": list,
    "extra_inputs": list,
    "slurm_outputs": list,
    "chain": list,
    "pwd": str,
    "dsid": str,
}
_REQUIRED = ("cmd", "outputs")
_REQUIRED_OF_CORE = ("cmd",)
"""Core's ``run`` needs no outputs."""


def sound_fields(text: str, *, is_cores: bool = False) -> dict[str, Any]:
    """The fields of a record; those that may be missing are there, and empty.

    Parameters
    ----------
    text:
      What stands between the marker lines.
    is_cores:
      Whether core's marker stands before it.

    Raises
    ------
    BrokenRecord
      It is no JSON, or a field is not what it has to be.
    """
    fields = _object(text)
    if is_cores:
        fields["cmd"] = _one_line(fields.get("cmd"))
        _refuse_no_number("exit", fields.setdefault("exit", 0))
    for name in _REQUIRED_OF_CORE if is_cores else _REQUIRED:
        if not isinstance(fields.get(name), _TYPES[name]):
            raise BrokenRecord(f"its field {name!r} is missing or not a {_called(_TYPES[name])}")
    for name, kind in _TYPES.items():
        # datalad-slurm writes null where a dataset has no id.
        value: Any = kind() if fields.get(name) is None else fields[name]
        if not isinstance(value, kind):
            raise BrokenRecord(f"its field {name!r} is not a {_called(kind)}")
        fields[name] = value
        texts = value if isinstance(value, list) else [value]
        if not all(map(is_text, texts)):
            raise BrokenRecord(
                f"its field {name!r} holds something that is not text or has no place in a name"
            )
    if not fields["cmd"].strip():
        raise BrokenRecord("its field 'cmd' is empty")
    fields["hpc"] = _sound_own_part(fields.get("hpc"))
    return fields


def _object(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Also numbers that are too long, and lists in lists without end.
        raise BrokenRecord(f"it is not valid JSON ({error})") from None
    if not isinstance(fields, dict):
        raise BrokenRecord("it is not a JSON object")
    return fields


def _one_line(command: Any) -> Any:
    """Core's command, which is a list of words in old records; one word is a line already."""
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return command
    words = command[command[:1] == ["--"] and len(command) > 1 :]
    return words[0] if len(words) == 1 else shlex.join(words)


def _refuse_no_number(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BrokenRecord(f"its field {name!r} is not a number")


def _sound_own_part(own: Any) -> dict[str, Any]:
    """What is ours alone, as far as it is read again."""
    known: dict[str, Any] = {
        "tasks": {},
        "covers": "",
        "task_outputs": [],
        "resources": {},
        "submits": False,
        "container": "",
    }
    known |= own if isinstance(own, dict) else {}
    tasks, templates = known["tasks"], known["task_outputs"]
    sound = isinstance(tasks, dict) and isinstance(templates, list)
    if not (sound and all(map(is_text, [*tasks.values(), *templates, known["covers"]]))):
        raise BrokenRecord("what its field 'hpc' tells of an array's tasks cannot be used")
    if not all(map(is_template, templates)):
        raise BrokenRecord("its field 'hpc.task_outputs' holds something without a lone {task}")
    container = known["container"]
    named = is_text(container) and len(container) <= LONGEST_VALUE
    if not (isinstance(known["submits"], bool) and named):
        raise BrokenRecord("its field 'hpc.submits' or 'hpc.container' cannot be used")
    known["resources"] = _sound_resources(known["resources"])
    return known


def _sound_resources(told: Any) -> dict[str, str]:
    """Options by name; which of them are taken from a record is not decided here."""
    if not isinstance(told, dict) or len(told) > MOST_OPTIONS:
        raise BrokenRecord("its field 'hpc.resources' is no object of a few options")
    for name, value in told.items():
        sound = is_text(value) and len(value) <= LONGEST_VALUE
        # A line break would be a line of the script.
        if not (sound and _OPTION.fullmatch(name) and value.isprintable()):
            raise BrokenRecord(f"its field 'hpc.resources' has no usable value for {name[:40]!r}")
    return told


def _called(kind: type) -> str:
    return "list" if kind is list else "text"


def is_text(value: Any) -> bool:
    """Whether it can be an argument of a program; JSON can spell NUL and half characters."""
    return isinstance(value, str) and not _NO_ARGUMENT.search(value)
