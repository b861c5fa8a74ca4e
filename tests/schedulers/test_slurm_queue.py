"""squeue and scontrol: the calls, and recorded answers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.failures import Cause, Failure, failure_of, trouble_of
from datalad_hpc.schedulers.slurm_queue import (
    COLUMNS,
    FIELD_END,
    FIRST_HEADING,
    LIVE_COLUMNS,
    ROW_END,
    live_command,
    parse,
    parse_live,
    parse_settings,
    queue_command,
)
from datalad_hpc.schedulers.slurm_rows import Row
from datalad_hpc.status import Phase

DATA = Path(__file__).parents[1] / "data" / "slurm"


def answer() -> str:
    return (DATA / "squeue.txt").read_bytes().decode()


def recorded() -> dict[tuple[str, str], Row]:
    return {(row.job_id, row.place): row for row in parse(answer())}


def test_the_call_lists_all_jobs_of_the_user() -> None:
    command = queue_command()
    assert {"--me", "--all", "--states=all"} <= set(command)
    assert not any(word.startswith("--clusters") for word in command)


def test_other_clusters_are_named() -> None:
    assert "--clusters=one,two" in queue_command(["two", "one"])


@pytest.mark.parametrize(
    ("job", "state", "phase", "code", "signal"),
    [
        (("128", ""), "COMPLETED", Phase.COMPLETED, 0, None),
        (("129", ""), "FAILED", Phase.FAILED, 3, None),
        (("130", ""), "FAILED", Phase.FAILED, 0, 9),
        (("131", ""), "PENDING", Phase.LIVE, None, None),
        (("132", ""), "CANCELLED", Phase.FAILED, 0, None),
        (("133", "1"), "FAILED", Phase.FAILED, 1, None),
        (("134", "[0-198:3%2]"), "PENDING", Phase.LIVE, None, None),
        (("135", "0"), "PENDING", Phase.LIVE, None, None),
    ],
)
def test_recorded_rows(
    job: tuple[str, str], state: str, phase: Phase, code: int | None, signal: int | None
) -> None:
    task = recorded()[job].task
    assert (task.state, task.phase, task.exit_code, task.signal) == (state, phase, code, signal)


def test_why_jobs_failed() -> None:
    """As Slurm 22.05.8 tells of the jobs that its accounting has in sacct-failures.txt."""
    text = (DATA / "squeue-failures.txt").read_bytes().decode()
    rows = {row.facts["name"]: row.task for row in parse(text)}
    assert {name: failure_of(task) for name, task in rows.items()} == {
        "memory": Failure(Cause.OUT_OF_MEMORY),
        "exit": Failure(Cause.EXIT_CODE, exit_code=3),
        "shell": Failure(Cause.SIGNAL, exit_code=139, signal=11),
        "signal": Failure(Cause.SIGNAL, signal=11),
        "step": Failure(Cause.SIGNAL, exit_code=139, signal=11),
        "log": Failure(Cause.LAUNCH, signal=53),
        "before": Failure(Cause.EXIT_CODE, exit_code=1),
        "killed": Failure(Cause.DEPENDENCY),
        "stuck": None,
        "given-up": Failure(Cause.DEPENDENCY),
        # By whom the queue does not tell.
        "cancelled": Failure(Cause.CANCELLED),
        "preempted": Failure(Cause.PREEMPTED),
        "high": None,
        "node": Failure(Cause.NODE_FAILURE),
        "limit": Failure(Cause.TIMEOUT),
        "deadline": Failure(Cause.DEADLINE),
    }
    assert trouble_of(rows["stuck"]) == Failure(Cause.DEPENDENCY)


def test_every_recorded_row_is_read() -> None:
    assert len(recorded()) == 14


def test_numbers_of_an_ended_job() -> None:
    task = recorded()["128", ""].task
    assert (task.elapsed, task.nodes) == (2, "node01")
    assert task.started == datetime.fromtimestamp(1795232972, tz=timezone.utc)
    assert task.ended == datetime.fromtimestamp(1795232974, tz=timezone.utc)


def test_expected_times_are_not_taken_for_real_ones() -> None:
    task = recorded()["137", ""].task
    assert (task.started, task.ended, task.reason) == (None, None, "BeginTime")


def test_comments_may_hold_newlines_and_bars() -> None:
    row = recorded()["133", "1"]
    assert row.evidence == "a|b\nc datalad-hpc:token-array"
    assert row.facts["name"] == "two\nlines | here"


def test_no_comment_is_no_evidence() -> None:
    assert recorded()["141", ""].evidence == ""


def test_facts_and_identity_are_apart() -> None:
    row = recorded()["137", ""]
    assert row.identity == {"user": "alice", "group": "alice", "account": "alice"}
    assert "alice" not in row.facts.values()
    assert row.facts["restarts"] == 1
    assert recorded()["133", "1"].facts["time_limit"] == 7200


def heading(columns: tuple[str, ...]) -> str:
    return FIELD_END.join((FIRST_HEADING, *columns[1:])) + ROW_END + "\n"


def test_an_empty_queue() -> None:
    assert parse(heading(COLUMNS)) == []


def test_each_cluster_has_a_heading() -> None:
    answers = "".join(f"CLUSTER: {name}\n{answer()}" for name in ("one", "two"))
    assert len(parse(answers)) == 2 * 14


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7" + FIELD_END + "one", "breaks off"),
        ("7" + FIELD_END + "one" + ROW_END, "unexpected"),
        (answer().replace("132", "soon", 1), "no job id"),
        ("", "no list of jobs"),
        ("\n", "breaks off|no list of jobs"),
        (answer().partition("\n")[2], "no list of jobs"),
    ],
)
def test_something_else_is_no_answer(text: str, message: str) -> None:
    with pytest.raises(SchedulerUnreachable, match=message):
        parse(text)


def live_line(job: str, state: str, **fields: str) -> str:
    told = {"JobArrayID": job, "State": state, "SubmitTime": "1795232972", "Comment": "(null)"}
    return FIELD_END.join({**told, **fields}.get(column, "") for column in LIVE_COLUMNS) + ROW_END


def test_the_call_for_live_jobs_is_a_short_one() -> None:
    command = live_command(["one"])
    assert {"--me", "--all", "--clusters=one"} <= set(command)
    assert not any(word.startswith("--states") for word in command)
    assert not any("UserName" in word or "GroupName" in word for word in command)


def test_rows_of_live_jobs() -> None:
    text = heading(LIVE_COLUMNS) + "\n".join(
        [
            live_line("7", "PENDING", Reason="Priority", StartTime="1795239999"),
            live_line("8_3", "RUNNING", NodeList="node01", StartTime="1795232974", Comment="a\nb"),
            live_line("8_[4-9%2]", "PENDING"),
            live_line("70", "RUNNING"),
        ]
    )
    plain, task, pending = parse_live(text, {"7", "8"})
    assert (plain.job_id, plain.place, plain.task.state) == ("7", "", "PENDING")
    assert (plain.task.reason, plain.task.started, plain.evidence) == ("Priority", None, "")
    assert plain.submitted == datetime.fromtimestamp(1795232972, tz=timezone.utc)
    assert (task.place, task.evidence, task.task.nodes) == ("3", "a\nb", "node01")
    assert task.task.started == datetime.fromtimestamp(1795232974, tz=timezone.utc)
    assert pending.place == "[4-9%2]"


@pytest.mark.parametrize("state", ["COMPLETING", "COMPLETED", "CANCELLED"])
def test_what_became_of_a_job_that_has_ended_is_left_to_accounting(state: str) -> None:
    assert parse_live(heading(LIVE_COLUMNS) + live_line("7", state), {"7"}) == []


def test_half_an_answer_on_live_jobs_is_no_answer() -> None:
    with pytest.raises(SchedulerUnreachable, match="breaks off"):
        parse_live(live_line("7", "PENDING")[:-1], {"7"})


def test_settings() -> None:
    settings = parse_settings((DATA / "config.txt").read_text())
    assert settings.kept == timedelta(hours=1)
    assert not settings.alone


def test_settings_of_a_cluster_that_stands_alone_and_forgets_nothing() -> None:
    text = "MinJobAge               = 0 sec\nAccountingStorageType   = accounting_storage/none\n"
    settings = parse_settings(text)
    assert settings.kept is None
    assert settings.alone


def test_settings_that_are_not_told() -> None:
    with pytest.raises(SchedulerUnreachable, match="does not tell"):
        parse_settings("ClusterName = one\n")
