"""Rows of the tables and the values that they stand for; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timezone
from typing import Any

from datalad_hpc.claims import stem_of
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job, JobState, Part, Request
from datalad_hpc.member import Member
from datalad_hpc.status import Phase, TaskStatus
from datalad_hpc.store.attempt_json import attempt_json, attempt_of

PLAIN_TASK = -1
"""Number under which the one task of a plain job is kept."""

JOB_COLUMNS = (
    "key",
    "token",
    "state",
    "scheduler",
    "cluster",
    "job_id",
    "created",
    "submitted",
    "command",
    "folder",
    "inputs",
    "message",
    "details",
    "commit",
    "ref",
    "note",
    "batch",
    "cancelled",
)
"""What :func:`job_of` takes, in its order."""

_parse = json.JSONDecoder().raw_decode

_OF_TASK = {field.name for field in fields(TaskStatus)}
"""What is kept of a task's end besides is for other readers."""

_STATES = {state.value: state for state in JobState}
_KINDS = {kind.value: kind for kind in ClaimKind}
_ROLES = {role.value: role for role in ClaimRole}


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(timezone.utc)


def job_row(job: Job, scope: str) -> dict[str, Any]:
    """The row of a job that has none yet."""
    request = asdict(job.request)
    # Each task's values have a row of their own.
    del request["sweep"]
    return {
        "scope": scope,
        "token": job.token,
        "state": job.state.value,
        "scheduler": job.scheduler,
        "cluster": job.cluster,
        "job_id": job.job_id,
        "created": job.created.isoformat(),
        "submitted": job.submitted.isoformat() if job.submitted else None,
        "command": request.pop("command"),
        "folder": request.pop("folder"),
        "inputs": json.dumps(request.pop("inputs")),
        "message": request.pop("message"),
        "details": json.dumps(
            {
                "request": request,
                "script": job.script,
                "submit_line": job.submit_line,
                "tasks": job.tasks,
                "head": job.head,
                "worktree": job.worktree,
                "environment": job.environment,
                "depends_on": job.depends_on,
                "members": [asdict(member) for member in job.members],
                "attempts": [attempt_json(attempt) for attempt in job.attempts],
                "tried": job.tried,
            }
        ),
        "commit": job.commit,
        "ref": job.ref,
        "note": job.note,
        "batch": job.batch,
    }


def job_of(row: Sequence[Any], claims: Iterable[Claim], parts: Sequence[Part] = ()) -> Job:
    """The job that a row of :data:`JOB_COLUMNS` stands for; written to be quick with thousands."""
    (key, token, state, scheduler, cluster, job_id, created, submitted) = row[:8]
    (command, folder, inputs, message, details, commit, ref, note, batch, cancelled) = row[8:]
    more = _parse(details)[0]
    # What JSON has made lists of were tuples.
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in more["request"].items()
    }
    if parts:
        asked["sweep"] = tuple(part.values for part in parts)
    return Job(
        key=key,
        token=token,
        state=_STATES[state],
        scheduler=scheduler,
        cluster=cluster,
        job_id=job_id,
        created=datetime.fromisoformat(created),
        submitted=datetime.fromisoformat(submitted) if submitted else None,
        request=Request(command, folder, tuple(_parse(inputs)[0]), message=message, **asked),
        script=more["script"],
        submit_line=tuple(more["submit_line"]),
        tasks=_indices(more["tasks"]),
        head=more["head"],
        worktree=more.get("worktree", ""),
        environment=more.get("environment", {}),
        depends_on=tuple(more.get("depends_on", ())),
        members=tuple(map(_member_of, more.get("members", ()))),
        attempts=tuple(map(attempt_of, more.get("attempts", ()))),
        tried=_indices(more.get("tried")),
        commit=commit,
        ref=ref,
        note=note,
        batch=batch,
        cancelled=datetime.fromisoformat(cancelled) if cancelled else None,
        claims=tuple(claims),
        parts=tuple(parts),
    )


def _member_of(told: dict[str, Any]) -> Member:
    line = tuple(told.pop("submit_line"))
    return Member(tasks=_indices(told.pop("tasks")), submit_line=line, **told)


def _indices(told: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if told is None else tuple(told)


def id_text(job_id: str) -> str:
    """What stands in the details of a job that has a member or attempt of this id, only there."""
    return f'{{"job_id": {json.dumps(job_id)}, "cluster": '


def resources_of(details: str) -> Mapping[str, str]:
    """:attr:`Request.resources` in the details of a job."""
    resources: dict[str, str] = _parse(details)[0]["request"].get("resources", {})
    return resources


ANY_ATTEMPT = '"attempts": [{'
"""What stands in the details of a job that was submitted more than once."""


def resources_of_attempts(details: str) -> dict[str, Mapping[str, str]]:
    """:attr:`Attempt.resources` of the earlier submissions of a job, by their ids."""
    return {each["job_id"]: each["resources"] for each in _parse(details)[0]["attempts"]}


def worktree_of(details: str) -> str:
    """What :attr:`Job.worktree` is for this column of the job's row."""
    return str(_parse(details)[0].get("worktree", ""))


def claim_row(job: int, claim: Claim) -> dict[str, Any]:
    """The row of a claim."""
    return {
        "job": job,
        "path": claim.path,
        "kind": claim.kind.value,
        "role": claim.role.value,
        "task": claim.task,
        "stem": stem_of(claim),
    }


def claim_of(
    path: str, kind: str, role: str = ClaimRole.OUTPUT.value, task: int | None = None
) -> Claim:
    """The claim that columns of its row stand for."""
    return Claim(path, _KINDS[kind], _ROLES[role], task)


def label_of(job_id: str, token: str) -> str:
    """What :attr:`Job.label` is for columns of the job's row."""
    return job_id or f"submission-{token[:8]}"


def part_row(job: int, index: int, values: Mapping[str, str]) -> dict[str, Any]:
    """The row of a task of a sweep, of which nothing is known but its values."""
    return {
        "job": job,
        "number": index,
        "sweep_values": json.dumps(values),
        "state": "",
        "facts": "{}",
        "commit": "",
        "standing": JobState.OPEN.value,
        "ref": "",
    }


def part_of(number: int, values: str, standing: str, commit: str, ref: str, cancelled: str) -> Part:
    """The task of a sweep that columns of its row stand for."""
    return Part(number, _STATES[standing], commit, ref, _parse(values)[0], bool(cancelled))


def task_row(job: int, task: TaskStatus, commit: str) -> dict[str, Any]:
    """The row of a task that has ended."""
    number = PLAIN_TASK if task.index is None else task.index
    return {
        "job": job,
        "number": number if task.number is None else task.number,
        "sweep_values": "{}",
        **end_of(task),
        "commit": commit,
        "standing": "",
        "ref": "",
    }


def end_of(task: TaskStatus) -> dict[str, str]:
    """Columns with what became of a task."""
    facts = {
        "reason": task.reason,
        "exit_code": task.exit_code,
        "signal": task.signal,
        "elapsed": task.elapsed,
        "cpu_time": task.cpu_time,
        "peak_memory": task.peak_memory,
        "nodes": task.nodes,
        "started": task.started.isoformat() if task.started else None,
        "ended": task.ended.isoformat() if task.ended else None,
        **({"job_id": task.job_id, "index": task.index} if task.job_id else {}),
        **({"missing": task.missing} if task.missing else {}),
    }
    return {"state": task.state, "facts": json.dumps(facts)}


def ended_task(number: int, state: str, facts: str) -> TaskStatus:
    """What became of a task, of the columns of its row: the other way round than :func:`end_of`."""
    told = _parse(facts)[0]
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in told.items()
        if name in _OF_TASK
    }
    for name in ("started", "ended"):
        known[name] = datetime.fromisoformat(known[name]) if known.get(name) else None
    known.setdefault("index", None if number == PLAIN_TASK else number)
    if known.get("job_id"):
        known["number"] = number
    phase = Phase.COMPLETED if state == "COMPLETED" else Phase.FAILED
    return TaskStatus(state=state, phase=phase, **known)
