"""Jobs as people read them: a table, and what can be done."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from datalad.support import ansi_colors as colors

from datalad_hpc.sizes import clock_text

Result = dict[str, Any]

WIDTH = 6
"""Characters of a bar."""

LONGEST_NAME = 24

INDENT = " " * 5

COLORS = {
    "running": colors.GREEN,
    "completed": colors.GREEN,
    "finished": colors.GREEN,
    "waiting": colors.YELLOW,
    "unknown": colors.YELLOW,
    "failed": colors.RED,
    "refused": colors.RED,
}

LIVE = ("unknown", "waiting", "running")
"""States of jobs that may still run."""

_TITLES = ("id", "name", "state", "tasks", "time", "submitted", "nodes", "commit", "outputs")

_GIVE_WAY = (
    ("nodes", 12),
    ("submitted", len("2024-05-01")),
    ("nodes", 0),
    ("name", 12),
    ("submitted", 0),
    ("name", 0),
)
"""What gives way on a narrow terminal, in turn: columns, and the characters that are left them."""

LEAST_OUTPUTS = 16
"""Characters of outputs for which the others give way."""

_IN_SUM = {"waiting": "PENDING", "running": "RUNNING", "failed": "FAILED"}

_MARKS = {"completed": "#", "failed": "x", "running": ">", "waiting": "."}

_BEGINNINGS = {
    "waits": "pending",
    "held": "held",
    "never": "never starts",
    "unknown": "pending, and whether it can start is not known",
}


def lines_of(listed: Sequence[Result], width: int | None) -> Iterator[str]:
    """The table with lines on why jobs wait, and closing lines.

    Parameters
    ----------
    width:
      Characters of the terminal; ``None`` where nothing is to be cut.
    """
    titles = {name: name for name in _TITLES}
    rows = [titles, *map(_cells, listed)]
    if all(res["open_job"] for res in listed):
        # When a job was submitted is of interest among those of many days.
        del titles["submitted"]
    columns = [name for name in titles if any(row[name] for row in rows[1:])]
    widths = _fitting({name: max(len(row[name]) for row in rows) for name in columns}, width)
    yield _line(titles, widths, width)
    remarks = [tuple(_remarks(res)) for res in listed]
    for remark, group in groupby(zip(remarks, listed, rows[1:], strict=True), lambda each: each[0]):
        alike = [_line(row, widths, width, _color(res)) for _, res, row in group]
        yield from alike
        # A crowd that waits for the same has it said once.
        whose = f"these {len(alike):,}: " if len(alike) > 1 else ""
        yield from (f"{INDENT}{whose}{line}" for line in remark)
    yield from _closing(listed)


def _fitting(widths: dict[str, int], width: int | None) -> dict[str, int]:
    """Columns that have room on a line, with their widths; outputs come last and are cut."""
    for name, left in _GIVE_WAY:
        outputs = min(widths.get("outputs", 0), LEAST_OUTPUTS)
        needed = sum(widths.values()) - widths.get("outputs", 0) + outputs + 2 * (len(widths) - 1)
        if width is None or needed <= width:
            break
        if name in widths:
            fitted = {**widths, name: min(widths[name], left)}
            widths = {column: wide for column, wide in fitted.items() if wide}
    return widths


def terminal_width() -> int | None:
    """How many characters a line has; ``None`` where there is no terminal."""
    from datalad.ui import ui

    return shutil.get_terminal_size().columns if ui.is_interactive else None


def _cells(res: Result) -> dict[str, str]:
    from datalad_hpc.results import visible_line
    from datalad_hpc.wording import some_of

    commits = res.get("commits") or [res.get("commit", "")]
    cells = {
        "id": res["slurm_job_id"],
        "name": _cut(res.get("name") or res["command"], LONGEST_NAME),
        "state": _state(res),
        "tasks": _tasks(res["task_counts"]),
        "time": _time(res),
        "submitted": _local(res.get("submitted") or res.get("created", "")),
        "nodes": some_of(res["nodes"], ","),
        "commit": commits[0][:10] + f" +{len(commits) - 1}" * (len(commits) > 1),
        "outputs": some_of(res["outputs"], " "),
    }
    return {name: visible_line(cell) for name, cell in cells.items()}


def _state(res: Result) -> str:
    """The scheduler's word, or where its tasks have several the one that says what is to come."""
    word = str(res["slurm_job_status"])
    return _IN_SUM.get(res["state"], word) if "," in word else word


def _line(
    cells: Mapping[str, str],
    widths: Mapping[str, int],
    width: int | None,
    color: int | None = None,
) -> str:
    padded = [f"{_shrunk(name, cells[name], wide):<{wide}}" for name, wide in widths.items()]
    line = _cut("  ".join(padded).rstrip(), width)
    start = len("  ".join([*padded[: [*widths].index("state")], ""]))
    end = start + len(cells["state"])
    if color is None or end >= len(line):
        return line
    return f"{line[:start]}{colors.color_word(line[start:end], color)}{line[end:]}"


def _shrunk(column: str, cell: str, width: int) -> str:
    # Of a time the day is left.
    return cell[:width] if column == "submitted" else _cut(cell, width)


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def _color(res: Result) -> int | None:
    return COLORS["failed"] if res["failed"] else COLORS.get(res["state"])


def _tasks(counts: Mapping[str, int]) -> str:
    """Tasks that are done of all, with a bar: ``[##x>..] 3/9 (1 failed)``."""
    failed = f" ({counts['failed']} failed)" if counts["failed"] and counts["total"] > 1 else ""
    return f"[{_bar(counts)}] {counts['completed']}/{counts['total']}{failed}"


def _bar(counts: Mapping[str, int]) -> str:
    """A character for a share of the tasks, and at least one for each kind that there is."""
    there = {kind: counts[kind] for kind in _MARKS if counts[kind]}
    there["waiting"] = counts["total"] - sum(counts[kind] for kind in _MARKS if kind != "waiting")
    length = {kind: 1 for kind, number in there.items() if number}
    while sum(length.values()) < WIDTH:
        length[max(length, key=lambda kind: there[kind] / length[kind])] += 1
    return "".join(mark * length.get(kind, 0) for kind, mark in _MARKS.items())


def _time(res: Result) -> str:
    elapsed, limit = res.get("elapsed"), res.get("time_limit")
    used = "-" if elapsed is None else clock_text(int(elapsed))
    return f"{used}/{clock_text(int(limit))}" if limit else used


def _local(time: str) -> str:
    """A time as the clock on the wall has it."""
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else ""


def _remarks(res: Result) -> Iterator[str]:
    """Why a job waits and whether it can start, why nothing is known, or why it was given up."""
    from datalad_hpc.results import message_text, visible_line

    chain, note = res.get("chain_note"), res.get("note")
    if "outlook" in res:
        color = colors.RED if res["outlook"] == "never" else None
        yield colors.color_word(visible_line(_waiting(res)), color)
    elif res["state"] == "unknown":
        yield visible_line(res.get("advice") or message_text(res))
    elif chain:
        yield visible_line(chain)
    if "cancelled" in res and res["state"] in LIVE:
        yield f"its end was asked for at {_local(res['cancelled'])}"
    if res.get("attempt", 1) > 1:
        yield f"attempt {res['attempt']}"
    if note:
        yield visible_line(note)


def _waiting(res: Result) -> str:
    expected = _local(res.get("expected_start", ""))
    chain = res.get("chain_note", "") if res.get("chain_note", "") not in res["reason"] else ""
    why = res.get("why", "")
    if chain and res["reason"] == "Dependency":
        # It says the same, and of which job.
        why, chain = chain, ""
    parts = [f"{_BEGINNINGS[res['outlook']]} ({res['reason']})", f"it {why}" if why else ""]
    more = [chain, f"expected to start {expected}" if expected else "", res.get("advice", "")]
    return "; ".join(filter(None, [": ".join(filter(None, parts)), *more]))


def _closing(listed: Sequence[Result]) -> Iterator[str]:
    """How many jobs are where, and what can be done with those that have ended."""
    from datalad_hpc.results import visible_line

    states = Counter(res["state"] for res in listed)
    counts = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
    yield f"{_jobs(len(listed))}: {counts}"
    whole = [res for res in listed if res["state"] == "completed" and "task_of" not in res]
    if number := len(whole):
        yield f"{_jobs(number)} can be committed: `datalad finish`"
    failed = [res for res in listed if res.get("failure_text")]
    if failed:
        yield visible_line(_ways_out(failed))


def _ways_out(failed: Sequence[Result]) -> str:
    from datalad_hpc.wording import some_of

    named = some_of([f"{res['slurm_job_id']} ({res['failure_text']})" for res in failed])
    only = _only(failed)
    # What a program has submitted cannot be tried again: it is run anew as a whole.
    tried = [res for res in failed if res.get("retry", True)]
    again = f"`datalad reschedule --failed{_only(tried)}` tries again, " if tried else ""
    return (
        f"Failed: {named}. `datalad hpc-log --failed{only}` shows the ends of the logs, {again}"
        f"`datalad finish --close-failed-jobs{only}` gives up"
    )


def _only(jobs: Sequence[Result]) -> str:
    return f" {jobs[0]['slurm_job_id']}" if len(jobs) == 1 else ""


def _jobs(number: int) -> str:
    return f"{number:,} job{'s' * (number != 1)}"
