"""The story of ``hpc-log``: the log of a task, or where those of several are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from datalad_hpc.following.meant import ACTION, Look, Task, meant
from datalad_hpc.following.places import shown
from datalad_hpc.following.reading import blocks, opened, start
from datalad_hpc.following.shelf import Entry, Found, Shelf, is_older, shelf_of, wanted_streams
from datalad_hpc.following.states import States
from datalad_hpc.following.telling import end_result, log_result, no_log, piece_result
from datalad_hpc.results import Result, file_system_says, result
from datalad_hpc.status import TaskStatus
from datalad_hpc.wording import some_of


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
        for told in _shown(look, entry, found, heading=len(files) > 1):
            yield told
            if told.get("unread"):
                return


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
    if found.problem or is_older(found.path, entry.task):
        states.ask([entry.task], facts=False)
    if found.is_left_over(entry.task, states.of(entry.task)):
        place = shown(found.name, look.root)
        found = replace(found, problem=f"{place} is older than the job")
    if found.problem:
        yield no_log(look, states, entry, found)
        return
    yield from pieces(look, entry, found, heading=heading)
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
            for number, block in enumerate(blocks(file, at)):
                yield piece_result(look, entry, found, block, heading=heading and not number)
    except OSError as error:
        yield log_result(look, entry, "error", f"Job {entry.label}: {file_system_says(error)}")


def listing(look: Look, shelf: Shelf, files: Sequence[tuple[Entry, Found]]) -> Iterator[Result]:
    """Which logs there are, and how to name one."""
    states = States(look)
    states.ask([entry.task for entry, _ in files], facts=False)
    for entry, found in files:
        more: Result = {} if entry.is_shared else states.fields(entry.task)
        status = states.of(entry.task)
        if not (found.problem or found.is_left_over(entry.task, status)):
            more["size"] = found.size
            more["modified"] = _written(entry, found, status)
        # That a task which has not begun has no log is no news.
        text = found.problem if found.is_elsewhere or not found.path else ""
        yield log_result(look, entry, "ok", text, found, listed=True, **more)
    labels = [entry.label for entry, _ in files if not entry.is_shared]
    if labels:
        failed = any(states.has_failed(task) for entry, _ in files for task in entry.tasks)
        ends = f"; `datalad hpc-log --failed {files[0][0].task.job.label}` shows why some failed"
        text = f"Name one to see it (`datalad hpc-log {labels[0]}`){ends * failed}"
    else:
        text = f"Which task writes which log cannot be told: {some_of([f.name for _, f in files])}"
    yield result(ACTION, look.root, "ok", text, hint=True)


def _written(entry: Entry, found: Found, status: TaskStatus | None) -> float | None:
    """When a log was written to, in seconds since the epoch: if it is committed, its task's end."""
    if entry.task.commit:
        return status.ended.timestamp() if status and status.ended else None
    with contextlib.suppress(OSError):
        return os.stat(found.path).st_mtime
    return None
