"""Pure: the ends of many failed tasks, of which most are alike, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datalad_hpc.wording import MOST_SHOWN, some_tasks

_NUMBER = re.compile(r"\d+|0x[0-9a-f]+")


def report(failed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines about the results of failed tasks: of those that end alike only the first.

    Tasks end alike if their logs do but for numbers, which are times, indices and addresses.
    """
    from datalad_hpc.results import visible, visible_line

    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for res in failed:
        groups.setdefault(_ending(res), []).append(res)
    for same in list(groups.values())[:MOST_SHOWN]:
        first = same[0]
        yield visible_line(f"{_label(first)}: {first['reason']}")
        for log in first["logs"]:
            yield visible_line(f"  {log['path']}:")
            lines = log["content"].removesuffix("\n").split("\n") if log["content"] else []
            yield from (f"  | {visible(_last_state(line))}" for line in lines)
        if len(same) > 1:
            yield f"  and alike: {_others(same[1:])}"
        yield ""
    if left := [res for same in list(groups.values())[MOST_SHOWN:] for res in same]:
        yield f"and {len(left):,} more tasks failed in other ways: {_others(left)}"


def _last_state(line: str) -> str:
    """What a terminal would show of a line that a progress bar has written many times."""
    return line.rstrip("\r").rpartition("\r")[2]


def _label(res: Mapping[str, Any]) -> str:
    return res["slurm_job_id"] + (f"_{res['task']}" if "task" in res else "")


def _ending(res: Mapping[str, Any]) -> tuple[Any, ...]:
    ends = [_NUMBER.sub("0", log["content"]) for log in res["logs"]]
    return (res["reason"], *ends)


def _others(same: Sequence[Mapping[str, Any]]) -> str:
    """Tasks in few words: ``tasks 1-20 of job 123, job 124``."""
    of_job: dict[str, list[int]] = {}
    for res in same:
        of_job.setdefault(res["slurm_job_id"], []).extend([res["task"]] if "task" in res else [])
    return ", ".join(
        f"{some_tasks(tasks)} of job {job}" if tasks else f"job {job}"
        for job, tasks in of_job.items()
    )
