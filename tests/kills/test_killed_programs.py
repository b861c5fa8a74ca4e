"""Killed at any point while a submission program is run, the next command tracks all its jobs."""

from __future__ import annotations

from typing import Any

import pytest

from datalad_hpc.schedulers.arrays import array_indices
from tests.helpers import soak, wait_for
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import Note, assert_nothing_is_left, the_record
from tests.kills.world import World

pytestmark = pytest.mark.soak

COMMAND = "./submit.sh"
ALWAYS = ("submit.sh", "/output")
"""Ends of what is about to happen at the points where the program is started."""

TRIED_OF = {"local": soak(30, 1), "slurm": soak(100, 1)}
"""Of so many points one is tried; and these."""


@pytest.fixture(scope="module")
def programmed(world: World) -> World:
    """There is a program that submits two jobs: the moment ``programmed``."""
    world.set_back("start")
    program = world.root / "submit.sh"
    program.write_text("#!/bin/sh\nsbatch change.sh; sbatch --array=0-1 array.sh\n")
    program.chmod(0o755)
    world.git("-c", "annex.largefiles=nothing", "add", "submit.sh")
    world.git("commit", "-q", "-m", "program", "--", "submit.sh")
    world.keep("programmed")
    return world


def tasks_in(record: dict[str, Any]) -> int:
    """How many tasks a record tells of."""
    of_jobs = [spec for states in record["hpc"]["jobs"].values() for spec in states.values()]
    return sum(len(array_indices(spec)) if spec else 1 for spec in of_jobs)


def test_schedule(programmed: World, record_property: Note) -> None:
    world = programmed
    options = {"outputs": ["out/", "parts/", "sub/result"], "submits": True}
    world.set_back("programmed")
    points = points_of(world.command("schedule", COMMAND, scheduler=world.scheduler, **options))
    world.wait()
    tried = [
        number
        for number, what in enumerate(points, 1)
        if number % TRIED_OF[world.scheduler] == 0 or what.endswith(ALWAYS)
    ]
    record_property(f"points of a program on {world.scheduler}", f"{len(tried)} of {len(points)}")
    for turn, number in enumerate(tried):
        world.set_back("programmed")
        start = world.git("rev-parse", "HEAD").strip()
        death = Death(number, with_children=turn % 2 == 1)
        died = world.schedule(COMMAND, death, **options).last_word
        # A program that runs on without us is waited for.
        wait_for(lambda: all(job["slurm_job_id"].isdecimal() for job in world.listed()))
        again = world.schedule(COMMAND, **options).value[-1]
        world.wait()
        # A program that died in the middle has not submitted what makes all outputs.
        told = world.finish(commit_failed_jobs=True).value
        assert [result["status"] for result in told] == ["ok"], (
            died,
            [res["message"] for res in told],
        )
        (commit,) = world.git("rev-list", f"{start}..HEAD").split()
        tasks = tasks_in(the_record(world, commit))
        assert len(world.runs) == tasks, (died, again)
        assert tasks == 3 or again["status"] == "impossible", (died, again)
        assert_nothing_is_left(world)
