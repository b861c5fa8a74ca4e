"""What the records in commits tell of usage, and the facts files that they name."""

from __future__ import annotations

import json
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.history.records import RecordedCommit
from datalad_hpc.record import Record
from datalad_hpc.schedulers.arrays import array_indices
from datalad_hpc.spent import Asked, Measured, Spent, number
from datalad_hpc.usage.values import JobUse, TaskUse

LONGEST_FACTS_FILE = 2**27
"""Bytes: an array of a hundred thousand tasks has less."""


def of_records(root: Path, commits: Iterable[RecordedCommit]) -> list[JobUse]:
    """What recorded jobs used; the tasks of a sweep, a commit each, are one job again.

    Parameters
    ----------
    root:
      Where facts files may lie, which tell of each task of an array.
    commits:
      Those whose record is broken, or of no job, are passed over.
    """
    found: dict[Any, list[JobUse]] = {}
    sweeps: dict[Any, list[_Part]] = defaultdict(list)
    for commit in commits:
        if not (commit.record and commit.record.job_id):
            continue
        told = _Told(commit.commit, commit.record)
        if told.index is None:
            found[told.commit] = _of_job(root, told)
        else:
            for part in _parts(told, told.index):
                # In the place of the first of its tasks.
                found.setdefault(part.whose, [])
                sweeps[part.whose].append(part)
    found.update({whose: [_of_sweep(parts)] for whose, parts in sweeps.items()})
    return [use for uses in found.values() for use in uses]


@dataclass(frozen=True)
class _Told:
    """A record, and the commit that it is in."""

    commit: str
    record: Record

    @property
    def own(self) -> Mapping[str, Any]:
        return self.record.own

    @property
    def index(self) -> int | None:
        """Which task of a sweep it is."""
        index = self.own.get("task")
        is_one = isinstance(index, int) and self.record.job_id.endswith(f"_{index}")
        return index if is_one else None

    @property
    def state(self) -> str:
        """The scheduler's word for the only task."""
        word = self.own.get("state")
        return (word if isinstance(word, str) else self.record.state).upper().replace(" ", "_")

    @property
    def scheduler(self) -> str:
        return str(self.own.get("scheduler") or "")

    @property
    def of_jobs(self) -> dict[str, Any]:
        """What each job of a submission program used, by id."""
        told = self.own.get("usage_by_job")
        return told if isinstance(told, dict) else {}


@dataclass(frozen=True)
class _Part:
    """One task of a sweep, as it was tried once."""

    told: _Told
    job_id: str
    submitted: str
    asked: Asked
    use: TaskUse

    @property
    def whose(self) -> Any:
        """By what its sweep is told from others that had the id earlier, or elsewhere."""
        return self.job_id, self.submitted


def _parts(told: _Told, index: int) -> Iterable[_Part]:
    """The task as it was tried at last, and before."""
    suffix = f"_{index}"
    for job_id, used in told.of_jobs.items():
        if job_id != told.record.job_id and isinstance(used, dict):
            state = next(iter(_numbers(used.get("states"))), "")
            use = TaskUse(index, state, Measured.of_json(used), told.commit)
            asked, when = Asked.of_json(used.get("asked")), str(used.get("submitted"))
            yield _Part(told, job_id.removesuffix(suffix), when, asked, use)
    use = TaskUse(index, told.state, Measured.of_json(told.own), told.commit)
    asked, when = Asked.of_json(told.own.get("asked")), str(told.own.get("submitted"))
    yield _Part(told, told.record.job_id.removesuffix(suffix), when, asked, use)


def _of_sweep(parts: Sequence[_Part]) -> JobUse:
    first = parts[0]
    tasks = sorted((part.use for part in parts), key=lambda use: use.index or 0)
    command = first.told.record.request.command
    # One that was committed before Slurm's accounting knew of it tells less.
    asked = max((part.asked for part in parts), key=lambda asked: len(asked.as_json))
    return JobUse.of(first.job_id, first.told.scheduler, command, asked, tasks)


def _of_job(root: Path, told: _Told) -> list[JobUse]:
    record, own = told.record, told.own
    if told.of_jobs:
        return _of_each_id(root, told)
    asked, command = Asked.of_json(own.get("asked")), record.request.command
    if not record.tasks:
        task = TaskUse(None, told.state, Measured.of_json(own), told.commit)
        return [JobUse.of(record.job_id, told.scheduler, command, asked, [task])]
    usage = own.get("usage")
    spent = Spent.of_json({**own, **(usage if isinstance(usage, dict) else {})})
    states = {state: _count(spec) for state, spec in record.tasks.items()}
    use = JobUse(record.job_id, told.scheduler, command, asked, spent, states, (told.commit,))
    return [_with_tasks(use, _tasks(root, told))]


def _of_each_id(root: Path, told: _Told) -> list[JobUse]:
    """Of a submission program, or of an array that was tried again in part."""
    tasks = _tasks(root, told)
    uses = [
        JobUse(
            job_id,
            told.scheduler,
            told.record.request.command,
            Asked.of_json(used.get("asked")),
            Spent.of_json(used),
            _numbers(used.get("states")),
            (told.commit,),
        )
        for job_id, used in told.of_jobs.items()
        if isinstance(used, dict)
    ]
    return [_with_tasks(use, tasks) for use in uses]


def _with_tasks(use: JobUse, tasks: Mapping[str, Sequence[TaskUse]]) -> JobUse:
    """The job with its tasks, if they are known one by one."""
    found = tasks.get(use.job_id, tasks.get("", ()))
    return replace(use, tasks=found) if len(found) == use.number else use


def _numbers(states: Any) -> dict[str, int]:
    """How many tasks have which state."""
    told = states if isinstance(states, dict) else {}
    return {state: int(many) for state, many in told.items() if number(many)}


def _count(spec: Any) -> int:
    try:
        return len(array_indices(spec)) if isinstance(spec, str) else 0
    except BadRequest:
        return 0


def _tasks(root: Path, told: _Told) -> dict[str, list[TaskUse]]:
    """Each task by the id of its job, as the facts file has them; nothing if it is not here."""
    facts = _facts_file(root, told.own.get("facts"), told.record.job_id)
    found = facts.get("tasks")
    of_job: dict[str, list[TaskUse]] = defaultdict(list)
    for task in found if isinstance(found, list) else ():
        if isinstance(task, dict) and isinstance(task.get("index"), int | None):
            use = TaskUse(
                task.get("index"), str(task.get("state")), Measured.of_facts(task), told.commit
            )
            of_job[str(task.get("job_id", ""))].append(use)
    return of_job


def _facts_file(root: Path, path: Any, job_id: str) -> dict[str, Any]:
    """The file of this very job; one that is not here, or is another's, tells nothing."""
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        return {}
    try:
        file = root / path
        status = file.stat()
        # A link in somebody's dataset may lead to a pipe or a device.
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST_FACTS_FILE:
            return {}
        told = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and str(told.get("job_id")) == job_id else {}
