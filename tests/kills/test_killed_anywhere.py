"""Killed at any point, the ordinary next command leaves everything as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import wait_for
from tests.kills.points import Death
from tests.kills.world import World

PARTS = 4
"""Tests that share the points of a command, so that they can run side by side."""

parts = pytest.mark.parametrize("part", range(PARTS))

USERS = [" M edited", "?? untracked", "M  staged"]
"""What the user has lying about from beginning to end."""

CHANGE = {"outputs": ["out/", "sub/result"]}
CHANGED = {"out/old", "out/deleted", "out/new", "out/absent", "sub"}


def deaths(part: int) -> Iterator[Death]:
    """Every so manieth point, now alone and now with all children."""
    for point in range(part + 1, 10_000, PARTS):
        yield Death(point, with_children=point // PARTS % 2 == 1)


def the_record(world: World, commit: str) -> dict[str, Any]:
    message = world.git("log", "-1", "--format=%B", commit)
    text = message.partition("=== Do not change lines below ===")[2].partition("^^^")[0]
    found: dict[str, Any] = json.loads(text)
    return found


def committed_since(world: World, start: str) -> dict[str, set[str]]:
    """Files of each commit with a record, by the id of its job; each job has one."""
    found: dict[str, set[str]] = {}
    for commit in world.git("rev-list", f"{start}..HEAD").split():
        job = str(the_record(world, commit)["slurm_job_id"])
        assert job not in found, f"job {job} was committed twice"
        names = world.git("show", "--format=", "--name-only", "-z", commit)
        found[job] = set(names.split("\0")[:-1])
    return found


def assert_nothing_is_left(world: World) -> None:
    assert world.changes() == USERS
    assert world.changes("sub") == []
    assert world.listed() == []
    assert world.rows("SELECT * FROM claims WHERE stem IS NOT NULL") == []
    world.assert_sound("sub")


# finish


@pytest.fixture(scope="module")
def ended(world: World) -> tuple[World, list[str]]:
    """Two jobs have ended, and nobody has finished them yet: the moment ``ended``."""
    world.set_back("start")
    found = world.schedule("sbatch change.sh", **CHANGE).value
    found += world.schedule(
        "sbatch --array=0-1 array.sh",
        outputs=["parts/"],
        alt_dir=str(world.live / "alternative"),
    ).value
    assert [result["status"] for result in found] == ["ok", "ok"]
    world.wait()
    world.keep("ended")
    return world, [result["slurm_job_id"] for result in found]


@parts
def test_finish(ended: tuple[World, list[str]], part: int) -> None:
    world, (changing, array) = ended
    killed = 0
    for death in deaths(part):
        world.set_back("ended")
        start = world.git("rev-parse", "HEAD").strip()
        died = world.finish(death).last_word
        results = world.finish().value
        assert [res["status"] for res in results if res["status"] not in ("ok", "notneeded")] == []
        found = committed_since(world, start)
        assert set(found) == {changing, array}, died
        assert found[changing] - logs(changing) == CHANGED, died
        assert found[array] - logs(array, 0, 1) == {"parts/0", "parts/1"}, died
        assert world.git("rev-parse", "HEAD:sub") == world.git("rev-parse", "HEAD", folder="sub")
        assert world.rows("SELECT DISTINCT state FROM jobs") == [("finished",)]
        assert_nothing_is_left(world)
        if not died:
            break
        killed += 1
    assert killed > 5


def logs(job: str, *tasks: int) -> set[str]:
    of_tasks = {f"slurm-{job}_{task}.out" for task in tasks}
    return {f"slurm-job-{job}.env.json", *(of_tasks or {f"slurm-{job}.out"})}


# schedule and reschedule


@parts
def test_schedule(world: World, part: int) -> None:
    killed = 0
    for death in deaths(part):
        world.set_back("start")
        start = world.git("rev-parse", "HEAD").strip()
        died = world.schedule("sbatch change.sh", death, **CHANGE).last_word
        tracked = settled(world)
        again = world.schedule("sbatch change.sh", **CHANGE).value[-1]
        assert again["status"] == ("impossible" if tracked else "ok"), (died, again)
        assert_run_and_finished_once(world, start, died)
        if not died:
            break
        killed += 1
    assert killed > 5


def settled(world: World) -> bool:
    """Whether the next command finds the job tracked; it knows for certain before long."""

    def known() -> bool:
        jobs.extend(world.listed())
        return not jobs or jobs.pop()["slurm_job_id"].isdecimal()

    jobs: list[dict[str, Any]] = []
    wait_for(known, interval=0.1)
    tracked = bool(world.listed())
    if not tracked:
        assert world.changes() == USERS
        world.assert_sound("sub")
    return tracked


def assert_run_and_finished_once(world: World, start: str, died: str) -> None:
    (job,) = world.listed()
    world.wait()
    assert world.runs == [job["slurm_job_id"]], died
    world.finish()
    found = committed_since(world, start)
    assert found == {job["slurm_job_id"]: CHANGED | logs(job["slurm_job_id"])}, died
    assert_nothing_is_left(world)


@pytest.fixture(scope="module")
def recorded(world: World) -> World:
    """The job has a commit: the moment ``recorded``."""
    world.set_back("start")
    world.schedule("sbatch change.sh", **CHANGE)
    world.wait()
    assert [result["status"] for result in world.finish().value] == ["ok"]
    (world.live / "runs").unlink()
    world.keep("recorded")
    return world


@parts
def test_reschedule(recorded: World, part: int) -> None:
    world, killed = recorded, 0
    for death in deaths(part):
        world.set_back("recorded")
        start = world.git("rev-parse", "HEAD").strip()
        died = world.reschedule(death).last_word
        tracked = settled(world)
        again = world.reschedule().value[-1]
        assert again["status"] == ("impossible" if tracked else "ok"), (died, again)
        (job,) = world.listed()
        world.wait()
        assert world.runs == [job["slurm_job_id"]], died
        world.finish()
        assert set(committed_since(world, start)) == {job["slurm_job_id"]}, died
        assert the_record(world, "HEAD")["chain"] == [start], died
        assert_nothing_is_left(world)
        if not died:
            break
        killed += 1
    assert killed > 5
