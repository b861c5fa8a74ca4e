"""Killed while an image is had for a job elsewhere, ``schedule`` is completed by the next one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import soak, wait_for
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import Note, assert_nothing_is_left, the_record
from tests.kills.world import World

SCHEDULERS = ["local", pytest.param("slurm", marks=pytest.mark.slurm)]
"""What comes before the submission has nothing to do with the scheduler: a soak tries both."""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", SCHEDULERS[: soak(1, 2)], indirect=True, scope="module"),
]

COMMAND = "sh -c 'echo $SLURM_JOB_ID >> {live}/runs; echo new > result'"
TRIED_OF = soak(60, 1)
"""Of so many points one is tried."""


@pytest.fixture(scope="module")
def contained(world: World) -> World:
    """There is a container whose image is in another clone only: the moment ``contained``."""
    world.set_back("start")
    image = world.root / "images/tool"
    image.parent.mkdir()
    image.write_text('#!/bin/sh\nexec "$@"\n')
    for option, value in (("image", "images/tool"), ("cmdexec", "sh {img} {cmd}")):
        world.git("config", "-f", ".datalad/config", f"datalad.containers.tool.{option}", value)
    world.git("annex", "add", "--quiet", "images")
    world.git("commit", "-q", "-m", "container", "--", "images", ".datalad/config")
    world.git("clone", "-q", ".", str(world.live / "other"))
    world.git("remote", "add", "other", str(world.live / "other"))
    world.git("annex", "init", "--quiet", folder=str(world.live / "other"))
    world.git("annex", "get", "--quiet", "images", folder=str(world.live / "other"))
    world.git("annex", "sync", "--quiet", "--no-push", "--no-commit", "other")
    world.git("annex", "drop", "--quiet", "--force", "images")
    world.keep("contained")
    return world


def test_schedule(contained: World, record_property: Note) -> None:
    world = contained
    command = COMMAND.format(live=world.live)
    wish: dict[str, Any] = {
        "container": "tool",
        "outputs": ["result"],
        "alt_dir": str(world.alternative),
    }
    world.set_back("contained")
    points = points_of(world.command("schedule", command, scheduler=world.scheduler, **wish))
    world.wait()
    tried = range(TRIED_OF // 2 + 1, len(points) + 1, TRIED_OF)
    record_property(f"points of an image on {world.scheduler}", f"{len(tried)} of {len(points)}")
    assert tried
    for number in tried:
        world.set_back("contained")
        start = world.git("rev-parse", "HEAD").strip()
        # A git-annex whose reader is gone may hang for ever, and keep its lock on the image: the
        # next command is refused then, whether it is ours or git-annex's own.
        death = Death(number, with_children=True)
        died = world.schedule(command, death, **wish).last_word
        wait_for(lambda: all(job["slurm_job_id"].isdecimal() for job in world.listed()))
        again = world.schedule(command, **wish).value[-1]
        assert again["status"] in ("ok", "impossible"), (died, again)
        world.wait()
        world.finish()
        assert len(world.runs) == 1, (died, again)
        (commit,) = world.git("rev-list", f"{start}..HEAD").split()
        assert the_record(world, commit)["hpc"]["container"] == "tool"
        assert (world.root / "result").read_text() == "new\n"
        assert_nothing_is_left(world)
