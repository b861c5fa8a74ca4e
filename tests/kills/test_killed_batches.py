"""Killed at any point, a batch is completed by the same command, and no line has two jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import soak, wait_for
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import Note, assert_nothing_is_left, committed_since
from tests.kills.world import World

SCHEDULERS = ["local", pytest.param("slurm", marks=pytest.mark.slurm)]

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", SCHEDULERS[: soak(1, 2)], indirect=True, scope="module"),
]

NUMBER = 3

TRIED_OF = soak(20, 1)
"""Of so many points one is tried."""


def batch_of(world: World) -> list[dict[str, Any]]:
    """Lines whose claims keep nobody from submitting them twice."""
    return [
        {
            "cmd": f"echo $SLURM_JOB_ID >> {world.live}/runs; mkdir -p lines; echo > {{outputs}}",
            "outputs": f"lines/{number}",
            "check_outputs": False,
        }
        for number in range(NUMBER)
    ]


def deaths(world: World, note: Note) -> Iterator[Death]:
    """Where a command is to die, up to the moment in which the batch is complete."""
    world.set_back("start")
    command = world.command("schedule", None, scheduler=world.scheduler, batch=batch_of(world))
    points = points_of(command)
    world.wait()
    (complete,) = (
        number
        for number, what in enumerate(points, 1)
        if what.startswith("os.remove") and "/batches/" in what
    )
    # With each soak-less run the same ones, each in another part of a line's way.
    chosen = [*range(1, complete, TRIED_OF), complete]
    note("points of a batch", f"{len(chosen)} of {len(points)}")
    for turn, number in enumerate(chosen):
        world.set_back("start")
        yield Death(number, with_children=turn % 2 == 1)


def test_schedule(world: World, record_property: Note) -> None:
    batch = batch_of(world)

    def submitted() -> bool:
        results = world.schedule(None, batch=batch).value
        return {result["status"] for result in results} <= {"ok", "notneeded"}

    for death in deaths(world, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died = world.schedule(None, death, batch=batch)
        assert died.killed
        wait_for(submitted, interval=0.2)
        world.wait()
        results = world.finish().value
        assert [result["status"] for result in results] == ["ok"] * NUMBER, (died, results)
        assert len(world.runs) == len(set(world.runs)) == NUMBER, died
        assert len(committed_since(world, start)) == NUMBER, died
        assert_nothing_is_left(world)
