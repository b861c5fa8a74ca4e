"""The world in which commands are killed: a dataset with a subdataset, and a user at work in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kills.world import World

SCRIPT = """\
#!/bin/bash
echo "$SLURM_JOB_ID" >> {live}/runs
{text}
"""

CHANGE = """\
echo changed > out/old
rm -f out/deleted
echo new > out/new
echo again > out/absent
echo result > sub/result
"""

ARRAY = """\
mkdir -p parts
echo "$SLURM_ARRAY_TASK_ID" > "parts/$SLURM_ARRAY_TASK_ID"
"""

OLD_OUTPUTS = ("out/old", "out/same", "out/deleted", "out/absent")


@pytest.fixture(scope="module", params=[pytest.param("slurm", marks=pytest.mark.slurm), "local"])
def world(
    request: pytest.FixtureRequest,
    dataset_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A dataset that nobody has scheduled a job in, kept as the moment ``start``."""
    import datalad

    with _elsewhere() as alternative, pytest.MonkeyPatch.context() as patch:
        world = World(tmp_path_factory.mktemp("world"), request.param, alternative)
        patch.setenv("DATALAD_HPC_LOCAL_SPOOL", str(world.live / "spool"))
        datalad.cfg.reload(force=True)
        _furnish(world, dataset_template)
        world.keep("start")
        yield world
        world.set_back("start")
    datalad.cfg.reload(force=True)


@contextlib.contextmanager
def _elsewhere() -> Iterator[Path]:
    """A folder on another file system, from which a file cannot just be renamed."""
    memory = Path("/dev/shm")
    usable = os.access(memory, os.W_OK) and memory.stat().st_dev != Path("/tmp").stat().st_dev
    with tempfile.TemporaryDirectory(dir=memory if usable else None) as folder:
        path = Path(folder) / "alternative"
        path.mkdir()
        yield path


def _furnish(world: World, template: Path) -> None:
    from datalad.api import Dataset

    world.live.mkdir()
    dataset = Dataset(shutil.copytree(template, world.root, symlinks=True))
    dataset.create("sub", result_renderer="disabled")
    _write(world, "change.sh", CHANGE)
    _write(world, "array.sh", ARRAY)
    for name in OLD_OUTPUTS:
        (world.root / name).parent.mkdir(exist_ok=True)
        (world.root / name).write_text(f"content of {name}\n")
    dataset.save(recursive=True, result_renderer="disabled")
    world.git("annex", "drop", "--quiet", "--force", "out/absent")
    _leave_work_lying_about(world)


def _write(world: World, name: str, text: str) -> None:
    path = world.root / name
    path.write_text(SCRIPT.format(live=world.live, text=text))


def _leave_work_lying_about(world: World) -> None:
    """What a user has in the dataset that is no business of any job."""
    for name in ("staged", "edited"):
        (world.root / name).write_text("first\n")
        world.git("-c", "annex.largefiles=nothing", "add", name)
    world.git("commit", "-q", "-m", "files of the user's")
    (world.root / "staged").write_text("second\n")
    world.git("-c", "annex.largefiles=nothing", "add", "staged")
    (world.root / "edited").write_text("second\n")
    (world.root / "untracked").write_text("first\n")
    os.utime(world.root / "edited", (1, 1))
