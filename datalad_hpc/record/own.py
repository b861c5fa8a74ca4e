"""What a record says beyond datalad-slurm's: of plain commands, and for core's ``rerun``."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from datalad_hpc.facts import IDENTITY_OPTIONS, reason_text, script_text
from datalad_hpc.job import Job, Request
from datalad_hpc.placeholders import is_submission
from datalad_hpc.record.layout import Style
from datalad_hpc.status import JobStatus, Phase

LONGEST_SCRIPT = 4096
"""Bytes of a batch script that stand in a commit message; of others there is a hash."""


def is_plain(request: Request) -> bool:
    """Whether the command is run as the job, and so can be run without a scheduler as well."""
    return not (request.submits or is_submission(request.command))


def of_request(job: Job, style: Style, waited_for: Sequence[str]) -> dict[str, Any]:
    """What was asked for besides a command and its files, and where; nothing that is empty."""
    request = job.request
    script = _script(job.script, style) if is_plain(request) else {}
    told = {
        **script,
        "resources": _resources(request.resources, style),
        "submits": request.submits,
        "container": request.container,
        "environment": dict(job.environment),
        "waited_for": list(waited_for),
    }
    return {name: value for name, value in told.items() if value}


def of_part(job: Job, status: JobStatus, style: Style) -> dict[str, Any]:
    """Which task of a sweep it is, and what no facts file tells of it."""
    part, task = job.parts[0], status.tasks[0]
    told = {
        "reason": reason_text(task.reason, with_identity=style.with_identity),
        "signal": task.signal,
        "started": task.started.isoformat() if task.started else None,
        "ended": task.ended.isoformat() if task.ended else None,
    }
    known = {name: value for name, value in told.items() if value not in ("", None)}
    return {"task": part.index, "values": dict(part.values), **known}


def _script(script: str, style: Style) -> dict[str, str]:
    """The batch script that was made for a command, as the facts file has it, or its hash."""
    text = script_text(script, style.root, with_identity=style.with_identity)
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= LONGEST_SCRIPT and data.decode("utf-8", "replace") == text:
        return {"script": text}
    return {"script_sha256": hashlib.sha256(data).hexdigest()}


def _resources(resources: Mapping[str, str], style: Style) -> dict[str, str]:
    if style.with_identity:
        return dict(resources)
    return {name: resources[name] for name in resources if name not in IDENTITY_OPTIONS}


def for_core(record: Mapping[str, Any], status: JobStatus) -> dict[str, Any]:
    """A record as core's ``rerun`` takes it: paths relative to the folder, braces doubled."""
    told = {**record, "exit": _exit_code(status)}
    told["outputs"] = [_seen_from(record["pwd"], path) for path in record["outputs"]]
    for name in ("inputs", "extra_inputs", "outputs"):
        told[name] = [path.replace("{", "{{").replace("}", "}}") for path in told[name]]
    if not told["dsid"]:
        # An empty one would be that of another dataset.
        del told["dsid"]
    return told


def _seen_from(folder: str, path: str) -> str:
    return posixpath.relpath(path, folder) + "/" * path.endswith("/")


def _exit_code(status: JobStatus) -> int:
    """As a shell would have told it; 1 where a failed job left none, such as after a time-out."""
    failed = next((task for task in status.tasks if task.phase is not Phase.COMPLETED), None)
    if failed is None:
        return 0
    return failed.exit_code or (128 + failed.signal if failed.signal else 1)
