"""Folders that cannot be written: a sentence, and nothing lost once they can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import Lab, text_of
from tests.commands.soundness import assert_sound


@pytest.fixture
def freeze(tmp_path: Path) -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Makes a folder read-only, for root as well; gives what undoes it."""
    if os.geteuid():
        pytest.skip("only root can mount a folder read-only")
    frozen: list[Path] = []

    def thaw(folder: Path) -> None:
        subprocess.run(["umount", "-l", folder], check=True)
        frozen.remove(folder)

    def freeze(folder: Path) -> Callable[[], None]:
        bound = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, text=True)
        if bound.returncode:
            pytest.skip(f"nothing can be mounted here: {bound.stderr.strip()}")
        frozen.append(folder)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        return lambda: thaw(folder)

    try:
        yield freeze
    finally:
        for folder in list(frozen):
            thaw(folder)


def assert_finished_once(lab: Lab) -> None:
    lab.finish()
    assert lab.listed() == {}
    assert lab.git("log", "--format=%s").count("[DATALAD SLURM RUN]") == 1
    assert_sound(lab.root)


@pytest.fixture
def ready(local_lab: Lab) -> Lab:
    local_lab.script("mkdir -p out logs; echo x > out/x.dat")
    (local_lab.root / "logs").mkdir()
    local_lab.schedule("sbatch -o logs/%j.out job.sh", outputs=["out/"])
    local_lab.wait()
    return local_lab


@pytest.mark.parametrize("folder", ["out", "logs", ".git/annex", ".git/datalad", ".git", "."])
def test_finish(ready: Lab, freeze: Callable[[Path], Callable[[], None]], folder: str) -> None:
    thaw = freeze(ready.root / folder)
    results = ready.finish()
    thaw()
    assert results
    for said in results:
        assert said["status"] == "error", text_of(said)
        assert "ead-only" in text_of(said) or "cannot be written" in text_of(said), text_of(said)
        assert "again" in text_of(said), text_of(said)
    assert len(ready.listed()) == 1
    assert_finished_once(ready)


@pytest.mark.parametrize("folder", [".git/datalad", ".git", ".", "logs", "sub"])
def test_schedule(
    local_lab: Lab, freeze: Callable[[Path], Callable[[], None]], folder: str
) -> None:
    lab = local_lab
    lab.script("mkdir -p out logs; echo x > out/x.dat; echo y > sub/old.dat")
    lab.write("sub/old.dat")
    for name in ("logs", ".git/datalad"):
        (lab.root / name).mkdir(exist_ok=True)
    command = "sbatch -o logs/new/%j.out job.sh"
    thaw = freeze(lab.root / folder)
    (said,) = lab.schedule_all(command, outputs=["out/", "sub/old.dat"])
    thaw()
    assert said["status"] in ("error", "impossible"), text_of(said)
    assert "ead-only" in text_of(said) or "cannot be written" in text_of(said), text_of(said)
    assert "submitted" in text_of(said), text_of(said)
    assert lab.listed() == {}
    assert_sound(lab.root)
    assert lab.schedule(command, outputs=["out/", "sub/old.dat"])["status"] == "ok"
    lab.wait()
    assert_finished_once(lab)


def test_an_alternative_directory(
    local_lab: Lab, tmp_path: Path, freeze: Callable[[Path], Callable[[], None]]
) -> None:
    """It cannot be staged to, and later nothing can be moved out of it."""
    lab = local_lab
    alternative = tmp_path / "alternative"
    alternative.mkdir()
    lab.script("mkdir -p out; echo x > out/x.dat")
    thaw = freeze(alternative)
    (said,) = lab.schedule_all("sbatch job.sh", outputs=["out/"], alt_dir=str(alternative))
    thaw()
    assert "ead-only" in text_of(said)
    assert "Nothing was submitted: " in text_of(said)
    lab.schedule("sbatch job.sh", outputs=["out/"], alt_dir=str(alternative))
    lab.wait()
    thaw = freeze(alternative)
    (said,) = lab.finish()
    thaw()
    assert said["status"] == "error"
    assert "stays open" in text_of(said)
    assert "left where it is" in text_of(said)
    assert_finished_once(lab)
