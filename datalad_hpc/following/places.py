"""Where the log of a task is, of what is kept of its submission."""

from __future__ import annotations

import getpass
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datalad_hpc.attempt import Attempt
from datalad_hpc.facts import facts_path_of
from datalad_hpc.following.meant import Task
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job
from datalad_hpc.member import Member
from datalad_hpc.plans.logs import place_below
from datalad_hpc.schedulers.logs import LogFile, log_files, streams
from datalad_hpc.schedulers.remembered import remembered
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.workplace import Workplace


@dataclass(frozen=True)
class Log:
    """Where a task, or several, write one of their streams."""

    file: LogFile
    inside: str | None
    """Its place in the dataset, where it gets there; a glob where the file's path is one."""
    root: str
    """That of the worktree that the job belongs to."""

    def paths(self) -> list[str]:
        """Files that are there now, the one that was written last first."""
        found = dict.fromkeys([*_matches(self.file.path, self.file.is_glob), *self._in_dataset()])
        there = {path: _written(path) for path in found}
        return sorted(
            (path for path, time in there.items() if time is not None),
            key=lambda path: -(there[path] or 0.0),
        )

    def _in_dataset(self) -> Iterable[str]:
        """Where ``finish`` puts it, if the job ran elsewhere."""
        if self.inside is None:
            return ()
        if self.file.is_glob:
            return _matches(f"{glob.escape(self.root)}/{self.inside}", True)
        return [os.path.join(self.root, self.inside)]


def _matches(path: str, is_glob: bool) -> list[str]:
    return glob.glob(path) if is_glob else [path]


def _written(path: str) -> float | None:
    """When a file was written to; ``None`` if there is none."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        # Also a link to content that is elsewhere.
        return 0.0 if os.path.islink(path) else None


@dataclass(frozen=True)
class Logs:
    """Where a task writes; ``None`` is no file, as with ``/dev/null``."""

    output: Log | None
    errors: Log | None


@dataclass
class Places:
    """Finds logs; a submission is read once for all of its tasks."""

    workplace: Workplace
    _read: dict[tuple[int, str], tuple[BatchCommand, str] | None] = field(default_factory=dict)

    def of(self, task: Task) -> Logs | None:
        """The logs of a task; ``None`` where nothing is known of them."""
        key = (task.job.key, task.job_id)
        if key not in self._read:
            self._read[key] = next(self._submissions(task), None)
        if (known := self._read[key]) is None:
            return self._as_claimed(task)
        batch, folder = known
        found = streams(batch, folder, task.job_id, getpass.getuser(), task.index)
        output, errors = (self._log(task.job, file) for file in found)
        return Logs(output, errors)

    def _as_claimed(self, task: Task) -> Logs | None:
        """The logs of a task of which no more is known than what they are claimed by."""
        job, root = task.job, self._root(task.job)
        logs = [
            Log(
                LogFile(f"{_base(job, root)}/{claim.path}", claim.kind is ClaimKind.GLOB),
                claim.path,
                root,
            )
            for claim in _log_claims(job)
            if claim.task in (None, task.index)
        ]
        # Which of several attempts wrote which of several logs cannot be told.
        unclear = job.members or (job.attempts and len(logs) > 1)
        return None if unclear or not logs else Logs(logs[0], logs[-1])

    def _log(self, job: Job, file: LogFile | None) -> Log | None:
        if file is None:
            return None
        root = self._root(job)
        return Log(file, place_below((_base(job, root), root), file), root)

    def _root(self, job: Job) -> str:
        return str(self.workplace.root_of(job.worktree))

    def _submissions(self, task: Task) -> Iterator[tuple[BatchCommand, str]]:
        """What the submission may have been, the most probable first.

        The paths that are claimed tell whether variables had a say (``SBATCH_OUTPUT``), and to
        which folder a submission program had changed.
        """
        argv, text = _handed_over(task)
        folder = os.path.join(_base(task.job, self._root(task.job)), task.job.request.folder)
        folder = folder.rstrip("/")
        environments: tuple[Mapping[str, str], ...] = ({}, os.environ)
        batches = [batch for each in environments if (batch := remembered(argv, text, each))]
        for batch in batches:
            if self._agrees(task, batch, folder):
                yield batch, folder
        for batch in batches:
            for other in self._folders(task, batch, folder):
                yield batch, other
        if task.job.members or not _claimed(task):
            # The log of a program's job may be one that another job has reserved. And tasks that
            # are over have no claims, while others of their sweep may be open.
            for batch in batches:
                yield batch, folder

    def _agrees(self, task: Task, batch: BatchCommand, folder: str) -> bool:
        """Whether the logs of a submission are those that are claimed."""
        claimed = set(_claimed(task))
        inside = set(self._inside(task, batch, folder))
        return bool(inside & claimed) or not (inside or claimed)

    def _inside(self, task: Task, batch: BatchCommand, folder: str) -> Iterator[str]:
        """Places of logs in the dataset."""
        job, root = task.job, self._root(task.job)
        probe = next((claim.task for claim in _claims_of(task)), None)
        for file in log_files(batch, folder, task.job_id, getpass.getuser(), probe):
            if place := place_below((_base(job, root), root), file):
                yield place

    def _folders(self, task: Task, batch: BatchCommand, folder: str) -> Iterator[str]:
        """Folders from which a submission has the logs that are claimed."""
        base = _base(task.job, self._root(task.job))
        top = os.path.relpath(folder, base)
        for place in self._inside(task, batch, folder):
            below = os.path.relpath(place, top)
            for claimed in _claimed(task):
                if claimed.endswith(f"/{below}"):
                    yield os.path.join(base, claimed[: -len(below) - 1])


def _base(job: Job, root: str) -> str:
    """What is the dataset's root to the job."""
    return job.request.alternative or root


def _handed_over(task: Task) -> tuple[tuple[str, ...], str]:
    """The submission command, and the text of its script."""
    several: tuple[Member | Attempt, ...] = (*task.job.members, *task.job.attempts)
    for each in several:
        if each.job_id == task.job_id:
            return each.submit_line, each.script
    return task.job.submit_line, task.job.script


def _claimed(task: Task) -> list[str]:
    return [claim.path for claim in _claims_of(task)]


def _claims_of(task: Task) -> list[Claim]:
    """What logs are claimed by of all tasks of a submission."""
    had = _submitted_for(task)
    return [
        claim
        for claim in _log_claims(task.job)
        if claim.task is None or had is None or claim.task in had
    ]


def _submitted_for(task: Task) -> Sequence[int] | None:
    """The tasks that a submission was for, if not all of the job."""
    for attempt in task.job.attempts:
        if attempt.job_id == task.job_id:
            return attempt.tasks
    return task.job.tried


def _log_claims(job: Job) -> Iterator[Claim]:
    facts = facts_path_of(job)
    return (claim for claim in job.claims if claim.role is ClaimRole.LOG and claim.path != facts)


def shown(path: str, root: Path) -> str:
    """A path for people: relative to the dataset where it is in it."""
    start = f"{root}/"
    return path.removeprefix(start)
