"""Logs as results: pieces of them, how their tasks ended, or why there is none."""

from __future__ import annotations

from typing import Any

from datalad_hpc.following.meant import ACTION, Look
from datalad_hpc.following.places import shown
from datalad_hpc.following.shelf import Entry, Found
from datalad_hpc.following.states import States, is_submitted
from datalad_hpc.results import Result, result, visible_line


def piece_result(
    look: Look, entry: Entry, found: Found, block: bytes, *, heading: bool = False
) -> Result:
    """A piece of a log as it is."""
    text = f"log of job {entry.label}"
    more: Result = {"content": block.decode("utf-8", "surrogateescape")}
    if heading:
        more["heading"] = visible_line(f"{entry.label} {shown(found.name, look.root)}")
    return log_result(look, entry, "ok", text, found, **more)


def end_result(look: Look, states: States, entry: Entry, found: Found) -> Result:
    """How the task stands whose log was shown."""
    task = entry.task
    if entry.is_shared:
        text = f"This is the log of all tasks of job {entry.label}"
        return log_result(look, entry, "ok", text, found)
    return log_result(look, entry, "ok", states.text(task), found, **states.fields(task))


def no_log(look: Look, states: States, entry: Entry, found: Found) -> Result:
    """Why there is nothing to show."""
    task = entry.task
    if not is_submitted(task.job):
        why = f"Job {task.job.label} has no log yet, since it is being submitted"
    elif entry.log and states.is_live(task):
        why = f"Job {entry.label} has no log yet: {found.problem}. {states.text(task)}"
    elif found.is_elsewhere:
        why = f"The log of job {entry.label} is not here: {found.problem}"
    else:
        why = f"Job {entry.label} has no log: {found.problem}. {states.text(task)}"
    return log_result(look, entry, "impossible", why, found, **states.fields(task))


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
