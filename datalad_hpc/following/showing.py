"""The story of ``hpc-log``: the log of a task, or where those of several are."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datalad_hpc.errors import HpcError
from datalad_hpc.following.committed import Archive, Committed
from datalad_hpc.following.meant import ACTION, Look, Task, meant
from datalad_hpc.following.places import Log, Places, shown
from datalad_hpc.following.reading import blocks, opened, start
from datalad_hpc.following.states import States, is_submitted
from datalad_hpc.job import JobState
from datalad_hpc.results import Result, file_system_says, result
from datalad_hpc.wording import some_of

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

    @property
    def size(self) -> int:
        """Bytes."""
        return os.stat(self.path).st_size if self.content is None else len(self.content)


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
            return [self._readable(entry, path) for path in paths]
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
        return Found(
            name, name, problem=f"{each.path} of commit {commit} has its content elsewhere: {way}"
        )

    def _readable(self, entry: Entry, path: str) -> Found:
        if os.path.exists(path):
            return Found(path, path)
        place = shown(path, self.look.root)
        return Found(
            path, path, problem=f"{place} has its content elsewhere: `datalad get {place}`"
        )


@contextlib.contextmanager
def shelf_of(look: Look) -> Iterator[Shelf]:
    """Where logs are found, with processes that end with the context."""
    with contextlib.ExitStack() as stack:
        yield Shelf(look, Places(look.workplace), Archive(look.root, stack))


def wanted_streams(look: Look) -> tuple[str, ...]:
    return (STREAMS[look.errors],)


def show(look: Look) -> Iterator[Result]:
    """Show logs from end to end, or list those that there are to choose from.

    Yields
    ------
    dict
      Pieces of a log with ``content``, one result per log with ``size`` where they are listed,
      and one about the job at the end.
    """
    named, problems = meant(look)
    yield from problems
    with shelf_of(look) as shelf:
        yield from _show(look, shelf, named)


def _show(look: Look, shelf: Shelf, named: Sequence[Sequence[Task]]) -> Iterator[Result]:
    entries = [shelf.entries(tasks, wanted_streams(look)) for tasks in named]
    files = [[(entry, found) for entry in each for found in shelf.found(entry)] for each in entries]
    if any(len(each) > 1 for each in files) and not _is_newest_enough(files):
        yield from listing(look, shelf, [pair for each in files for pair in each])
        return
    for each in files:
        entry, found = each[0]
        yield from notes_on(look, shelf, entry)
        yield from _shown(look, entry, found, heading=len(files) > 1)


def _is_newest_enough(files: Sequence[Sequence[tuple[Entry, Found]]]) -> bool:
    """Whether of several files of one task the newest is meant: a requeued job has several."""
    return all(len({entry for entry, _ in each}) == 1 and not each[0][0].is_mixed for each in files)


def notes_on(look: Look, shelf: Shelf, entry: Entry) -> Iterator[Result]:
    """What is to be known before a log is shown."""
    if look.errors and shelf.is_one(entry.task):
        text = f"Standard error of job {entry.label} goes to the same log as its standard output"
        yield log_result(look, entry, "ok", text)


def _shown(look: Look, entry: Entry, found: Found, *, heading: bool) -> Iterator[Result]:
    states = States(look)
    if found.problem:
        states.ask([entry.task], facts=False)
        yield no_log(look, states, entry, found)
        return
    for piece in pieces(look, entry, found, heading=heading):
        yield piece
        if piece.get("unread"):
            return
    states.ask([entry.task], facts=True)
    yield end_result(look, states, entry, found)


def pieces(look: Look, entry: Entry, found: Found, *, heading: bool) -> Iterator[Result]:
    """A log in pieces, from where the user wants to see it."""
    try:
        with opened(found.path, found.content) as file:
            at = start(file, look.lines, look.most)
            if at and look.lines is None:
                text = (
                    f"Of {shown(found.name, look.root)} the first {at:,} bytes are left out; "
                    f"`datalad hpc-log {entry.label} | less` shows all"
                )
                yield log_result(look, entry, "ok", text, found)
            for block in blocks(file, at):
                yield piece_result(look, entry, found, block, heading=heading)
    except OSError as error:
        yield log_result(look, entry, "error", f"Job {entry.label}: {file_system_says(error)}")


def piece_result(
    look: Look, entry: Entry, found: Found, block: bytes, *, heading: bool = False
) -> Result:
    """A piece of a log as it is."""
    text = f"log of job {entry.label}"
    more: Result = {"content": block.decode("utf-8", "surrogateescape")}
    if heading:
        more["heading"] = f"{entry.label} {shown(found.name, look.root)}"
    return log_result(look, entry, "ok", text, found, **more)


def end_result(look: Look, states: States, entry: Entry, found: Found) -> Result:
    """How the task stands whose log was shown."""
    task = entry.task
    if entry.is_shared or not is_submitted(task.job):
        text = f"This is the log of all tasks of job {entry.label}"
        return log_result(look, entry, "ok", text, found)
    return log_result(look, entry, "ok", states.text(task), found, **states.fields(task))


def no_log(look: Look, states: States, entry: Entry, found: Found) -> Result:
    """Why there is nothing to show."""
    task = entry.task
    if task.job.state in (JobState.RESERVED, JobState.SUBMITTING):
        why = f"Job {task.job.label} has no log yet, since it is being submitted"
    elif entry.log and states.is_live(task):
        why = f"Job {entry.label} has no log yet: {found.problem}. {states.text(task)}"
    elif "elsewhere" in found.problem:
        why = f"The log of job {entry.label} is not here: {found.problem}"
    else:
        why = f"Job {entry.label} has no log: {found.problem}. {states.text(task)}"
    return log_result(look, entry, "impossible", why, found, **states.fields(task))


def listing(look: Look, shelf: Shelf, files: Sequence[tuple[Entry, Found]]) -> Iterator[Result]:
    """Which logs there are, and how to name one."""
    states = States(look)
    states.ask([entry.task for entry, _ in files], facts=False)
    for entry, found in files:
        more: Result = {} if entry.is_shared else states.fields(entry.task)
        if not found.problem:
            more["size"] = found.size
            more["modified"] = 0 if found.content is not None else os.stat(found.path).st_mtime
        yield log_result(look, entry, "ok", found.problem or "", found, listed=True, **more)
    labels = [entry.label for entry, _ in files if not entry.is_shared]
    if labels:
        text = (
            f"Name one to see it (`datalad hpc-log {labels[0]}`), or those that failed (`--failed`)"
        )
    else:
        text = f"Which task writes which log cannot be told: {some_of([f.name for _, f in files])}"
    yield result(ACTION, look.root, "ok", text)


def log_result(
    look: Look, entry: Entry, status: str, text: str, found: Found | None = None, **more: Any
) -> Result:
    """A result about the log of a task."""
    made = result(ACTION, look.root, status, text, slurm_job_id=entry.task.job_id, **more)
    if not entry.is_shared and entry.task.index is not None:
        made["task"] = entry.task.index
    made["stream"] = "stderr" if entry.stream == "errors" else "stdout"
    if found and found.name:
        made.update(path=found.name, type="file")
    return made
