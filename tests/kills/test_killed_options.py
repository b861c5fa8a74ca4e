"""Killed at any point with one of its options, ``finish`` is completed by the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers import soak
from tests.kills.points import Death, points_of
from tests.kills.test_killed_anywhere import Note, the_record
from tests.kills.world import World

SCHEDULERS = ["local", pytest.param("slurm", marks=pytest.mark.slurm)]
"""No option has to do with the scheduler: a soak tries both."""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("world", SCHEDULERS[: soak(1, 2)], indirect=True, scope="module"),
]

OPTIONS: list[dict[str, bool]] = [
    {"commit_good_tasks": True},
    {"commit_good_tasks": True, "branches": True},
    {"commit_failed_jobs": True, "octopus": True},
    {"close_failed_jobs": True},
    {"close_failed_jobs": True, "wait": True},
]

LINKED = ("kept/0", "kept/1", "whole/kept", "parts/0", "parts/1", "out/same", "out/new")

OF_JOBS = ("--exclude=git-annex", "--branches", "^start")

TRIED_OF = soak(80, 1)
"""Of so many points one is tried; and all at which Git itself brings files back."""

Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def failed(world: World) -> World:
    """An array of which one task failed, and two jobs, of which one failed: the moment ``failed``.

    Half of the existing outputs were left alone by the jobs.
    """
    world.set_back("start")
    _write(world, "part.sh", "echo new > $1$SLURM_ARRAY_TASK_ID\nexit ${SLURM_ARRAY_TASK_ID:-$2}\n")
    for name in ("parts/0", "parts/1", "kept/0", "kept/1", "whole/kept"):
        _write(world, name, f"content of {name}\n")
    world.git("annex", "add", "--quiet", "parts", "kept", "whole")
    world.git("-c", "annex.largefiles=nothing", "add", "part.sh")
    world.git("commit", "-q", "-m", "parts", "--", "parts", "kept", "whole", "part.sh")
    world.git("tag", "start")
    found = world.schedule(
        "sbatch --array=0-1 part.sh parts/", outputs=["parts/{task}", "kept/{task}"]
    ).value
    found += world.schedule("sbatch part.sh out/new 0", outputs=["out/"]).value
    found += world.schedule("sbatch part.sh whole/new 1", outputs=["whole/"]).value
    assert {result["status"] for result in found} == {"ok"}, found
    world.wait()
    world.keep("failed")
    return world


def _write(world: World, name: str, text: str) -> None:
    path = world.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}" if name.endswith(".sh") else text)


def deaths(world: World, options: dict[str, bool], note: Note) -> Iterator[Death]:
    """Where a command is to die: now alone, now with its children."""
    world.set_back("failed")
    points = points_of(world.command("finish", **options))
    chosen = [
        (number, what.endswith("checkout-index"))
        for number, what in enumerate(points, 1)
        if number % TRIED_OF == TRIED_OF // 2 or what.endswith("checkout-index")
    ]
    note(f"points of {options}", f"{len(chosen)} of {len(points)}")
    for turn, (number, always) in enumerate(chosen):
        world.set_back("failed")
        yield Death(number, with_children=always or turn % 2 == 1)


def outcome(world: World) -> Outcome:
    """All that a round leaves, but for times and what depends on them."""
    refs = world.git("for-each-ref", "--format=%(refname)", "refs/heads/").split()
    commits = world.git("rev-list", "--no-merges", *OF_JOBS).split()
    committed = {commit: world.git("show", "--format=", "--raw", commit) for commit in commits}
    found = {}
    for commit, changed in committed.items():
        job = str(the_record(world, commit)["slurm_job_id"])
        assert job not in found, f"job {job} was committed twice"
        found[job] = changed.splitlines()
    return {
        "branches": refs,
        "merges": len(world.git("rev-list", "--merges", *OF_JOBS).split()),
        "commits": {
            job: sorted(line.split("\t")[1] for line in lines) for job, lines in found.items()
        },
        "changes": world.changes(),
        "jobs": world.rows("SELECT job_id, state, \"commit\" != '' FROM jobs ORDER BY key"),
        "tasks": world.rows("SELECT job, number, state, \"commit\" != '' FROM tasks ORDER BY 1, 2"),
        "claims": world.rows("SELECT job, count(*) FROM claims WHERE stem IS NOT NULL GROUP BY 1"),
        "linked": [name for name in LINKED if (world.root / name).is_symlink()],
    }


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_finish(failed: World, options: dict[str, bool], record_property: Note) -> None:
    world = failed
    world.set_back("failed")
    world.finish(**options)
    expected = outcome(world)
    for death in deaths(world, options, record_property):
        died = world.finish(death, **options).last_word
        if options.keys().isdisjoint({"branches", "octopus"}) and death.with_children:
            world.finish()
        results = world.finish(**options).value
        assert outcome(world) == expected, (died, results)
        world.assert_sound("sub")
