"""The logs of tasks as they can be read now, or why there is none."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from datalad_hpc.errors import HpcError
from datalad_hpc.following.committed import Archive, Committed
from datalad_hpc.following.meant import Look, Task
from datalad_hpc.following.places import Log, Places, shown
from datalad_hpc.status import TaskStatus

STREAMS = ("output", "errors")


@dataclass(frozen=True)
class Found:
    """A log that can be read, or why there is none."""

    path: str = ""
    """Absolute; where it is, was, or is to be."""
    name: str = ""
    """Absolute path by which the user knows it."""
    content: bytes | None = None
    """That of a file which is in Git only."""
    problem: str = ""
    is_elsewhere: bool = False
    """Whether the problem is that git-annex has it in another place."""

    @property
    def size(self) -> int:
        """Bytes; what has gone meanwhile has none."""
        with contextlib.suppress(OSError):
            return os.stat(self.path).st_size if self.content is None else len(self.content)
        return 0

    def is_left_over(self, task: Task, status: TaskStatus | None) -> bool:
        """Whether it is older than a job that has not begun, and so of an earlier one."""
        return (
            status is not None
            and status.state == WAITING
            and not self.problem
            and is_older(self.path, task)
        )


WAITING = "PENDING"
"""State of a task that has not begun."""


def is_older(path: str, task: Task) -> bool:
    """Whether a file was last written to before a task was submitted."""
    submitted = task.job.submitted or task.job.created
    with contextlib.suppress(OSError):
        return task.state.holds_claims and os.stat(path).st_mtime < submitted.timestamp()
    return False


@dataclass(frozen=True)
class Entry:
    """A log, and whose it is."""

    tasks: tuple[Task, ...]
    """Those that write it, of those that are meant."""
    stream: str
    log: Log | None
    is_mixed: bool = False
    """Whether its name is a pattern for the logs of several tasks, and not for that of one."""

    @property
    def task(self) -> Task:
        """The first of them."""
        return self.tasks[0]

    @property
    def is_shared(self) -> bool:
        """Whether it is not the log of one task."""
        return self.is_mixed or len(self.tasks) > 1

    @property
    def label(self) -> str:
        """Whose log it is."""
        return self.task.job_id if self.is_shared else self.task.label


@dataclass
class Shelf:
    """Finds logs for what the user wants to see."""

    look: Look
    places: Places
    archive: Archive

    def entries(self, tasks: Sequence[Task], streams: Sequence[str]) -> list[Entry]:
        """The logs of tasks, each once."""
        of_log: dict[tuple[Log | None, str, str], list[Task]] = defaultdict(list)
        for task in tasks:
            logs = self.places.of(task)
            for stream in streams:
                log = getattr(logs, stream) if logs else None
                of_log[log, stream, "" if log else task.label].append(task)
        return [
            Entry(tuple(found), stream, log, self._is_mixed(found[0], stream, log))
            for (log, stream, _), found in of_log.items()
        ]

    def _is_mixed(self, task: Task, stream: str, log: Log | None) -> bool:
        if log is None or task.index is None or not log.file.is_glob:
            return False
        # Another index that changes nothing: the pattern is of what only the job itself knows.
        other = self.places.of(replace(task, index=task.index + 1))
        return other is not None and getattr(other, stream) == log

    def is_known(self, task: Task) -> bool:
        """Whether it can be told at all where a task writes."""
        return self.places.of(task) is not None

    def is_one(self, task: Task) -> bool:
        """Whether both streams go to one file."""
        logs = self.places.of(task)
        return logs is not None and logs.output is not None and logs.output == logs.errors

    def found(self, entry: Entry) -> list[Found]:
        """Files of a log, the one that was written last first; or why there is none."""
        if (log := entry.log) is None:
            return [Found(problem=self._nowhere(entry))]
        if entry.task.commit and log.inside is not None:
            try:
                if in_commit := self._in_commit(entry, log.inside):
                    return in_commit
            except HpcError:
                # The commit is not here any more; the file may be.
                pass
        if paths := log.paths():
            return [self._readable(path) for path in paths]
        return [Found(log.file.path, log.file.path, problem=f"{log.file.path} does not exist")]

    def _nowhere(self, entry: Entry) -> str:
        if not self.is_known(entry.task):
            return "it did not come from an sbatch that could be noted, so its log is not known"
        which = "standard error" if entry.stream == "errors" else "standard output"
        logs = self.places.of(entry.task)
        text = f"its {which} goes to no file"
        if entry.stream == "output" and logs and logs.errors:
            text += f" (standard error does: `datalad hpc-log --stderr {entry.label}`)"
        return text

    def _in_commit(self, entry: Entry, inside: str) -> list[Found]:
        assert entry.log
        found = self.archive.committed(entry.task.commit, inside, is_glob=entry.log.file.is_glob)
        return [self._of_commit(entry, each) for each in found]

    def _of_commit(self, entry: Entry, each: Committed) -> Found:
        name = str(self.look.root / each.path)
        if not each.key:
            return Found(each.object or name, name, each.content)
        commit = entry.task.commit[:10]
        way = f"`datalad get {each.path}`"
        if not os.path.lexists(name):
            way = f"`git annex get --key {each.key}`"
        text = f"{each.path} of commit {commit} has its content elsewhere: {way}"
        return Found(name, name, problem=text, is_elsewhere=True)

    def _readable(self, path: str) -> Found:
        if os.path.exists(path):
            return Found(path, path)
        place = shown(path, self.look.root)
        text = f"{place} has its content elsewhere: `datalad get {place}`"
        return Found(path, path, problem=text, is_elsewhere=True)


@contextlib.contextmanager
def shelf_of(look: Look) -> Iterator[Shelf]:
    """Where logs are found, with processes that end with the context."""
    with contextlib.ExitStack() as stack:
        yield Shelf(look, Places(look.workplace), Archive(look.root, stack))


def wanted_streams(look: Look) -> tuple[str, ...]:
    """The stream that the user wants to see."""
    return (STREAMS[look.errors],)
