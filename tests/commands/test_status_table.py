"""How jobs are shown to people: on a terminal, in a pipe, with hostile names, in crowds."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

import pytest
from datalad import cfg

from datalad_hpc.claims import claim_for
from datalad_hpc.commands.status_table import lines_of
from datalad_hpc.job import JobState
from datalad_hpc.store import open_store
from tests.commands.conftest import QUIET, Lab
from tests.jobs import a_job
from tests.store.helpers import put_in

Result = dict[str, Any]


def listed(number: int = 1, **fields: Any) -> Result:
    counts = {"total": 1, "completed": 0, "failed": 0, "running": 0, "waiting": 1}
    return {
        "slurm_job_id": str(number),
        "slurm_job_status": "PENDING",
        "state": "waiting",
        "failed": False,
        "open_job": True,
        "name": "fit",
        "task_counts": counts | fields.pop("counts", {}),
        "nodes": [],
        "outputs": ["out.txt"],
        **fields,
    }


def shown(*results: Result, width: int | None = None) -> list[str]:
    return list(lines_of(results, width))


@pytest.mark.parametrize(
    ("counts", "cell"),
    [
        ({}, "[......] 0/1 "),
        ({"running": 1, "waiting": 0}, "[>>>>>>] 0/1 "),
        ({"completed": 1, "waiting": 0}, "[######] 1/1 "),
        ({"total": 6, "completed": 3, "running": 1, "waiting": 2}, "[###>..] 3/6 "),
        ({"total": 6, "completed": 5, "failed": 1, "waiting": 0}, "[#####x] 5/6 (1 failed) "),
        # Few of many are seen, and all but few are not all.
        ({"total": 9999, "completed": 1, "waiting": 9998}, "[#.....] 1/9999 "),
        ({"total": 9999, "completed": 9998, "waiting": 1}, "[#####.] 9998/9999 "),
        (
            {"total": 999, "completed": 990, "failed": 1, "running": 1, "waiting": 7},
            "[###x>.] 990/999 (1 failed) ",
        ),
        # Tasks of which nobody tells anything.
        ({"total": 4, "waiting": 0}, "[......] 0/4 "),
    ],
)
def test_a_bar_has_something_of_all_that_there_is(counts: dict[str, int], cell: str) -> None:
    assert cell in shown(listed(counts=counts))[1]


@pytest.mark.parametrize(
    ("elapsed", "limit", "cell"),
    [
        (None, None, " - "),
        (None, 600, " -/10:00 "),
        (61.4, 5400, " 1:01/1:30:00 "),
        (93784.0, 604800, " 1-02:03:04/7-00:00:00 "),
    ],
)
def test_times_are_written_as_slurm_does(
    elapsed: float | None, limit: float | None, cell: str
) -> None:
    assert cell in shown(listed(elapsed=elapsed, time_limit=limit))[1]


def test_columns_in_which_nothing_stands_are_left_out() -> None:
    assert shown(listed())[0].split() == ["id", "name", "state", "tasks", "time", "outputs"]
    over = listed(2, state="finished", slurm_job_status="FINISHED", open_job=False)
    over |= {"commit": "a" * 40, "nodes": ["n1"], "submitted": "2024-05-01T12:00:00+00:00"}
    titles, _, line, *_ = shown(listed(), over)
    assert titles.split()[5:] == ["submitted", "nodes", "commit", "outputs"]
    assert f" {'a' * 10} " in line


def test_several_states_become_the_one_that_says_what_is_to_come() -> None:
    array = listed(slurm_job_status="PENDING 3, FAILED 1, RUNNING 1", state="running")
    assert " RUNNING " in shown(array)[1]


def test_why_a_job_waits_stands_below_it() -> None:
    never = {
        "outlook": "never",
        "reason": "PartitionTimeLimit",
        "why": "asks for more",
        "advice": "cancel it",
    }
    (_, _, first, _, second, *_) = shown(
        listed(**never),
        listed(
            2,
            outlook="waits",
            reason="BeginTime",
            why="waits for the time",
            expected_start="2024-05-01T12:00:00+00:00",
        ),
    )
    assert first.strip() == "never starts (PartitionTimeLimit): it asks for more; cancel it"
    assert second.strip().startswith("pending (BeginTime): it waits for the time; expected to ")


def test_what_many_wait_for_is_said_once() -> None:
    waits = {"outlook": "waits", "reason": "Priority", "why": "waits for its turn"}
    lines = shown(*(listed(number, **waits) for number in range(3)), listed(4))
    assert lines[4].strip() == "these 3: pending (Priority): it waits for its turn"
    assert len(lines) == 1 + 4 + 1 + 1


def test_the_way_out_of_failures_comes_once_at_the_end() -> None:
    failed = [
        listed(number, state="failed", failed=True, failure_text="timeout") for number in range(30)
    ]
    *_, counts, last = shown(*failed)
    assert counts == "30 jobs: 30 failed"
    assert "0 (timeout), 1 (timeout)" in last
    assert "and 20 more" in last
    assert "`datalad reschedule --failed`" in last
    (*_, last) = shown(failed[7])
    assert "`datalad reschedule --failed 7`" in last
    program = failed[8] | {"retry": False}
    (*_, last) = shown(program)
    assert "reschedule" not in last
    (*_, last) = shown(program, failed[7])
    assert "`datalad reschedule --failed 7`" in last


def test_a_table_is_cut_to_the_terminal() -> None:
    many = listed(outputs=["x" * 300])
    titles, line, *_ = shown(many, width=60)
    assert len(titles) <= 60
    assert len(line) == 60
    assert line.endswith("…")
    assert len(shown(many)[1]) > 300


def test_commits_have_room_on_a_narrow_terminal() -> None:
    over = listed(
        12345,
        name="x" * 24,
        state="finished",
        slurm_job_status="FINISHED",
        open_job=False,
        commit="a" * 40,
        nodes=["node-17", "node-18"],
        submitted="2024-05-01T12:00:00+00:00",
        outputs=["results/of/one.txt", "results/of/two.txt"],
    )
    wide, _, *_ = shown(over, listed(), width=200)
    assert "submitted" in wide
    assert "nodes" in wide
    for width in (60, 80, 100, 120):
        titles, line, *_ = shown(over, listed(), width=width)
        assert len(line) <= width
        kept = ["id", "state", "tasks", "commit", "outputs"]
        assert [title for title in titles.split() if title in kept] == kept
        assert f" {'a' * 10}  results/of" in line
    # What is left of a time is the day.
    titles, line, *_ = shown(over, listed(), width=100)
    assert "nodes" not in titles
    assert " 2024-05-01  aaaa" in line
    assert f" {'x' * 11}…  FINISHED " in line


def test_colours_do_not_shift_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shown(listed(), listed(2, state="running", slurm_job_status="RUNNING"))
    monkeypatch.setitem(cfg.overrides, "datalad.ui.color", "on")
    cfg.reload(force=True)
    try:
        coloured = shown(listed(), listed(2, state="running", slurm_job_status="RUNNING"))
    finally:
        monkeypatch.undo()
        cfg.reload(force=True)
    assert coloured != plain
    assert [
        line.replace("\x1b[1;33m", "").replace("\x1b[1;32m", "").replace("\x1b[0m", "")
        for line in coloured
    ] == plain


def test_names_play_no_tricks() -> None:
    trick = "\x1b[2J\x1b]0;owned\x07"
    told = listed(
        name=trick, outputs=[f"{trick}\n.txt"], outlook="unknown", reason=trick, note=trick
    )
    assert not [line for line in shown(told) if "\x1b" in line or "\x07" in line or "\n" in line]
    assert "\\x1b[2J" in shown(told)[1]


def test_a_terminal_has_colours_and_a_pipe_has_none(local_lab: Lab) -> None:
    local_lab.schedule("exit 1", outputs=["a" * 120])
    local_lab.wait()
    command = ["datalad", "hpc-status"]
    piped = subprocess.run(command, cwd=local_lab.root, capture_output=True, text=True, timeout=60)
    assert "\x1b" not in piped.stdout
    assert "a" * 120 in piped.stdout
    on_terminal = _on_a_terminal(command, local_lab)
    assert "\x1b[1;31mFAILED\x1b[0m" in on_terminal
    assert "a" * 120 not in on_terminal
    assert "…" in on_terminal


def _on_a_terminal(command: list[str], lab: Lab) -> str:
    """What a command prints to a terminal of 80 columns."""
    ours, its = os.openpty()
    with subprocess.Popen(
        command,
        cwd=lab.root,
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
    ) as process:
        os.close(its)
        text = b""
        while piece := _read(ours):
            text += piece
        process.wait(60)
    os.close(ours)
    return text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        # So Linux says that nobody has the other end open any more.
        return b""


def test_thousands_of_lines_take_no_time() -> None:
    waits = {"outlook": "waits", "reason": "Priority", "why": "waits for its turn"}
    results = [listed(number, **waits) for number in range(5000)]
    start = time.monotonic()
    assert len(shown(*results, width=80)) == 1 + 5000 + 1 + 1
    assert time.monotonic() - start < 5


def test_a_thousand_jobs_of_the_past_take_little_time(local_lab: Lab) -> None:
    database = str(local_lab.root / ".git" / "datalad" / "hpc" / "jobs.db")
    out = {"claims": (claim_for("out"),)}
    with open_store(database) as store:
        put_in(store, (a_job(0, job_id=str(n), scheduler="local", **out) for n in range(500)))
        over = (a_job(0, job_id=str(n), state=JobState.FINISHED, **out) for n in range(500, 1000))
        put_in(store, over)
    start = time.monotonic()
    found = local_lab.dataset.hpc_status(all_jobs=True, **QUIET)
    assert time.monotonic() - start < 10
    assert len(found) == 1000
    # Nobody knows the first half any more; that is for the user to decide.
    assert all(res["failed"] for res in found[:500])
    assert "does not know job 7 any more" in found[7]["advice"]
    assert [res["state"] for res in found[500:]] == ["finished"] * 500
