"""The ends of failed tasks, for people."""

from __future__ import annotations

from typing import Any

from datalad_hpc.following.alike import report


def failed(task: int | None, content: str, reason: str = "exit code 1") -> dict[str, Any]:
    logs = [{"path": f"slurm-7_{task}.out", "content": content}]
    of_task = {} if task is None else {"task": task}
    return {"slurm_job_id": "7", "reason": reason, "logs": logs, **of_task}


def test_what_differs_in_numbers_is_told_once() -> None:
    lines = list(report([failed(task, f"no input {task}\n") for task in (*range(1000), 2000)]))
    assert lines == [
        "7_0: exit code 1",
        "  slurm-7_0.out:",
        "  | no input 0",
        "  and alike: tasks 1-999,2000 of job 7",
        "",
    ]


def test_other_words_or_another_reason_stand_alone() -> None:
    told = [failed(0, "a\n"), failed(1, "b\n"), failed(2, "a\n", "timeout")]
    assert [line for line in report(told) if line and line[0] != " "] == [
        "7_0: exit code 1",
        "7_1: exit code 1",
        "7_2: timeout",
    ]


def test_of_very_many_ways_to_fail_some_are_counted() -> None:
    lines = list(report([failed(task, "x" * task) for task in range(25)]))
    assert sum(line.endswith("exit code 1") for line in lines) == 10
    assert lines[-1] == "and 15 more tasks failed in other ways: tasks 10-24 of job 7"


def test_nothing_plays_tricks_on_the_terminal() -> None:
    (_, _, line, _) = report([failed(None, "10%\r\x1b[2Jgone\r\n")])
    assert line == "  | \\x1b[2Jgone"
