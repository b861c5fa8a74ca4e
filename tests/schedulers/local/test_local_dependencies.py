"""What --dependency means to the local scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest, SubmissionRefused
from datalad_hpc.schedulers.local_dependencies import (
    KINDS,
    Condition,
    Dependencies,
    Verdict,
    parse_dependencies,
)
from datalad_hpc.schedulers.local_job import Event, Progress
from datalad_hpc.status import JobStatus, Phase

if TYPE_CHECKING:
    from conftest import Bench

NEVER = "DependencyNeverSatisfied"


def progress(*states: str) -> Progress:
    """Tasks 0, 1, … with these states."""
    result = Progress(tuple(range(len(states))))
    for task, state in enumerate(states):
        if state != "PENDING":
            result.apply(Event(task, "", pid=1))
        if state not in ("PENDING", "RUNNING"):
            result.apply(Event(task, "", state=state))
    return result


@pytest.mark.parametrize(
    ("kind", "states", "verdict"),
    [
        ("after", "PENDING RUNNING", Verdict.WAITING),
        ("after", "FAILED RUNNING", Verdict.SATISFIED),
        ("afterany", "COMPLETED RUNNING", Verdict.WAITING),
        ("afterany", "COMPLETED FAILED", Verdict.SATISFIED),
        ("afterok", "COMPLETED PENDING", Verdict.WAITING),
        ("afterok", "COMPLETED COMPLETED", Verdict.SATISFIED),
        ("afterok", "PENDING NODE_FAIL", Verdict.NEVER),
        ("afternotok", "FAILED RUNNING", Verdict.WAITING),
        ("afternotok", "FAILED COMPLETED", Verdict.SATISFIED),
        ("afternotok", "COMPLETED COMPLETED", Verdict.NEVER),
    ],
)
def test_kinds(kind: str, states: str, verdict: Verdict) -> None:
    wanted = parse_dependencies(f"{kind}:5")
    assert wanted.judge(None, lambda job: progress(*states.split()), False) is verdict


def test_one_task() -> None:
    wanted = parse_dependencies("afterok:5_1")
    assert wanted.judge(None, lambda job: progress("FAILED", "COMPLETED"), False) is (
        Verdict.SATISFIED
    )


def test_cancelled_without_a_start_counts_as_begun() -> None:
    cancelled = Progress((None,))
    cancelled.apply(Event(None, "", state="CANCELLED"))
    assert parse_dependencies("after:5").judge(None, lambda job: cancelled, False) is (
        Verdict.SATISFIED
    )


@pytest.mark.parametrize(
    ("separator", "verdicts"),
    [
        (",", [Verdict.WAITING, Verdict.NEVER, Verdict.NEVER]),
        ("?", [Verdict.SATISFIED, Verdict.WAITING, Verdict.NEVER]),
    ],
)
def test_all_and_any(separator: str, verdicts: list[Verdict]) -> None:
    jobs = {1: progress("COMPLETED"), 2: progress("RUNNING"), 3: progress("FAILED")}
    found = [
        parse_dependencies(separator.join(f"afterok:{job}" for job in pair)).judge(
            None, jobs.__getitem__, False
        )
        for pair in ((1, 2), (2, 3), (3, 3))
    ]
    assert found == verdicts


@given(
    st.lists(
        st.builds(
            Condition,
            st.sampled_from(sorted(KINDS)),
            st.integers(0, 10**9),
            st.none() | st.integers(0, 10**6),
        ),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_reading_what_was_written(conditions: list[Condition], any_suffices: bool) -> None:
    def write(item: Condition) -> str:
        task = "" if item.task is None else f"_{item.task}"
        return f"{item.kind}:{item.job_id}{task}"

    text = ("?" if any_suffices else ",").join(write(item) for item in conditions)
    found = parse_dependencies(text)
    assert found.conditions == tuple(conditions)
    assert found.any_suffices == ("?" in text)


@given(st.text(alphabet="aftersinglokync:,?_0123456789+ ", max_size=30))
def test_what_cannot_be_read_is_refused(text: str) -> None:
    try:
        found = parse_dependencies(text)
    except BadRequest:
        return
    assert isinstance(found, Dependencies)


@pytest.mark.parametrize(
    "text", ["5", "afterok", "afterok:", "afterok:1+5", "singleton:3", "after:1,after:2?after:3"]
)
def test_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_dependencies(text)


def outcome(status: JobStatus) -> list[tuple[str, str]]:
    return [(task.state, task.reason) for task in status.tasks]


HOLD = "while [ ! -e go ]; do sleep 0.02; done"


def test_waiting_shows_its_reason(bench: Bench) -> None:
    first = bench.submit("--wrap", f"{HOLD}; echo 1 >> order")
    second = bench.submit("-d", f"afterok:{first}", "--wrap", "echo 2 >> order")
    status = bench.status(second)
    assert status
    assert outcome(status) == [("PENDING", "Dependency")]
    (bench.folder / "go").touch()
    assert bench.wait(second).phase is Phase.COMPLETED
    assert bench.text("order").split() == ["1", "2"]


def test_failure_of_the_first(bench: Bench) -> None:
    first = bench.submit("--wrap", "exit 1")
    after_ok = bench.submit(
        "-d", f"afterok:{first}", "--kill-on-invalid-dep=yes", "--wrap", "touch ran"
    )
    chained = bench.submit("-d", f"afterok:{after_ok}", "--wrap", "touch ran")
    after_any = bench.submit("-d", f"afterany:{after_ok}", "--wrap", "true")
    after_not_ok = bench.submit("-d", f"afternotok:{first}", "--wrap", "true")
    for cancelled in (after_ok, chained):
        status = bench.wait(cancelled)
        assert outcome(status) == [("CANCELLED", NEVER)]
        assert status.phase is Phase.FAILED
    assert bench.wait(after_any).phase is Phase.COMPLETED
    assert bench.wait(after_not_ok).phase is Phase.COMPLETED
    assert not (bench.folder / "ran").exists()


def test_after_needs_the_start_only(bench: Bench) -> None:
    first = bench.submit("--wrap", HOLD)
    second = bench.submit("-d", f"after:{first}", "--wrap", "true")
    assert bench.wait(second).phase is Phase.COMPLETED
    assert bench.states(first) == ["RUNNING"]
    (bench.folder / "go").touch()


def test_corresponding_tasks(bench: Bench) -> None:
    first = bench.submit("-a", "1-3", "--wrap", "[ $SLURM_ARRAY_TASK_ID != 2 ]")
    second = bench.submit("-a", "1-3", "-d", f"aftercorr:{first}", "--wrap", "true")
    expected = [("COMPLETED", ""), ("CANCELLED", NEVER), ("COMPLETED", "")]
    assert outcome(bench.wait(second)) == expected


def test_task_of_an_array(bench: Bench) -> None:
    first = bench.submit("-a", "1-2", "--wrap", "[ $SLURM_ARRAY_TASK_ID = 1 ]")
    good = bench.submit("-d", f"afterok:{first}_1", "--wrap", "true")
    bad = bench.submit("-d", f"afterok:{first}_2", "--wrap", "true")
    whole = bench.submit("-d", f"afterok:{first}", "--wrap", "true")
    assert bench.wait(good).phase is Phase.COMPLETED
    assert outcome(bench.wait(bad)) == outcome(bench.wait(whole)) == [("CANCELLED", NEVER)]
    with pytest.raises(SubmissionRefused, match=f"{first}_9"):
        bench.submit("-d", f"afterok:{first}_9", "--wrap", "true")


def test_singleton(bench: Bench) -> None:
    busy = "echo + >> ran; sleep 0.1; echo - >> ran"
    jobs = [bench.submit("-J", "one", "-d", "singleton", "--wrap", busy) for _ in range(3)]
    other = bench.submit("-J", "other", "-d", "singleton", "--wrap", "true")
    assert bench.wait(other).phase is Phase.COMPLETED
    for job_id in jobs:
        assert bench.wait(job_id).phase is Phase.COMPLETED
    assert bench.text("ran").split() == ["+", "-"] * 3


def test_dependency_on_a_job_of_long_ago(bench: Bench) -> None:
    first = bench.submit("--wrap", "true")
    bench.wait(first)
    bench.until(lambda: not bench.is_dispatched)
    second = bench.submit("-d", f"afterok:{first}", "--wrap", "true")
    assert bench.wait(second).phase is Phase.COMPLETED
