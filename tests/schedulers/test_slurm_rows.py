"""Rows of sacct and squeue, put together to jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers.base import ANYBODYS
from datalad_hpc.schedulers.slurm_rows import (
    Row,
    certainly_live,
    collect,
    is_doubtful,
    is_ours,
    joined,
    split_id,
    stubs_of,
    submission_of,
    task_status,
    with_usage,
    without_trace,
)
from datalad_hpc.status import JobKey, JobStatus, Phase, Submission, TaskStatus

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
LINE = "sbatch --comment=datalad-hpc:token job.sh"


def key(tasks: tuple[int, ...] | None = None, cluster: str = "") -> JobKey:
    return JobKey("7", cluster, "token", NOON, tasks)


def row(place: str = "", state: str = "RUNNING", **values: Any) -> Row:
    task = task_status(state, "", "node01", NOON, exit_code=0, elapsed=4.0, ended=NOON)
    told: dict[str, Any] = {"evidence": LINE, "lasting": True, "submitted": NOON, "cluster": "one"}
    return Row(values.pop("job_id", "7"), place, task=task, **{**told, **values})


def states(status: JobStatus | None) -> dict[int | None, str]:
    assert status is not None
    return {task.index: task.state for task in status.tasks}


def status_of(wanted: JobKey, *rows: Row) -> dict[int | None, str]:
    return states(collect([wanted], rows).get("7"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", ("7", "", "")),
        ("7.batch", ("7", "", "batch")),
        ("7_3", ("7", "3", "")),
        ("7_3.0", ("7", "3", "0")),
        ("7_[0,3,6-9%2]", ("7", "[0,3,6-9%2]", "")),
        ("7_[0,3,6-9...", ("7", "[0,3,6-9...", "")),
        ("7+1", ("7", "1", "")),
        ("7+1.extern", ("7", "1", "extern")),
        ("soon", None),
    ],
)
def test_ids(text: str, expected: tuple[str, str, str] | None) -> None:
    assert split_id(text) == expected


def test_a_plain_job() -> None:
    assert status_of(key(), row()) == {None: "RUNNING"}


def test_components_of_a_heterogeneous_job_are_numbered() -> None:
    assert status_of(key(), row("1"), row("0", "PENDING")) == {0: "PENDING", 1: "RUNNING"}


def test_tasks_of_an_array_that_waits() -> None:
    rows = [row("[0,3,6-9:3%2]", "PENDING"), row("1", "FAILED")]
    expected = {0: "PENDING", 1: "FAILED", 3: "PENDING", 6: "PENDING", 9: "PENDING"}
    assert status_of(key((0, 1, 3, 6, 9)), *rows) == expected


def test_an_array_that_is_not_split_yet() -> None:
    assert status_of(key((0, 3)), row(state="PENDING")) == {0: "PENDING", 3: "PENDING"}


def test_the_row_of_a_task_is_better_than_one_for_many() -> None:
    rows = [row("3", "COMPLETED"), row("[0,3]", "PENDING")]
    assert status_of(key((0, 3)), *rows) == {0: "PENDING", 3: "COMPLETED"}


def test_a_list_that_was_cut_stands_for_all_without_a_row() -> None:
    rows = [row("1", "COMPLETED"), row("[2,4-6...]", "PENDING")]
    assert status_of(key((1, 2, 9)), *rows) == {1: "COMPLETED", 2: "PENDING", 9: "PENDING"}


def test_an_array_cancelled_as_a_whole() -> None:
    assert status_of(key((0, 1)), row("[0-1%1]", "CANCELLED")) == {0: "CANCELLED", 1: "CANCELLED"}


def test_a_plain_row_that_ended_says_nothing_of_tasks() -> None:
    assert status_of(key((0, 1)), row(state="COMPLETED")) == {}


def test_jobs_without_rows_are_absent() -> None:
    assert collect([key()], [row(job_id="8")]) == {}


def test_numbers_of_live_tasks_are_not_trusted() -> None:
    (task,) = collect([key()], [row()])["7"].tasks
    assert (task.exit_code, task.elapsed, task.ended) == (None, None, None)
    assert task.started == NOON


def test_a_stub_tells_nothing_but_what_was_used() -> None:
    stub = row(state="COMPLETED", provisional=True)
    stub = replace(stub, task=replace(stub.task, cpu_time=2.5, peak_memory=4096))
    assert collect([key()], [stub]) == {}
    (queued,) = collect([key()], [row(state="FAILED")]).values()
    (task,) = with_usage(queued, stubs_of([stub])["7"]).tasks
    assert (task.state, task.cpu_time, task.peak_memory) == ("FAILED", 2.5, 4096)
    array = status(_0="FAILED")
    assert with_usage(array, stub.task) is array


@pytest.mark.parametrize(
    ("tasks", "rows", "live"),
    [
        (None, [row(state="PENDING")], True),
        (None, [row(state="RUNNING")], True),
        (None, [row(state="COMPLETED")], False),
        (None, [], False),
        (None, [row(state="PENDING", evidence="sbatch --comment=datalad-hpc:another")], False),
        ((0, 1, 2), [row("[1-2]", "PENDING"), row("0")], True),
        ((0, 1, 2), [row("[1-2]", "PENDING")], False),
        ((0, 1, 2), [row("[1-2...", "PENDING"), row("0")], False),
    ],
)
def test_jobs_of_which_the_queue_tells_enough(
    tasks: tuple[int, ...] | None, rows: list[Row], live: bool
) -> None:
    assert list(certainly_live([key(tasks)], rows)) == (["7"] if live else [])


def test_start_and_end_of_a_job_span_its_tasks() -> None:
    rows = [row("0", "COMPLETED", facts={"name": "x"}), row("1", facts={"name": "x"})]
    facts = collect([key((0, 1))], rows)["7"].facts
    assert facts == {"name": "x", "started": NOON.isoformat()}


@pytest.mark.parametrize(
    ("values", "ours"),
    [
        ({}, True),
        ({"evidence": "sbatch other.sh"}, False),
        ({"evidence": ""}, True),
        ({"evidence": "", "submitted": NOON - timedelta(days=2)}, False),
        ({"evidence": "", "submitted": NOON + timedelta(minutes=5)}, True),
        ({"evidence": "", "submitted": NOON + timedelta(hours=1)}, False),
        ({"evidence": "billed", "lasting": False, "submitted": NOON + timedelta(hours=1)}, False),
        ({"submitted": NOON + timedelta(hours=1)}, True),
        ({"evidence": "", "submitted": None}, False),
        ({"evidence": "datalad-hpc:other", "lasting": False}, False),
        ({"evidence": "billed by a plugin", "lasting": False}, True),
        ({"job_id": "8"}, False),
    ],
)
def test_whose_row_it_is(values: dict[str, Any], ours: bool) -> None:
    assert is_ours(row(**values), key()) is ours


@pytest.mark.parametrize(
    ("token", "values", "ours"),
    [
        ("", {"evidence": "sbatch other.sh"}, True),
        ("", {"evidence": "sbatch other.sh", "submitted": NOON - timedelta(days=2)}, False),
        ("", {}, False),
        ("", {"evidence": "datalad-hpc:other", "lasting": False}, False),
        (ANYBODYS, {"evidence": "sbatch other.sh", "submitted": NOON - timedelta(days=2)}, True),
        (ANYBODYS, {}, True),
    ],
)
def test_whose_row_it_is_without_a_token(token: str, values: dict[str, Any], ours: bool) -> None:
    """A job that a program has named is none that is tracked already; or any job is meant."""
    assert is_ours(row(**values), replace(key(), token=token)) is ours


def test_the_cluster_decides_where_it_is_known() -> None:
    assert is_ours(row(), key(cluster="one"))
    assert not is_ours(row(), key(cluster="two"))


def test_the_submission_of_a_token() -> None:
    rows = [row("0"), row("1"), row(job_id="8", evidence="datalad-hpc:other")]
    assert submission_of("token", rows) == Submission("7", "one")
    assert submission_of("nobody", rows) is None


def test_of_several_jobs_of_a_token_the_one_that_was_not_cancelled_counts() -> None:
    cancelled = row(job_id="8", state="CANCELLED")
    assert submission_of("token", [row(), cancelled]) == Submission("7", "one")
    assert submission_of("token", [cancelled]) == Submission("8", "one")


def test_a_token_in_several_jobs_is_no_answer() -> None:
    with pytest.raises(SchedulerUnreachable, match="7, 8"):
        submission_of("token", [row(), row(job_id="8")])


def status(**tasks: str) -> JobStatus:
    """Statuses by index: ``_3="RUNNING"``."""
    made = (task_status(state, "", "", None) for state in tasks.values())
    indices = (int(name[1:]) for name in tasks)
    return JobStatus(
        "7",
        tuple(
            TaskStatus(index, task.state, task.phase)
            for index, task in zip(indices, made, strict=True)
        ),
    )


RUNS = TaskStatus(1, "RUNNING", Phase.LIVE)


@pytest.mark.parametrize(
    ("told", "doubtful"),
    [
        (None, True),
        (status(_0="COMPLETED", _1="COMPLETED"), False),
        (status(_0="COMPLETED", _1="PREEMPTED"), True),
        (status(_0="COMPLETED"), True),
        (status(_0="RUNNING"), True),
        (status(_0="RUNNING", _1="COMPLETED"), False),
        (status(_0="CANCELLED", _1="COMPLETED"), False),
        (JobStatus("7", (TaskStatus(0, "TIMEOUT", Phase.FAILED, nodes="n1"),)), True),
        (
            JobStatus("7", (TaskStatus(0, "CANCELLED", Phase.FAILED, nodes="n1"), RUNS)),
            True,
        ),
    ],
)
def test_when_the_queue_is_asked_too(told: JobStatus | None, doubtful: bool) -> None:
    assert is_doubtful(key((0, 1)), told) is doubtful


def test_what_is_live_in_the_queue_is_live() -> None:
    told, queued = status(_0="PREEMPTED", _1="COMPLETED"), status(_0="PENDING", _1="COMPLETED")
    assert states(joined(told, queued)) == {0: "PENDING", 1: "COMPLETED"}


def test_a_job_that_accounting_does_not_know_yet() -> None:
    queued = status(_0="PENDING")
    assert joined(None, queued) is queued
    assert joined(None, None) is None


def test_a_task_that_left_no_trace_has_failed_where_the_queue_has_all() -> None:
    both = joined(status(_0="COMPLETED"), status(_2="COMPLETED"))
    assert states(both) == {0: "COMPLETED", 2: "COMPLETED"}
    assert both is not None
    both = without_trace(key((0, 1, 2)), both)
    assert states(both) == {0: "COMPLETED", 1: "CANCELLED", 2: "COMPLETED"}
    assert both.phase is Phase.FAILED
    assert "no record" in both.tasks[1].reason
