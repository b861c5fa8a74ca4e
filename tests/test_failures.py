"""Why tasks failed, from what schedulers say."""

from __future__ import annotations

from typing import Any

import pytest

from datalad_hpc.failures import Cause, Failure, failure_of
from datalad_hpc.status import Phase, TaskStatus


@pytest.mark.parametrize(
    ("state", "more", "failure", "text"),
    [
        ("OUT_OF_MEMORY", {"signal": 9}, Failure(Cause.OUT_OF_MEMORY), "out of memory"),
        ("TIMEOUT", {}, Failure(Cause.TIMEOUT), "timeout"),
        ("NODE_FAIL", {}, Failure(Cause.NODE_FAILURE), "node failure"),
        ("PREEMPTED", {}, Failure(Cause.PREEMPTED), "preempted"),
        ("CANCELLED", {}, Failure(Cause.CANCELLED), "cancelled"),
        ("CANCELLED", {"reason": "by 7"}, Failure(Cause.CANCELLED, by="7"), "cancelled by 7"),
        ("FAILED", {"exit_code": 3}, Failure(Cause.EXIT_CODE, exit_code=3), "exit code 3"),
        ("FAILED", {"exit_code": 0, "signal": 11}, Failure(Cause.SIGNAL, signal=11), "signal 11"),
        ("FAILED", {"reason": "forgotten"}, Failure(Cause.UNKNOWN), "unknown"),
    ],
)
def test_the_cause_is_told(state: str, more: dict[str, Any], failure: Failure, text: str) -> None:
    found = failure_of(TaskStatus(None, state, Phase.FAILED, **more))
    assert found == failure
    assert found.text == text


def test_who_did_not_fail_has_none() -> None:
    assert failure_of(TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0)) is None
    assert failure_of(TaskStatus(None, "RUNNING", Phase.LIVE)) is None


def test_only_what_tells_becomes_data() -> None:
    assert Failure(Cause.EXIT_CODE, exit_code=2).as_json == {"cause": "exit-code", "exit_code": 2}
    assert Failure(Cause.TIMEOUT).as_json == {"cause": "timeout"}
    missing = Failure(Cause.MISSING_OUTPUT, outputs=("a.txt",))
    assert missing.as_json == {"cause": "missing-output", "outputs": ["a.txt"]}
