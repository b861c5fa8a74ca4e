"""Killed at any point, ``reschedule --failed`` has submitted a job once more, or left it alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import soak, wait_for
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import USERS, Note, the_record
from tests.kills.world import World

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", ["local"], indirect=True, scope="module"),
]

TRIED = soak(4, 1000)
"""At so many points it is killed at most."""

COMMAND = "echo $SLURM_JOB_ID >> RUNS; echo {name} > {name}; [ -e GOOD ]"

ROW = 'SELECT token, state, cluster, job_id, submitted, command, details, "commit", ref FROM jobs'
CLAIMS = "SELECT path, kind, role, task, stem FROM claims"


@pytest.fixture(scope="module")
def failed(world: World) -> tuple[World, str]:
    """Both tasks of a sweep have failed, one of which writes over a locked file: the moment."""
    world.set_back("start")
    runs, good = world.live / "runs", world.live / "good"
    command = COMMAND.replace("RUNS", str(runs)).replace("GOOD", str(good))
    (job,) = world.schedule(command, foreach=["name=out/old,b"], outputs=["{name}"]).value
    assert job["status"] == "ok", job
    world.wait()
    world.git("checkout", "out/old")
    good.touch()
    runs.unlink()
    world.keep("failed")
    return world, job["slurm_job_id"]


def the_store(world: World) -> list[Any]:
    return [world.rows(ROW), world.rows(CLAIMS)]


def test_retry(failed: tuple[World, str], record_property: Note) -> None:
    world, first = failed
    points = points_of(world.command("reschedule", failed=True))
    record_property("points of a retry", len(points))
    # The store as it is when nobody has been at work.
    world.set_back("failed")
    before = the_store(world)
    step = max(1, len(points) // TRIED)
    for number in range(1 + step // 2, len(points) + 1, step):
        world.set_back("failed")
        died = world.reschedule_failed(Death(number, with_children=bool(number % 2))).last_word
        second = settled(world, first)
        if not second:
            assert the_store(world) == before, died
            assert world.leftovers("sub") == [], died
            (again,) = world.reschedule_failed().value
            assert again["status"] == "ok", (died, again)
            second = again["slurm_job_id"]
        world.wait()
        assert len(world.runs) == 2, died
        results = world.finish().value
        assert {each["slurm_job_id"]: each["status"] for each in results} == {
            f"{second}_0": "ok",
            f"{second}_1": "ok",
        }, died
        for commit, index in (("HEAD", 1), ("HEAD~", 0)):
            (earlier,) = the_record(world, commit)["hpc"]["attempts"]
            assert earlier["job_id"] == f"{first}_{index}"
        assert (world.root / "out" / "old").read_text() == "out/old\n"
        assert world.changes() == USERS, died
        assert world.listed() == []
        world.assert_sound("sub")


def settled(world: World, first: str) -> str:
    """The job's new id once that is known for certain; empty if it has none."""

    def known() -> bool:
        (job,) = (each["slurm_job_id"] for each in world.listed())
        found.append(job)
        return bool(job.isdecimal())

    found: list[str] = []
    wait_for(known, interval=0.1)
    return found[-1] if found[-1] != first else ""
