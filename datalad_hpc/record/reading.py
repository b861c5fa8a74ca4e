"""A commit message → the record in it."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from datalad_hpc.errors import BrokenRecord
from datalad_hpc.job import Request
from datalad_hpc.record.fields import sound_fields
from datalad_hpc.record.layout import END, MARKER, START, Record
from datalad_hpc.templates import glob_of

_SUBJECT = re.compile(r"Slurm job (?P<job_id>[^:\n]*): (?P<state>[^\n]*)")


def read_record(message: str) -> Record | None:
    """The record in a commit message, ours or datalad-slurm's; ``None`` where there is none.

    Raises
    ------
    BrokenRecord
      The marker is there, but what follows cannot be used.
    """
    if not message.startswith(MARKER):
        return None
    # The last marker counts: a user's own message may quote one.
    end = message.rfind(END)
    start = message.rfind(START, 0, max(end, 0))
    if start < 0:
        raise BrokenRecord("the lines between the markers of the record are missing")
    fields = sound_fields(message[start + len(START) : end])
    text = message[len(MARKER) : start].removeprefix(" ")
    subject = _SUBJECT.match(text)
    return Record(
        request=_request(fields),
        dataset_id=fields["dsid"],
        job_id=str(fields.get("slurm_job_id", "")),
        state=subject["state"].strip() if subject else "",
        messages=text.partition("\n")[2].strip("\n"),
        tasks=fields["hpc"]["tasks"],
        covers=fields["hpc"]["covers"],
    )


def _request(fields: dict[str, Any]) -> Request:
    # datalad-slurm lists the logs among the outputs, and writes "./out".
    logs = {posixpath.normpath(path) for path in fields["slurm_outputs"]}
    outputs = [path for path in fields["outputs"] if posixpath.normpath(path) not in logs]
    task_outputs = fields["hpc"]["task_outputs"]
    of_tasks = set(map(glob_of, task_outputs))
    return Request(
        command=fields["cmd"],
        folder="" if fields["pwd"] == "." else fields["pwd"],
        inputs=tuple(fields["inputs"]),
        extra_inputs=tuple(fields["extra_inputs"]),
        outputs=tuple(path for path in outputs if path not in of_tasks),
        task_outputs=tuple(task_outputs),
        chain=tuple(fields["chain"]),
    )
