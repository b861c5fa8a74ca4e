"""The story of ``hpc-log --failed``: why tasks failed, and how their logs end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from datalad_hpc.failures import failure_of
from datalad_hpc.following.meant import ACTION, Look, Task, meant, tasks_of
from datalad_hpc.following.places import shown
from datalad_hpc.following.reading import last_lines, opened
from datalad_hpc.following.shelf import (
    STREAMS,
    Entry,
    Found,
    Shelf,
    shelf_of,
    wanted_streams,
)
from datalad_hpc.following.states import States, labels_of, ways_on
from datalad_hpc.following.telling import log_result
from datalad_hpc.results import Result, error_result, file_system_says, result
from datalad_hpc.status import TaskStatus

LINES = 10
"""How many lines of a log are shown where nobody said."""


def show_failed(look: Look) -> Iterator[Result]:
    """Show the end of each task that failed, of the named jobs or of all open ones.

    Yields
    ------
    dict
      One result per failed task, with ``failed``, the ``reason`` and the ends of its ``logs``.
    """
    tasks, problems = _meant(look)
    yield from problems
    states = States(look)
    states.ask(tasks, facts=False)
    yield from (error_result(ACTION, look.root, each) for each in states.answers.failures)
    told = [(task, states.of(task)) for task in tasks]
    failed = [(task, status) for task, status in told if status and failure_of(status)]
    with shelf_of(look) as shelf:
        for task, status in failed:
            yield _failed(look, shelf, task, status)
    if still_open := [(task, status) for task, status in failed if task.state.holds_claims]:
        yield _hint(look, still_open)
    if not failed and not problems and not states.answers.failures:
        of = f"of {', '.join(look.names)} " if look.names else "of an open job "
        yield result(ACTION, look.root, "notneeded", f"No task {of}has failed")


def _hint(look: Look, failed: Sequence[tuple[Task, TaskStatus]]) -> Result:
    """What can be done about all of them."""
    them = "it" if len(failed) == 1 else "them"
    text = ways_on(failed, " ".join(labels_of(task for task, _ in failed)), them)
    return result(ACTION, look.root, "ok", text[0].upper() + text[1:], hint=True)


def _meant(look: Look) -> tuple[list[Task], list[Result]]:
    if not look.names:
        return [task for job in look.store.open_jobs() for task in tasks_of(job)], []
    named, problems = meant(look)
    return [task for tasks in named for task in tasks], problems


def _failed(look: Look, shelf: Shelf, task: Task, status: TaskStatus) -> Result:
    failure = failure_of(status)
    assert failure
    streams = wanted_streams(look) if look.errors else STREAMS
    entries = [entry for entry in shelf.entries([task], streams) if entry.log or look.errors]
    # Both streams have one entry each, though they may go to one file.
    of_log = {entry.log or entry.stream: entry for entry in reversed(entries)}
    logs = [_ending(look, shelf, entry) for entry in reversed(of_log.values())]
    entry = next(iter(entries), Entry((task,), STREAMS[0], None))
    made = log_result(
        look,
        entry,
        "ok",
        f"Job {task.label} failed: {failure.text}",
        failed=True,
        reason=failure.text,
        failure=failure.as_json,
        slurm_job_status=status.state,
        logs=logs,
    )
    del made["stream"]
    return made


def _ending(look: Look, shelf: Shelf, entry: Entry) -> dict[str, Any]:
    """The end of a log."""
    found: Found = shelf.found(entry)[0]
    path = shown(found.name, look.root)
    stream = "stderr" if entry.stream == "errors" else "stdout"
    told = {"path": path, "stream": stream, "content": ""}
    if found.problem or entry.is_mixed:
        why = found.problem or "which task writes which of these cannot be told"
        return {**told, "path": f"{path} ({why})".strip()}
    try:
        with opened(found.path, found.content) as file:
            end = last_lines(file, LINES if look.lines is None else look.lines, MOST)
    except OSError as error:
        return {**told, "path": f"{path} ({file_system_says(error)})"}
    return {**told, "content": end.decode("utf-8", "surrogateescape")}


MOST = 16_384
"""Bytes of a log's end that are shown at most: a progress bar is one line."""
