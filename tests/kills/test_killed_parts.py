"""The finish of a sweep is killed anywhere: each task is committed once, or given up once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import soak
from tests.kills.points import Death
from tests.kills.test_killed_anywhere import (
    PARTS,
    USERS,
    Note,
    another,
    assert_nothing_is_left,
    committed_since,
    deaths,
)
from tests.kills.world import World

pytestmark = pytest.mark.soak

VALUES = ["old", "absent", "new", "same"]
COMMAND = "test {v} = same || echo {v} > {outputs}; echo {v} > sub/{v}"
FAILING = f"{COMMAND}; test {{v}} = new"
OUTPUTS = ["out/{v}", "sub/{v}"]

some_parts = pytest.mark.parametrize("part", range(soak(1, PARTS)))
"""Of all points a quarter, but for a soak."""


@pytest.fixture(scope="module")
def swept(world: World) -> str:
    """A sweep has ended, and nobody has finished its tasks yet: the moment ``swept``; its id."""
    return _ended(world, COMMAND, "swept")


@pytest.fixture(scope="module")
def failing(world: World) -> str:
    """The same, but all of its tasks save one have failed: the moment ``failing``."""
    return _ended(world, FAILING, "failing")


def _ended(world: World, command: str, moment: str) -> str:
    world.set_back("start")
    wish: dict[str, Any] = {"outputs": OUTPUTS, "foreach": {"v": VALUES}}
    (found,) = world.schedule(command, **wish).value
    assert found["status"] == "ok", found
    world.wait()
    world.keep(moment)
    return str(found["slurm_job_id"])


def files(job: str, index: int) -> set[str]:
    """What a task's commit holds: its output is there already where it changed nothing."""
    output = {f"out/{VALUES[index]}"} if VALUES[index] != "same" else set()
    return {*output, "sub", f"slurm-{job}_{index}.out"}


def again(world: World, death: Death, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """Killed, and done again, in a soak after another death; the last word and the results."""
    died = world.finish(death, **options).last_word
    if second := another(death):
        world.finish(second, **options)
    return died, world.finish(**options).value


@some_parts
def test_finish(world: World, swept: str, part: int, record_property: Note) -> None:
    for death in deaths(world, "swept", world.command("finish"), part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died, results = again(world, death)
        assert {res["status"] for res in results} <= {"ok", "notneeded"}, (died, results)
        found = committed_since(world, start)
        assert set(found) == {f"{swept}_{index}" for index in range(4)}, died
        for index in range(4):
            # What was committed in the subdataset before the end comes with the first of them.
            assert found[f"{swept}_{index}"] | {"sub"} == files(swept, index), died
        assert world.git("rev-parse", "HEAD:sub") == world.git("rev-parse", "HEAD", folder="sub")
        assert len(world.git("rev-list", "HEAD", "--", *VALUES, folder="sub").split()) == 4, died
        assert world.rows("SELECT DISTINCT standing FROM tasks") == [("finished",)], died
        assert world.rows("SELECT DISTINCT state FROM jobs") == [("finished",)], died
        assert_nothing_is_left(world)


@some_parts
def test_finish_on_branches(world: World, swept: str, part: int, record_property: Note) -> None:
    command = world.command("finish", branches=True)
    for death in deaths(world, "swept", command, part, record_property):
        start = world.git("rev-parse", "HEAD")
        died, results = again(world, death, branches=True)
        assert {res["status"] for res in results} <= {"ok", "notneeded"}, (died, results)
        assert world.git("rev-parse", "HEAD") == start, died
        for index in range(4):
            branch = f"job-{swept}_{index}"
            assert world.git("rev-parse", f"{branch}~") == start, died
            names = world.git("show", "--format=", "--name-only", branch).split()
            assert set(names) == files(swept, index), died
        assert_nothing_is_left(world)


@some_parts
def test_close(world: World, failing: str, part: int, record_property: Note) -> None:
    """One task is committed, the others are given up."""
    command = world.command("finish", close_failed_jobs=True)
    for death in deaths(world, "failing", command, part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died, results = again(world, death, close_failed_jobs=True)
        assert {res["status"] for res in results} <= {"ok", "notneeded"}, (died, results)
        assert committed_since(world, start) == {f"{failing}_2": files(failing, 2)}, died
        standings = world.rows("SELECT standing FROM tasks ORDER BY number")
        assert standings == [("closed",), ("closed",), ("finished",), ("closed",)], died
        assert world.listed() == []
        assert world.rows("SELECT * FROM claims WHERE stem IS NOT NULL") == []
        assert (world.root / "out/same").is_symlink(), died
        assert set(USERS) <= set(world.changes())
        assert world.leftovers("sub") == []
