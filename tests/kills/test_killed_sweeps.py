"""A sweep of two arrays whose submission is killed anywhere: each task runs and is kept once."""

from __future__ import annotations

from typing import Any

import pytest

from datalad_hpc import sweeping
from tests.helpers import soak, wait_for
from tests.kills.test_killed_anywhere import PARTS, USERS, Note, another, deaths
from tests.kills.world import World

pytestmark = pytest.mark.soak

VALUES = ["a", "b", "c", "d"]
COMMAND = "echo {{v}} >> {live}/runs; mkdir -p swept; echo {{v}} > {{outputs}}"
OUTPUTS = ["swept/{v}"]


@pytest.mark.parametrize("part", range(soak(1, PARTS)))
def test_schedule(
    world: World, part: int, record_property: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "LARGEST_SCRIPT", 600)
    command = COMMAND.format(live=world.live)
    wish: dict[str, Any] = {"outputs": OUTPUTS, "foreach": {"v": VALUES}}
    call = world.command("schedule", command, scheduler=world.scheduler, **wish)
    for death in deaths(world, "start", call, part, record_property):
        start = world.git("rev-parse", "HEAD").strip()
        died = world.schedule(command, death, **wish).last_word
        tracked = settled(world, death)
        if not tracked:
            assert world.changes() == USERS
        rest = [value for value in VALUES if f"swept/{value}" not in tracked]
        again = world.schedule(command, outputs=OUTPUTS, foreach={"v": VALUES}).value
        assert (again[-1]["status"] == "ok") == (not tracked), (died, again)
        if tracked and rest:
            world.schedule(command, outputs=OUTPUTS, foreach={"v": rest})
        world.wait()
        assert sorted(world.runs) == VALUES, died
        results = world.finish().value
        assert {result["status"] for result in results} == {"ok"}, (died, results)
        committed = world.git("log", "--format=", "--name-only", f"{start}..HEAD").split()
        outputs = sorted(name for name in committed if name.startswith("swept/"))
        assert outputs == [f"swept/{value}" for value in VALUES], died
        assert world.listed() == []
        assert world.rows("SELECT * FROM claims WHERE stem IS NOT NULL") == []
        assert world.changes() == USERS


def settled(world: World, death: Any) -> set[str]:
    """The outputs that are claimed once the next commands know what became of the arrays."""
    if second := another(death):
        world.finish(second, list_open_jobs=True)
    wait_for(lambda: all(job["slurm_job_id"].isdecimal() for job in world.listed()), interval=0.1)
    held = world.rows("SELECT path FROM claims WHERE stem IS NOT NULL AND role = 'output'")
    return {path for (path,) in held}
