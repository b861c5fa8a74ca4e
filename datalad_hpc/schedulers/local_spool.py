"""The spool of the local scheduler: which files there are and how they change.

::

    spool.lock                    flock around every change of the queue
    dispatcher.lock               flock that the dispatcher holds while it lives; its process number
    dispatcher.log                what the dispatcher had to complain about
    next-id                       id of the next job
    queue/ID                      empty; stands for a job that has not ended
    queue/ID.cancel               that the job, or tasks of it, are to end (:class:`Wish`)
    jobs/ID/job.json              what was submitted (:class:`LocalJob`)
    jobs/ID/script                the batch script as it was at submission
    jobs/ID/environment.json      what the tasks get, mode 0600, gone when the job has ended
    jobs/ID/events.jsonl          one line per start or end of a task (:class:`Event`)

A job comes into being by one rename, so a submission that was killed has
either happened or not. All else is appended, and read without a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from datalad_hpc.schedulers.local_job import Event, LocalJob, Progress, Wish

lgr = logging.getLogger("datalad.hpc.local")


class Spool:
    """The files of one user's jobs on one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = folder / "jobs"
        self.queue = folder / "queue"
        self.log = folder / "dispatcher.log"
        self._next_id = folder / "next-id"

    def create(self) -> None:
        """Make the folders, for our user only."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.jobs.mkdir(mode=0o700, exist_ok=True)
        self.queue.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep all others from changing the queue."""
        descriptor = _open_lock(self.folder / "spool.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            _unlock(descriptor)

    @contextlib.contextmanager
    def dispatching(self) -> Iterator[int | None]:
        """Hold the right to dispatch, to be asked for below :meth:`lock` only.

        Yields
        ------
        int or None
          A descriptor that carries the lock: a program that inherits it has
          the right for as long as it lives. None where a dispatcher is alive.
        """
        descriptor = _open_lock(self.folder / "dispatcher.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
        finally:
            # Not unlocked: that would take it from the heir as well.
            os.close(descriptor)

    def add(self, job: LocalJob, script: bytes, environment: Mapping[str, str]) -> int:
        """Queue a job; below :meth:`lock` only.

        Returns
        -------
        int
          The id. Each further task of an array takes one more.
        """
        job = replace(job, job_id=self._take_ids(len(job.indices)))
        draft = self.jobs / ".draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        _write(draft / "script", script, 0o700)
        _write(draft / "environment.json", _to_json(dict(environment)), 0o600)
        _write(draft / "events.jsonl", b"", 0o600)
        _write(draft / "job.json", _to_json(asdict(job)), 0o600)
        # Before the rename: a job without its place in the queue would never run.
        _write(self.queue / str(job.job_id), b"", 0o600)
        draft.rename(self.jobs / str(job.job_id))
        return job.job_id

    def _take_ids(self, count: int) -> int:
        first = self._stored_next_id() or self._id_after_last()
        draft = self.folder / "next-id.draft"
        draft.write_text(f"{first + count}\n")
        draft.replace(self._next_id)
        return first

    def _stored_next_id(self) -> int:
        text = _read(self._next_id).strip()
        return int(text) if text.isdigit() else 0

    def _id_after_last(self) -> int:
        """The next id where the counter is new, or was lost."""
        last = max(self.ids(), default=0)
        job = self.read(last)
        return last + (len(job.indices) if job else 1)

    def ids(self) -> list[int]:
        """Ids of all jobs that were ever submitted, ascending."""
        return _numbers(self.jobs)

    def queued(self) -> list[int]:
        """Ids of the jobs that have not ended, ascending."""
        return _numbers(self.queue)

    def read(self, job_id: int) -> LocalJob | None:
        """A job, or None where there is none (or its file is damaged)."""
        text = _read(self.jobs / str(job_id) / "job.json")
        values = _from_json(text) if text else None
        if values is None:
            return None
        known = {item.name for item in fields(LocalJob)}
        values["arguments"] = tuple(values["arguments"])
        return LocalJob(**{name: value for name, value in values.items() if name in known})

    def progress(self, job: LocalJob) -> Progress:
        """What became of a job's tasks."""
        progress = Progress(job.indices)
        # A line that was cut off by the end of its writer does not count.
        for line in _read(self._events(job.job_id)).splitlines():
            values = _from_json(line)
            if values is not None:
                progress.apply(Event(**values))
        return progress

    def record(self, job_id: int, event: Event) -> None:
        """Append an event, whatever stands at the end of the file."""
        values = {name: value for name, value in asdict(event).items() if value not in ("", None)}
        line = _to_json({"task": event.task, **values})
        descriptor = os.open(self._events(job_id), os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):
                raise OSError(f"only a part of an event of job {job_id} was written")
        finally:
            os.close(descriptor)

    def ask_to_end(self, job_id: int, wish: Wish) -> None:
        """Leave word that a job is to end, or tasks of it; below :meth:`lock` only."""
        if not (self.queue / str(job_id)).exists():
            return
        wish = wish.joined(self.wish(job_id))
        tasks = None if wish.tasks is None else sorted(wish.tasks)
        draft = self.folder / "cancel.draft"
        _write(draft, _to_json({"by": wish.by, "tasks": tasks}), 0o600)
        # The time stamp of the queue changes, by which the dispatcher sees it.
        draft.rename(self._wish(job_id))

    def wish(self, job_id: int) -> Wish | None:
        """What of a job is to end, as far as anybody asked for it."""
        text = _read(self._wish(job_id))
        values = _from_json(text) if text else None
        if values is None:
            return None
        tasks = values["tasks"]
        return Wish(values["by"], None if tasks is None else frozenset(tasks))

    def wishes(self) -> dict[int, Wish]:
        """All that is to end, by id."""
        suffix = ".cancel"
        names = [name for name in os.listdir(self.queue) if name.endswith(suffix)]
        found = {int(name.removesuffix(suffix)) for name in names}
        return {job_id: wish for job_id in found if (wish := self.wish(job_id))}

    def script(self, job_id: int) -> Path:
        """The copy of the batch script."""
        return self.jobs / str(job_id) / "script"

    def environment(self, job_id: int) -> dict[str, str]:
        """What the tasks of a job get beside the scheduler's own variables."""
        text = _read(self.jobs / str(job_id) / "environment.json")
        return _from_json(text) or {}

    def retire(self, job_id: int) -> None:
        """Take a job that has ended from the queue, and forget its environment."""
        (self.jobs / str(job_id) / "environment.json").unlink(missing_ok=True)
        self._wish(job_id).unlink(missing_ok=True)
        (self.queue / str(job_id)).unlink(missing_ok=True)

    def _wish(self, job_id: int) -> Path:
        return self.queue / f"{job_id}.cancel"

    def _events(self, job_id: int) -> Path:
        return self.jobs / str(job_id) / "events.jsonl"


def now() -> str:
    """The time as the spool's files write it."""
    return datetime.now(timezone.utc).isoformat()


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _unlock(descriptor: int) -> None:
    # Explicitly: a fork of ours may have the descriptor as well.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as stream:
        stream.write(content)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _to_json(values: dict[str, Any]) -> bytes:
    # Escaped to ASCII, which takes names that are no valid text as well.
    return json.dumps(values).encode("ascii") + b"\n"


def _from_json(text: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(text)
    except ValueError:
        lgr.debug("Unreadable line in the spool of the local scheduler: %r", text[:80])
        return None
    return values if isinstance(values, dict) else None


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except FileNotFoundError:
        return []


def default_spool() -> Path:
    """Where this machine's local jobs are queued, by the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "datalad-hpc" / "local" / socket.gethostname()
