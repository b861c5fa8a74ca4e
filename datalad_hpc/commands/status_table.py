"""Jobs as people read them: a table, and what can be done."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from datalad.support import ansi_colors as colors

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

STATE = 2
"""Which column has a colour."""

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
    dated = not all(res["open_job"] for res in listed)
    rows = [_titles(dated), *(_cells(res, dated) for res in listed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield _line(rows[0], widths, width)
    for res, row in zip(listed, rows[1:], strict=True):
        yield _line(row, widths, width, _color(res))
        yield from _remarks(res)
    yield from _closing(listed)


def terminal_width() -> int | None:
    """How many characters a line has; ``None`` where there is no terminal."""
    from datalad.ui import ui

    return shutil.get_terminal_size().columns if ui.is_interactive else None


def _titles(dated: bool) -> list[str]:
    dates = ["submitted"] * dated
    return ["id", "name", "state", "tasks", "time", *dates, "nodes", "commit", "outputs"]


def _cells(res: Result, dated: bool) -> list[str]:
    from datalad_hpc.results import visible_line
    from datalad_hpc.wording import some_of

    commits = [commit[:10] for commit in (res.get("commits") or [res.get("commit", "")])]
    cells = [
        res["slurm_job_id"],
        _cut(res.get("name") or res["command"], LONGEST_NAME),
        res["slurm_job_status"],
        _bar(res["task_counts"]),
        _time(res),
        *([_local(res.get("submitted", ""))] * dated),
        some_of(res["nodes"], ","),
        commits[0] + f" +{len(commits) - 1}" * (len(commits) > 1),
        some_of(res["outputs"], " "),
    ]
    return [visible_line(cell) for cell in cells]


def _line(
    cells: Sequence[str], widths: Sequence[int], width: int | None, color: int | None = None
) -> str:
    padded = [f"{cell:<{wide}}" for cell, wide in zip(cells, widths, strict=True)]
    line = _cut("  ".join(padded).rstrip(), width)
    start = sum(widths[:STATE]) + 2 * STATE
    end = start + len(cells[STATE])
    if color is None or end >= len(line):
        return line
    return f"{line[:start]}{colors.color_word(line[start:end], color)}{line[end:]}"


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def _color(res: Result) -> int | None:
    return COLORS["failed"] if res["failed"] else COLORS.get(res["state"])


def _bar(counts: dict[str, int]) -> str:
    """Tasks that are done of all: ``[##x>..] 3/9``; what there is has at least one character."""
    there = {kind: counts[kind] for kind in _MARKS if counts[kind]}
    there["waiting"] = counts["total"] - sum(counts[kind] for kind in _MARKS if kind != "waiting")
    length = {kind: 1 for kind, number in there.items() if number}
    while sum(length.values()) < WIDTH:
        length[max(length, key=lambda kind: there[kind] / length[kind])] += 1
    bar = "".join(mark * length.get(kind, 0) for kind, mark in _MARKS.items())
    return f"[{bar}] {counts['completed']}/{counts['total']}"


def _time(res: Result) -> str:
    elapsed, limit = res.get("elapsed"), res.get("time_limit")
    used = "-" if elapsed is None else _span(elapsed)
    return f"{used}/{_span(limit)}" if limit else used


def _span(seconds: float) -> str:
    """As Slurm writes it: ``1-02:03:04``, ``2:03:04``, ``3:04``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}-{hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _local(time: str) -> str:
    """A time as the clock on the wall has it."""
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else ""


def _remarks(res: Result) -> Iterator[str]:
    """Why a job waits and whether it can start, or why it was given up."""
    from datalad_hpc.results import visible_line

    if "outlook" in res:
        color = colors.RED if res["outlook"] == "never" else None
        yield INDENT + colors.color_word(visible_line(_waiting(res)), color)
    elif "advice" in res:
        yield INDENT + visible_line(res["advice"])
    elif chain := res.get("chain_note"):
        yield INDENT + visible_line(chain)
    if note := res.get("note"):
        yield INDENT + visible_line(note)


def _waiting(res: Result) -> str:
    expected = _local(res.get("expected_start", ""))
    parts = [
        f"{_BEGINNINGS[res['outlook']]} ({res['reason']})",
        f"it {res['why']}" if "why" in res else "",
    ]
    more = [
        res.get("chain_note", "") if res.get("chain_note", "") not in res["reason"] else "",
        f"expected to start {expected}" if expected else "",
        res.get("advice", ""),
    ]
    return "; ".join(filter(None, [": ".join(filter(None, parts)), *more]))


def _closing(listed: Sequence[Result]) -> Iterator[str]:
    """How many jobs are where, and what can be done with those that have ended."""
    from datalad_hpc.results import visible_line

    states = Counter(res["state"] for res in listed)
    counts = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
    yield f"{_jobs(len(listed))}: {counts}"
    if number := states["completed"]:
        yield f"{_jobs(number)} can be committed: `datalad finish`"
    failed = [res for res in listed if res.get("failure_text")]
    if failed:
        yield visible_line(_ways_out(failed))


def _ways_out(failed: Sequence[Result]) -> str:
    from datalad_hpc.wording import some_of

    named = some_of([f"{res['slurm_job_id']} ({res['failure_text']})" for res in failed])
    only = f" {failed[0]['slurm_job_id']}" if len(failed) == 1 else ""
    return (
        f"Failed: {named}. `datalad hpc-log --failed{only}` shows the ends of the logs, `datalad "
        f"reschedule --failed{only}` tries again, `datalad finish --close-failed-jobs{only}` gives "
        "up"
    )


def _jobs(number: int) -> str:
    return f"{number:,} job{'s' * (number != 1)}"
