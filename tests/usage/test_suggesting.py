"""What follows of what was used: the rules that the guide tells."""

from __future__ import annotations

from typing import Any

import pytest

from datalad_hpc.plans.resources import read_resources
from datalad_hpc.spent import Asked, Measured
from datalad_hpc.usage.suggesting import Suggestion, suggestions
from datalad_hpc.usage.table import suggestion_lines
from datalad_hpc.usage.values import JobUse, TaskUse

M, G = 2**20, 2**30


def run(
    *tasks: tuple[float | None, float | None, int | None],
    command: str = "./fit 1",
    state: str = "COMPLETED",
    **asked: Any,
) -> JobUse:
    """A job with tasks of elapsed time, processor time and peak memory."""
    uses = [TaskUse(index, state, Measured(*task)) for index, task in enumerate(tasks)]
    return JobUse.of("7", "slurm", command, Asked(**asked), uses)


def only(*runs: JobUse) -> Suggestion:
    (found,) = suggestions(runs)
    return found


def test_a_margin_over_the_largest() -> None:
    found = only(
        run((100.0, 100.0, 900 * M), cpus=4),
        run((600.0, 700.0, 1000 * M), (300.0, 290.0, 100 * M), cpus=4),
    )
    # 1250M and 15 minutes, each rounded up; 1.1 processors were busy.
    assert (found.memory, found.seconds, found.cpus) == (2 * G, 900, 1)
    assert found.shorthand == "1 0:15 2G"
    assert found.options == {"cpus-per-task": "1", "time": "0:15:00", "mem": "2G"}
    assert read_resources([found.shorthand]) == {
        "cpus-per-task": "1",
        "time": "00:15:00",
        "mem": "2G",
    }
    assert (found.jobs, found.tasks) == (2, 3)


@pytest.mark.parametrize(
    ("peak", "memory"),
    [
        (1, "128M"),
        (100 * M, "128M"),
        (103 * M, "256M"),
        (G, "2G"),
        (12 * G, "15G"),
        (13 * G, "20G"),
        (100 * G, "128G"),
    ],
)
def test_memory_is_rounded_up(peak: int, memory: str) -> None:
    assert only(run(*[(1.0, 1.0, peak)] * 3)).shorthand.split()[-1] == memory


@pytest.mark.parametrize(
    ("elapsed", "time"),
    [
        (1, "0:05"),
        (201, "0:10"),
        (3 * 3600, "4:30"),
        (10 * 3600, "15:00"),
        (20 * 3600, "1-06:00"),
        (36 * 3600, "2-06:00"),
    ],
)
def test_time_is_rounded_up(elapsed: float, time: str) -> None:
    found = only(run(*[(elapsed, None, None)] * 3))
    assert found.shorthand == time
    assert read_resources([time])["time"]


def test_few_tasks_tell_too_little() -> None:
    found = only(run(*[(50.0, 50.0, G)] * 2, cpus=2, memory=4 * G))
    assert (found.memory, found.seconds, found.cpus, found.shorthand) == (None, None, None, "")
    assert "Nothing follows for ./fit: 2 completed tasks tell too little" in suggestion_lines(
        [found.as_json]
    )


def test_failed_tasks_are_not_counted() -> None:
    assert only(run(*[(5.0, 5.0, G)] * 30, state="FAILED", cpus=2)).shorthand == ""


def test_what_was_not_measured_is_not_guessed() -> None:
    found = only(run(*[(None, None, None)] * 5))
    assert found.shorthand == ""
    assert all("not measured" in reason for reason in found.reasons)


def test_twice_of_what_was_too_little() -> None:
    one = run((60.0, 50.0, 3 * G), state="OUT_OF_MEMORY", memory=3 * G, cpus=1, time_limit=900)
    found = only(one)
    assert (found.memory, found.seconds, found.cpus) == (6 * G, None, None)
    assert "3G was too little (OUT_OF_MEMORY), twice as much" in found.reasons[2]
    slow = run((900.0, 50.0, G), state="TIMEOUT", memory=3 * G, cpus=1, time_limit=900)
    assert only(slow).shorthand == "0:30"
    # Somebody has needed more since.
    later = run(*[(60.0, 50.0, 6 * G)] * 3, memory=16 * G)
    assert only(one, later).memory == 8 * G
    unknown = run((60.0, 50.0, 3 * G), state="OUT_OF_MEMORY")
    assert only(unknown, later).memory is None


@pytest.mark.parametrize(
    ("busy", "asked", "wanted"),
    [(3.9, 4, 4), (4.1, 4, 4), (1.1, 4, 1), (1.3, 4, 2), (0.01, 2, 1), (2.6, 8, 3)],
)
def test_processors_that_were_busy(busy: float, asked: int, wanted: int) -> None:
    assert only(run(*[(100.0, 100.0 * busy, None)] * 3, cpus=asked)).cpus == wanted


def test_processors_of_short_jobs_and_of_several_nodes() -> None:
    assert only(run(*[(1.0, 1.0, None)] * 3, cpus=4)).cpus is None
    found = only(run(*[(100.0, 100.0, 4 * G)] * 3, cpus=8, nodes=2, memory=64 * G, processes=4))
    # Four processes had 16G, on two nodes: 8G on each, and a margin.
    assert (found.cpus, found.memory) == (None, 10 * G)
    assert "for you to divide" in found.reasons[0]


def test_each_program_is_a_group() -> None:
    jobs = [run((1.0, 1.0, M), command=each) for each in ("./a 1", "./b 1", "./a 2")]
    assert [(each.program, each.jobs) for each in suggestions(jobs)] == [("./a", 2), ("./b", 1)]
    (line,) = suggestion_lines([each.as_json for each in suggestions(jobs)])
    assert line.startswith("Nothing follows for 2 programs: ")
