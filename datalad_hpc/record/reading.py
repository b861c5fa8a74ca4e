"""A commit message → the record in it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from string import Formatter
from typing import Any

from datalad_hpc.errors import BrokenRecord
from datalad_hpc.job import Request
from datalad_hpc.record.fields import sound_fields
from datalad_hpc.record.layout import (
    COMPLETED,
    CORE_MARKER,
    END,
    MARKER,
    START,
    Record,
    short_command,
)
from datalad_hpc.templates import glob_of

_SUBJECT = re.compile(r"Slurm job (?P<job_id>[^:\n]*): (?P<state>[^\n]*)")


_SIDECAR = re.compile('"(?P<name>[0-9a-f]{32})"')
"""What core writes in the place of a record that it keeps in a file."""


def read_record(message: str, sidecar: Callable[[str], str] | None = None) -> Record | None:
    """The record in a commit message; ``None`` where there is none.

    It may be ours, datalad-slurm's, or one of DataLad core's ``run``.

    Parameters
    ----------
    sidecar:
      Gives the text of a record that core has put into a file, by the file's name.

    Raises
    ------
    BrokenRecord
      The marker is there, but what follows cannot be used.
    """
    marker = next((each for each in (MARKER, CORE_MARKER) if message.startswith(each)), "")
    if not marker:
        return None
    # The last marker counts: a user's own message may quote one.
    end = message.rfind(END)
    start = message.rfind(START, 0, max(end, 0))
    if start < 0 and marker == CORE_MARKER:
        # To core this is no record either.
        return None
    if start < 0:
        raise BrokenRecord("the lines between the markers of the record are missing")
    told = message[start + len(START) : end]
    if sidecar and marker == CORE_MARKER and (found := _SIDECAR.fullmatch(told.strip())):
        told = sidecar(found["name"])
    fields = sound_fields(told, is_cores=marker == CORE_MARKER)
    text = message[len(marker) : start].removeprefix(" ")
    return _of_core(fields, text) if marker == CORE_MARKER else _of_job(fields, text)


def _of_job(fields: dict[str, Any], text: str) -> Record:
    # datalad-slurm lists the logs among the outputs, and writes "./out".
    logs = {posixpath.normpath(path) for path in fields["slurm_outputs"]}
    outputs = [path for path in fields["outputs"] if posixpath.normpath(path) not in logs]
    subject = _SUBJECT.match(text)
    return Record(
        request=_request(fields, outputs),
        dataset_id=fields["dsid"],
        job_id=str(fields.get("slurm_job_id", "")),
        state=subject["state"].strip() if subject else "",
        messages=text.partition("\n")[2].strip("\n"),
        tasks=fields["hpc"]["tasks"],
        covers=fields["hpc"]["covers"],
        own=fields["hpc"],
    )


def _of_core(fields: dict[str, Any], text: str) -> Record:
    """What core's ``run`` has written, whose paths are relative to its folder and may be filled."""
    for name in ("inputs", "extra_inputs"):
        fields[name] = list(map(_filled, fields[name]))
    folder = posixpath.normpath(fields["pwd"] or ".")
    # Not normalised: a link on the way may lead elsewhere.
    outputs = [posixpath.join(folder, _filled(path)) for path in fields["outputs"] if path]
    text = text.strip("\n")
    return Record(
        request=_request(fields, [path.removeprefix("./") for path in outputs]),
        dataset_id=fields["dsid"],
        job_id=str(fields.get("slurm_job_id", "")),
        state=COMPLETED if fields["exit"] == 0 else "Failed",
        messages="" if text == short_command(fields["cmd"]) else text,
        is_cores=True,
        own=fields["hpc"],
    )


def _filled(path: str) -> str:
    """A path as core fills it in, where a lone brace is doubled.

    A placeholder is left as it is: only the dataset's settings could tell what it stands for.
    """
    try:
        pieces = list(Formatter().parse(path))
    except ValueError:
        return path
    if any(name is not None for _, name, _, _ in pieces):
        return path
    return "".join(literal for literal, *_ in pieces)


def _request(fields: dict[str, Any], outputs: Iterable[str]) -> Request:
    own = fields["hpc"]
    of_tasks = set(map(glob_of, own["task_outputs"]))
    return Request(
        command=fields["cmd"],
        folder="" if fields["pwd"] == "." else fields["pwd"],
        inputs=tuple(fields["inputs"]),
        extra_inputs=tuple(fields["extra_inputs"]),
        outputs=tuple(path for path in outputs if path not in of_tasks),
        task_outputs=tuple(own["task_outputs"]),
        chain=tuple(fields["chain"]),
        submits=own["submits"],
        resources=own["resources"],
        container=own["container"],
    )
