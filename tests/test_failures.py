"""Why tasks failed, from what schedulers say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from datalad_hpc.failures import (
    Cause,
    Failure,
    failure_fields,
    failure_of,
    trouble_of,
    without_name,
)
from datalad_hpc.finish.deciding import run_again
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.store.rows import PLAIN_TASK, end_of, ended_task

NEVER = "DependencyNeverSatisfied"
NO_LOG = "not started: its log could not be opened, or its folder is not there"


def failed(state: str = "FAILED", index: int | None = None, **more: Any) -> TaskStatus:
    return TaskStatus(index, state, Phase.FAILED, **more)


@pytest.mark.parametrize(
    ("state", "more", "failure", "text"),
    [
        ("OUT_OF_MEMORY", {"signal": 125}, Failure(Cause.OUT_OF_MEMORY), "out of memory"),
        (
            "FAILED",
            {"signal": 9, "reason": "OutOfMemory"},
            Failure(Cause.OUT_OF_MEMORY),
            "out of memory",
        ),
        ("TIMEOUT", {}, Failure(Cause.TIMEOUT), "timeout"),
        ("NODE_FAIL", {}, Failure(Cause.NODE_FAILURE), "node failure"),
        ("BOOT_FAIL", {}, Failure(Cause.NODE_FAILURE), "node failure"),
        ("PREEMPTED", {"signal": 15}, Failure(Cause.PREEMPTED), "preempted"),
        ("DEADLINE", {}, Failure(Cause.DEADLINE), "deadline"),
        ("CANCELLED", {}, Failure(Cause.CANCELLED), "cancelled"),
        ("CANCELLED", {"reason": "by 7"}, Failure(Cause.CANCELLED, by="7"), "cancelled by 7"),
        (
            "CANCELLED",
            {"reason": "by two words, JobHeldUser", "signal": 15},
            Failure(Cause.CANCELLED, by="two words"),
            "cancelled by two words",
        ),
        (
            "CANCELLED",
            {"reason": f"by ann, {NEVER}: its predecessor, job 7, failed"},
            Failure(Cause.DEPENDENCY, by="ann"),
            "dependency never satisfied",
        ),
        ("CANCELLED", {"reason": NEVER}, Failure(Cause.DEPENDENCY), "dependency never satisfied"),
        ("FAILED", {"exit_code": 3}, Failure(Cause.EXIT_CODE, exit_code=3), "exit code 3"),
        ("FAILED", {"exit_code": 128}, Failure(Cause.EXIT_CODE, exit_code=128), "exit code 128"),
        ("FAILED", {"exit_code": 255}, Failure(Cause.EXIT_CODE, exit_code=255), "exit code 255"),
        (
            "FAILED",
            {"exit_code": 137},
            Failure(Cause.SIGNAL, exit_code=137, signal=9),
            "signal 9 (exit code 137)",
        ),
        ("FAILED", {"exit_code": 0, "signal": 11}, Failure(Cause.SIGNAL, signal=11), "signal 11"),
        ("FAILED", {"exit_code": 0, "signal": 53}, Failure(Cause.LAUNCH, signal=53), NO_LOG),
        (
            "FAILED",
            {"exit_code": 2, "reason": "it did not start: no such file"},
            Failure(Cause.LAUNCH, exit_code=2),
            "launch failure",
        ),
        ("FAILED", {"reason": "forgotten"}, Failure(Cause.UNKNOWN), "unknown"),
    ],
)
def test_the_cause_is_told(state: str, more: dict[str, Any], failure: Failure, text: str) -> None:
    task = failed(state, **more)
    found = failure_of(task)
    assert found == failure
    assert found.text == text
    assert failure_of(ended_task(PLAIN_TASK, **end_of(task))) == failure


def test_who_did_not_fail_has_none() -> None:
    assert failure_of(TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0)) is None
    assert failure_of(TaskStatus(None, "RUNNING", Phase.LIVE)) is None


def test_missing_outputs_are_of_tasks_that_completed() -> None:
    done = TaskStatus(None, "COMPLETED", Phase.COMPLETED, missing=("a", "b"))
    assert failure_of(done) == Failure(Cause.MISSING_OUTPUT, outputs=("a", "b"))
    assert failure_of(ended_task(PLAIN_TASK, **end_of(done))) == failure_of(done)


def test_what_waits_in_vain_is_in_trouble_but_has_not_failed() -> None:
    waiting = TaskStatus(None, "PENDING", Phase.LIVE, reason=f"{NEVER}: its predecessor failed")
    assert failure_of(waiting) is None
    assert trouble_of(waiting) == Failure(Cause.DEPENDENCY)
    assert trouble_of(replace(waiting, reason="Dependency")) is None


def test_only_what_tells_becomes_data() -> None:
    assert Failure(Cause.EXIT_CODE, exit_code=2).as_json == {"cause": "exit-code", "exit_code": 2}
    assert Failure(Cause.TIMEOUT).as_json == {"cause": "timeout"}
    missing = Failure(Cause.MISSING_OUTPUT, outputs=("a.txt",))
    assert missing.as_json == {"cause": "missing-output", "outputs": ["a.txt"]}


def test_a_plain_job_has_one_failure() -> None:
    told = failure_fields(JobStatus("7", (failed("TIMEOUT"),)), of_tasks=False)
    assert told == {"failure": {"cause": "timeout"}}
    done = TaskStatus(None, "COMPLETED", Phase.COMPLETED)
    assert failure_fields(JobStatus("7", (done,)), of_tasks=False) == {}
    assert failure_fields(JobStatus("7", (done,)), of_tasks=True) == {}


def test_tasks_are_together_by_their_failure() -> None:
    tasks = (
        failed(index=0, exit_code=1),
        TaskStatus(1, "COMPLETED", Phase.COMPLETED, missing=("all", "1.txt")),
        failed("TIMEOUT", 2),
        failed(index=3, exit_code=1),
        TaskStatus(4, "COMPLETED", Phase.COMPLETED, missing=("all", "4.txt")),
        TaskStatus(5, "RUNNING", Phase.LIVE),
        failed(index=6, exit_code=2),
        failed(index=7, exit_code=1),
        failed(index=8, exit_code=1),
    )
    assert failure_fields(JobStatus("7", tasks), of_tasks=True)["failures"] == [
        {"cause": "exit-code", "exit_code": 1, "tasks": "0,3,7-8"},
        {"cause": "missing-output", "outputs": ["all", "1.txt", "4.txt"], "tasks": "1,4"},
        {"cause": "timeout", "tasks": "2"},
        {"cause": "exit-code", "exit_code": 2, "tasks": "6"},
    ]


@pytest.mark.parametrize(
    ("by", "owner", "kept"),
    [
        ("", "ann", ""),
        ("root", "ann", "root"),
        ("ann", "ann", "owner"),
        ("ben", "ann", "another user"),
        ("1234", "", ""),
    ],
)
def test_nobody_is_named_who_does_not_want_it(by: str, owner: str, kept: str) -> None:
    assert without_name(Failure(Cause.CANCELLED, by=by), owner).by == kept


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([], ""),
        (["COMPLETED"], "run it again (`datalad reschedule --failed 7`), "),
        (["FAILED"], "run it again (`datalad reschedule --failed 7`), "),
        (
            ["COMPLETED", "OUT_OF_MEMORY"],
            "run it again with more memory (`datalad reschedule --failed 7 --scale mem=2`), ",
        ),
        (
            ["TIMEOUT"],
            "run it again with more time (`datalad reschedule --failed 7 --scale time=2`), ",
        ),
        (
            ["TIMEOUT", "FAILED", "OUT_OF_MEMORY"],
            "run it again with more memory and time "
            "(`datalad reschedule --failed 7 --scale mem=2 time=2`), ",
        ),
    ],
)
def test_the_way_out_asks_for_more_of_what_was_too_little(states: list[str], told: str) -> None:
    done = TaskStatus(None, "COMPLETED", Phase.COMPLETED, missing=("out",))
    tasks = (done if state == "COMPLETED" else failed(state) for state in states)
    assert run_again("7", JobStatus("7", tuple(tasks))) == told
