"""sacct: the call, and recorded answers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.failures import Cause, Failure, failure_of, trouble_of
from datalad_hpc.schedulers.slurm_accounting import (
    FACT_COLUMNS,
    LAST_COLUMN,
    SEPARATOR,
    parse,
    search_command,
    status_command,
)
from datalad_hpc.schedulers.slurm_rows import Row
from datalad_hpc.status import Phase

DATA = Path(__file__).parents[1] / "data" / "slurm"
SINCE = datetime(2026, 11, 21, 3, 0, tzinfo=timezone.utc)


def recorded(name: str) -> dict[tuple[str, str], Row]:
    text = (DATA / name).read_bytes().decode()
    return {(row.job_id, row.place): row for row in parse(text)}


def test_one_call_asks_for_all_ids() -> None:
    command = status_command(["7", "8"], SINCE)
    assert command[0] == "sacct"
    assert "--jobs=7,8" in command
    assert "--allocations" in command
    assert not any(word.startswith("--clusters") for word in command)


def test_old_jobs_are_asked_for_from_a_day_before_their_submission() -> None:
    elsewhere = SINCE.astimezone(timezone(timedelta(hours=9)))
    assert "--starttime=2026-11-20T03:00:00" in status_command(["7"], elsewhere)


def test_facts_need_the_steps_and_clusters_are_named() -> None:
    command = status_command(["7"], SINCE, clusters={"two", "one"}, facts=True)
    assert "--allocations" not in command
    assert "--clusters=one,two" in command
    assert "MaxRSS" in " ".join(command)


def test_a_search_asks_for_the_user_on_every_cluster() -> None:
    command = search_command(SINCE, 1000)
    assert {"--user=1000", "--allclusters", "--starttime=2026-11-21T02:00:00"} <= set(command)


@pytest.mark.parametrize("name", ["sacct-states.txt", "sacct-facts.txt"])
@pytest.mark.parametrize(
    ("job", "state", "phase", "code", "signal"),
    [
        (("128", ""), "COMPLETED", Phase.COMPLETED, 0, None),
        (("129", ""), "FAILED", Phase.FAILED, 3, None),
        (("130", ""), "FAILED", Phase.FAILED, 0, 9),
        (("131", ""), "PENDING", Phase.LIVE, None, None),
        (("132", ""), "CANCELLED", Phase.FAILED, 0, None),
        (("133", "2"), "COMPLETED", Phase.COMPLETED, 0, None),
        (("133", "3"), "FAILED", Phase.FAILED, 1, None),
        (("134", "[0-198:3%2]"), "PENDING", Phase.LIVE, None, None),
        (("135", "1"), "PENDING", Phase.LIVE, None, None),
        (("137", ""), "PENDING", Phase.LIVE, None, None),
    ],
)
def test_recorded_rows(
    name: str,
    job: tuple[str, str],
    state: str,
    phase: Phase,
    code: int | None,
    signal: int | None,
) -> None:
    task = recorded(name)[job].task
    assert (task.state, task.phase, task.exit_code, task.signal) == (state, phase, code, signal)


def test_both_kinds_of_answers_have_one_row_a_task() -> None:
    assert recorded("sacct-states.txt").keys() == recorded("sacct-facts.txt").keys()
    assert len(recorded("sacct-facts.txt")) == 14


def test_what_the_steps_used_comes_with_the_job() -> None:
    task = recorded("sacct-facts.txt")["128", ""].task
    assert task.peak_memory == 115228672
    assert task.cpu_time == 0.213
    assert task.elapsed == 2
    assert task.nodes == "node01"
    assert task.started == datetime.fromtimestamp(1795232972, tz=timezone.utc)
    assert task.ended == datetime.fromtimestamp(1795232974, tz=timezone.utc)


def test_the_largest_step_counts_and_cpu_time_falls_back_on_the_sum() -> None:
    text = (DATA / "sacct-facts.txt").read_bytes().decode()
    header, job, step = text.split("\n")[:3]
    other = step.replace("128.batch", "128.0").replace("115228672", "300000K")
    lines = [header, job.replace("00:00.213", "00:00:00"), step, other, ""]
    (row,) = parse("\n".join(lines))
    assert row.task.peak_memory == 300000 * 1024
    assert row.task.cpu_time == pytest.approx(0.426)


def test_what_a_job_was_allocated_and_the_processes_of_its_steps() -> None:
    header = SEPARATOR.join([*FACT_COLUMNS, LAST_COLUMN])
    empty = dict.fromkeys([*FACT_COLUMNS, LAST_COLUMN], "")
    job = {**empty, "JobID": "7", "ReqCPUS": "1", "AllocCPUS": "64", "JobName": "x"}
    waits = {**empty, "JobID": "8", "ReqCPUS": "1", "AllocCPUS": "0", "JobName": "x"}
    steps = [
        {**empty, "JobID": "7.batch", "NTasks": "1", "AllocCPUS": "64"},
        {**empty, "JobID": "7.0", "NTasks": "16", "AllocCPUS": "16"},
    ]
    lines = [SEPARATOR.join(row.values()) for row in (job, *steps, waits)]
    ran, waiting = parse("\n".join([header, *lines, ""]))
    assert ran.facts == {
        "name": "x",
        "requested_cpus": 1,
        "allocated_cpus": 64,
        "processes": 16,
    }
    assert waiting.facts == {"name": "x", "requested_cpus": 1}


def test_names_and_submit_lines_may_hold_newlines_and_bars() -> None:
    row = recorded("sacct-facts.txt")["133", "1"]
    assert row.facts["name"] == "two\nlines | here"
    assert "a|b\nc datalad-hpc:token-array" in row.evidence


def test_facts_and_identity_are_apart() -> None:
    row = recorded("sacct-facts.txt")["133", "0"]
    assert row.identity == {"user": "alice", "group": "54321", "account": "alice"}
    assert "alice" not in row.facts.values()
    assert row.facts == {
        "name": "two\nlines | here",
        "cluster": "test",
        "partition": "debug",
        "requested_cpus": 1,
        "requested_memory": "16000M",
        "requested_nodes": 1,
        "time_limit": 7200,
        "submitted": "2026-11-21T03:49:31+00:00",
        "eligible": "2026-11-21T03:49:32+00:00",
    }


def test_no_facts_where_none_were_asked_for() -> None:
    row = recorded("sacct-states.txt")["128", ""]
    assert not row.facts
    assert not row.identity


def test_why_jobs_failed() -> None:
    """As seen on Slurm 22.05.8; the last job was ended by OverMemoryKill, all others were not."""
    rows = recorded("sacct-failures.txt")
    told = {row.facts["name"]: failure_of(row.task) for row in rows.values() if row.place == ""}
    assert told == {
        "memory": Failure(Cause.OUT_OF_MEMORY),
        "exit": Failure(Cause.EXIT_CODE, exit_code=3),
        # sacct has taken 128 away, and nothing tells of that.
        "shell": Failure(Cause.EXIT_CODE, exit_code=11),
        "signal": Failure(Cause.SIGNAL, signal=11),
        "step": Failure(Cause.SIGNAL, exit_code=139, signal=11),
        "log": Failure(Cause.LAUNCH, signal=53),
        "before": Failure(Cause.EXIT_CODE, exit_code=1),
        "killed": Failure(Cause.DEPENDENCY),
        "stuck": None,
        "given-up": Failure(Cause.DEPENDENCY, by="root"),
        "cancelled": Failure(Cause.CANCELLED, by="root"),
        "preempted": Failure(Cause.PREEMPTED),
        "high": None,
        "node": Failure(Cause.NODE_FAILURE),
        "limit": Failure(Cause.TIMEOUT),
        "deadline": Failure(Cause.DEADLINE),
    }
    assert trouble_of(rows["9", ""].task) == Failure(Cause.DEPENDENCY)
    assert failure_of(rows["17", ""].task) == Failure(Cause.OUT_OF_MEMORY)


def test_the_stub_of_a_job_is_provisional() -> None:
    text = (DATA / "sacct-states.txt").read_bytes().decode()
    stubs = [row.provisional for row in parse(text.replace("debug", ""))]
    assert len(stubs) == 14
    assert all(stubs)
    assert not any(row.provisional for row in parse(text))


def test_reasons() -> None:
    rows = recorded("sacct-states.txt")
    assert rows["131", ""].task.reason == "JobHeldUser"
    assert rows["132", ""].task.reason == "by root"
    assert rows["128", ""].task.reason == ""


def test_a_waiting_job_has_neither_nodes_nor_times() -> None:
    task = recorded("sacct-facts.txt")["137", ""].task
    assert (task.nodes, task.started, task.ended, task.elapsed) == ("", None, None, None)


def test_an_answer_without_jobs() -> None:
    header = (DATA / "sacct-states.txt").read_bytes().decode().split("\n")[0]
    assert parse(header + "\n") == []


@pytest.mark.parametrize("text", ["", "Welcome to the cluster\n", f"JobID{SEPARATOR}State\n7\n"])
def test_something_else_is_no_answer(text: str) -> None:
    with pytest.raises(SchedulerUnreachable, match="no list of jobs"):
        parse(text)


def test_half_an_answer_is_no_answer() -> None:
    text = (DATA / "sacct-states.txt").read_bytes().decode()
    with pytest.raises(SchedulerUnreachable, match="breaks off"):
        parse(text[: text.rindex(SEPARATOR)])
