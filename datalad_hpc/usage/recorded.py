"""What the records in commits tell of usage, and the facts files that they name."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.history.records import RecordedCommit
from datalad_hpc.record import Record
from datalad_hpc.schedulers.arrays import array_indices
from datalad_hpc.spent import Asked, Measured, Spent
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
    jobs: dict[Any, list[_Told]] = defaultdict(list)
    for commit in commits:
        if commit.record and commit.record.job_id:
            told = _Told(commit.commit, commit.record)
            jobs[told.whose].append(told)
    return [use for told in jobs.values() for use in _of_job(root, told)]


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
    def job_id(self) -> str:
        """That of the sweep for one of its tasks."""
        suffix = "" if self.index is None else f"_{self.index}"
        return self.record.job_id.removesuffix(suffix)

    @property
    def whose(self) -> Any:
        """By what a sweep is told from others that had its id earlier, or elsewhere."""
        if self.index is None:
            return self.commit
        return self.job_id, str(self.own.get("cluster")), str(self.own.get("submitted"))

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


def _of_job(root: Path, told: Sequence[_Told]) -> list[JobUse]:
    first = told[0]
    command = first.record.request.command
    asked = Asked.of_json(first.own.get("asked"))
    if first.index is not None:
        tasks = [
            TaskUse(each.index, each.state, Measured.of_json(each.own), each.commit)
            for each in sorted(told, key=lambda each: each.index or 0)
        ]
        return [JobUse.of(first.job_id, first.scheduler, command, asked, tasks)]
    if first.of_jobs:
        return _of_program(root, first)
    if not first.record.tasks:
        task = TaskUse(None, first.state, Measured.of_json(first.own), first.commit)
        return [JobUse.of(first.job_id, first.scheduler, command, asked, [task])]
    usage = first.own.get("usage")
    spent = Spent.of_json({**first.own, **(usage if isinstance(usage, dict) else {})})
    states = {state: _count(spec) for state, spec in first.record.tasks.items()}
    use = JobUse(first.job_id, first.scheduler, command, asked, spent, states, (first.commit,))
    return [replace(use, tasks=_tasks(root, first).get("", ()))]


def _of_program(root: Path, told: _Told) -> list[JobUse]:
    states = told.own.get("jobs")
    of_tasks = _tasks(root, told)
    return [
        JobUse(
            job_id,
            told.scheduler,
            told.record.request.command,
            Asked.of_json(used.get("asked")),
            Spent.of_json(used),
            _counted(states.get(job_id) if isinstance(states, dict) else None),
            (told.commit,),
            of_tasks.get(job_id, ()),
        )
        for job_id, used in told.of_jobs.items()
        if isinstance(used, dict)
    ]


def _counted(states: Any) -> dict[str, int]:
    """Numbers of tasks by state; a plain job has no indices."""
    told = states if isinstance(states, dict) else {}
    return {state: _count(spec) if spec else 1 for state, spec in told.items()}


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
        if file.stat().st_size > LONGEST_FACTS_FILE:
            return {}
        told = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and str(told.get("job_id")) == job_id else {}
