"""Killed at any point, the ordinary next command leaves everything as if nothing had happened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.helpers import soak, wait_for
from tests.kills.points import Death, points_of
from tests.kills.world import World

pytestmark = pytest.mark.soak

PARTS = 4
"""Tests that share the points of a command, so that they can run side by side."""

TRIED_OF = {"local": soak(4, 1), "slurm": soak(7, 1)}
"""Of so many points one is tried; and all that have to do with the submission."""

Note = Callable[[str, object], None]

parts = pytest.mark.parametrize("part", range(PARTS))

USERS = [" M edited", "?? untracked", "M  staged"]
"""What the user has lying about from beginning to end."""

COMMAND = "sbatch change.sh"
CHANGE = {"outputs": ["out/", "sub/result"]}
CHANGED = {"out/old", "out/deleted", "out/new", "out/absent", "sub"}


def deaths(
    world: World, moment: str, command: Callable[[], Any], part: int, note: Note
) -> Iterator[Death]:
    """Where a command is to die in this part of the tests: now alone, now with its children."""
    world.set_back(moment)
    points = points_of(command)
    world.wait()
    chosen = [
        number
        for number, what in enumerate(points, 1)
        if number % TRIED_OF[world.scheduler] == 0 or "sbatch" in what
    ]
    mine = chosen[part::PARTS]
    note(f"points of {moment} on {world.scheduler}", f"{len(mine)} of {len(points)}")
    assert mine
    for turn, number in enumerate(mine):
        world.set_back(moment)
        yield Death(number, with_children=turn % 2 == 1)


def another(death: Death) -> Death | None:
    """In a soak the next command dies too, somewhere."""
    return Death(random.Random(death.point).randint(1, 60)) if soak(0, 1) else None


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
    found = world.schedule(COMMAND, **CHANGE).value
    found += world.schedule(
        "sbatch --array=0-1 array.sh",
        outputs=["parts/"],
        alt_dir=str(world.alternative),
    ).value
    assert [result["status"] for result in found] == ["ok", "ok"]
    world.wait()
    world.keep("ended")
    return world, [result["slurm_job_id"] for result in found]


@parts
def test_finish(ended: tuple[World, list[str]], part: int, record_property: Note) -> None:
    world, (changing, array) = ended
    for death in deaths(world, "ended", world.command("finish"), part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died = world.finish(death).last_word
        if second := another(death):
            world.finish(second)
        results = world.finish().value
        assert {res["status"] for res in results} <= {"ok", "notneeded"}, (died, results)
        found = committed_since(world, start)
        assert set(found) == {changing, array}, died
        assert found[changing] - logs(changing) == CHANGED, died
        assert found[array] - logs(array, 0, 1) == {"parts/0", "parts/1"}, died
        assert world.git("rev-parse", "HEAD:sub") == world.git("rev-parse", "HEAD", folder="sub")
        assert world.rows("SELECT DISTINCT state FROM jobs") == [("finished",)], died
        assert_nothing_is_left(world)


def logs(job: str, *tasks: int) -> set[str]:
    of_tasks = {f"slurm-{job}_{task}.out" for task in tasks}
    return {f"slurm-job-{job}.env.json", *(of_tasks or {f"slurm-{job}.out"})}


# schedule and reschedule


@parts
def test_schedule(world: World, part: int, record_property: Note) -> None:
    command = world.command("schedule", COMMAND, scheduler=world.scheduler, **CHANGE)
    for death in deaths(world, "start", command, part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died = world.schedule(COMMAND, death, **CHANGE).last_word
        tracked = settled(world, another(death))
        again = world.schedule(COMMAND, **CHANGE).value[-1]
        assert again["status"] == ("impossible" if tracked else "ok"), (died, again)
        assert_run_and_finished_once(world, start, died)


def settled(world: World, death: Death | None) -> bool:
    """Whether the next command finds the job tracked; it knows for certain before long."""
    if death:
        world.finish(death, list_open_jobs=True)

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
    (job,) = (result["slurm_job_id"] for result in world.listed())
    world.wait()
    assert world.runs == [job], died
    world.finish()
    found = committed_since(world, start)
    assert set(found) == {job}, died
    assert logs(job) <= found[job] <= CHANGED | logs(job), (died, found)
    assert (world.root / "out" / "new").read_text() == "new\n"
    assert not (world.root / "out" / "deleted").exists()
    assert_nothing_is_left(world)


@pytest.fixture(scope="module")
def recorded(world: World) -> World:
    """The job has a commit: the moment ``recorded``."""
    world.set_back("start")
    world.schedule(COMMAND, **CHANGE)
    world.wait()
    assert [result["status"] for result in world.finish().value] == ["ok"]
    (world.live / "runs").unlink()
    world.keep("recorded")
    return world


@parts
def test_reschedule(recorded: World, part: int, record_property: Note) -> None:
    world = recorded
    command = world.command("reschedule", scheduler=world.scheduler)
    for death in deaths(world, "recorded", command, part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died = world.reschedule(death).last_word
        tracked = settled(world, another(death))
        again = world.reschedule().value[-1]
        assert again["status"] == ("impossible" if tracked else "ok"), (died, again)
        assert_run_and_finished_once(world, start, died)
        assert the_record(world, "HEAD")["chain"] == [start], died
