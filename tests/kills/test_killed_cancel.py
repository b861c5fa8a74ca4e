"""Killed at any point, ``hpc-cancel`` loses nothing: called again, it ends and closes the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import soak, wait_for
from tests.kills.points import Death, outcome_of, points_of
from tests.kills.test_killed_anywhere import Note
from tests.kills.world import World

SCHEDULERS = ["local", pytest.param("slurm", marks=pytest.mark.slurm)]

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", SCHEDULERS[: soak(1, 2)], indirect=True, scope="module"),
]

TRIED = soak(5, 1000)
"""Of about so many points of the command."""


def begin(world: World, number: int) -> Callable[[], Any]:
    """Have a job run, and give the command that cancels it."""
    world.set_back("start")
    (world.root / "slow.sh").write_text("#!/bin/bash\necho changed > out/old\nsleep 60\n")
    outputs = ["out/old", "out/same"]
    done = world.schedule(f"sbatch slow.sh {number}", outputs=outputs).value[-1]
    assert done["status"] == "ok", done
    wait_for(lambda: (world.root / "out" / "old").read_text() == "changed\n")
    return world.command("hpc_cancel", all_jobs=True)


def test_cancel(world: World, record_property: Note) -> None:
    points = points_of(begin(world, 0))
    step = max(1, len(points) // TRIED)
    chosen = range(step, len(points) + 1, step)
    record_property("points", f"{len(chosen)} of {len(points)}")
    for turn, point in enumerate(chosen):
        cancel = begin(world, point)
        died = outcome_of(cancel, Death(point, with_children=turn % 2 == 1)).last_word
        held = world.rows("SELECT count(*) FROM claims WHERE stem IS NOT NULL")[0][0]
        ((state, cancelled),) = world.rows("SELECT state, cancelled FROM jobs")
        assert (state == "closed") == (held == 0), died
        assert cancelled or state == "open", died
        # Whoever comes next closes what has ended, and ends what has not.
        world.finish()
        results = outcome_of(cancel).value
        assert {result["status"] for result in results} <= {"ok", "notneeded"}, (died, results)
        assert world.rows("SELECT state FROM jobs") == [("closed",)], (died, results)
        assert (world.root / "out" / "same").is_symlink(), died
        assert (world.root / "out" / "old").read_text() == "changed\n"
        world.assert_sound("sub")
