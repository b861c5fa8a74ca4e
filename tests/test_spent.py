"""What was asked for and used: from a scheduler, and from records that may hold anything."""

from __future__ import annotations

from typing import Any

import pytest

from datalad_hpc.spent import Asked, Measured, Spent
from datalad_hpc.status import Phase, TaskStatus

M, G = 2**20, 2**30


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("4Gn", 8 * G),
        ("500Mc", 3000 * M),
        ("4G", 4 * G),
        ("16000M", 16000 * M),
        ("0n", None),
        ("", None),
        ("lots", None),
    ],
)
def test_memory_was_asked_for_each_node_each_processor_or_the_job(
    text: str, memory: int | None
) -> None:
    facts = {"requested_memory": text, "requested_cpus": 6, "requested_nodes": 2}
    assert Asked.of_facts(facts).memory == memory


def test_efficiency_is_that_of_what_was_allocated() -> None:
    facts = {"requested_cpus": 1, "allocated_cpus": 64, "time_limit": 60}
    asked = Asked.of_facts(facts)
    assert asked.as_json == {"cpus": 1, "allocated_cpus": 64, "time_limit": 60}
    assert Spent.of([Measured(10.0, 64.0)]).cpu_efficiency(asked) == 0.1
    same = Asked.of_facts({"requested_cpus": 2, "allocated_cpus": 2})
    assert same.as_json == {"cpus": 2}
    assert Spent.of([Measured(10.0, 15.0), Measured(10.0, 5.0)]).cpu_efficiency(same) == 0.5


def test_each_process_of_a_step_has_its_memory() -> None:
    asked = Asked.of_facts({"processes": 4})
    assert Spent.of([Measured(1.0, 1.0, 100)]).memory(asked) == 400


def test_a_task_that_never_began_took_no_time() -> None:
    waited = TaskStatus(1, "CANCELLED", Phase.FAILED, elapsed=0.0, cpu_time=0.0)
    ran = TaskStatus(0, "COMPLETED", Phase.COMPLETED, elapsed=8.0, cpu_time=4.0, peak_memory=7)
    spent = Spent.of(map(Measured.of_task, (ran, waited)))
    assert spent == Spent(8.0, 8.0, 4.0, 8.0, 7, 7)


def test_nothing_is_made_up() -> None:
    nothing = Spent.of([Measured(), Measured()])
    assert nothing.as_json == {}
    assert nothing.cpu_efficiency(Asked(cpus=1)) is None
    assert nothing.memory(Asked()) is None
    assert Spent.of([Measured(5.0, 1.0)]).cpu_efficiency(Asked()) is None
    assert Spent.of([Measured(0.0, 1.0)]).cpu_efficiency(Asked(cpus=1)) is None


@pytest.mark.parametrize("told", [None, "12", [1], {}, True, -1, 1e400, float("nan")])
def test_a_record_may_hold_anything(told: Any) -> None:
    every = ("cpus", "nodes", "memory", "time_limit", "elapsed", "cpu_time", "peak_memory")
    assert Asked.of_json(told) == Asked()
    assert Asked.of_json(dict.fromkeys(every, told)) == Asked()
    assert Spent.of_json(dict.fromkeys(every, told)) == Spent()
    assert Measured.of_json(dict.fromkeys(every, told)) == Measured()


def test_what_is_written_is_read_again() -> None:
    asked = Asked(2, 4, 1, 5 * G, 3600, 3)
    spent = Spent(9.5, 3.0, 80.25, 40.5, 7 * M, 6 * M)
    assert Asked.of_json(asked.as_json) == asked
    assert Spent.of_json(spent.as_json) == spent
