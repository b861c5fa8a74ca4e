"""Killed at any point, ``finish`` of a chain is completed by the next one, and in order."""

from __future__ import annotations

import pytest

from tests.helpers import soak
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import Note, committed_since, the_record
from tests.kills.world import World

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", ["local"], indirect=True, scope="module"),
]

TRIED_OF = soak(60, 1)
"""Of so many points one is tried."""


@pytest.fixture(scope="module")
def chain(world: World) -> World:
    """Three jobs have ended, each of which has read what the one before made: the moment."""
    world.set_back("start")
    for made, read in (("a", None), ("b", "a"), ("c", "b")):
        inputs = {"inputs": [read]} if read else {}
        found = world.schedule(f"echo {made} > {made}", outputs=[made], **inputs).value
        assert [result["status"] for result in found] == ["ok"]
    world.wait()
    world.keep("chain")
    return world


def test_finish_of_a_chain(chain: World, record_property: Note) -> None:
    world = chain
    points = points_of(world.command("finish"))
    record_property("points of a chain's finish", len(points))
    tried = range(TRIED_OF // 2, len(points), TRIED_OF)
    assert tried
    for number in tried:
        world.set_back("chain")
        start = world.git("rev-parse", "HEAD").strip()
        died = world.finish(Death(number, with_children=bool(number % 2))).last_word
        results = world.finish().value
        assert {res["status"] for res in results} <= {"ok", "notneeded"}, (died, results)
        assert len(committed_since(world, start)) == 3, died
        commits = world.git("rev-list", "--reverse", f"{start}..HEAD").split()
        assert [the_record(world, commit)["outputs"] for commit in commits] == [["a"], ["b"], ["c"]]
        assert world.listed() == []
        world.assert_sound()
