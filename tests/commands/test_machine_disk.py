"""A disk without room, at whatever step of a command it is noticed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in, text_of
from tests.commands.soundness import assert_sound

SIZE = 8 * 2**20
ROOMS = [0, 8, 16, 24, 32, 36, 40, 44, 48, 60, 100, 150, 300, 500, 900, 2000]
"""Kilobytes that are left free, one after another, until a command gets through."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if (mounted := subprocess.run(mount, capture_output=True, text=True)).returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def room(disk: Path, kilobytes: int) -> Iterator[None]:
    """Leave so much free on a disk for as long as the context lasts."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    size = max(0, status.f_bavail * status.f_frsize - kilobytes * 1024)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    try:
        yield
    finally:
        ballast.unlink()


@pytest.fixture
def lab(small_disk: Path, dataset_template: Path, local_spool: Path) -> Lab:
    """A dataset on the small disk; the local scheduler keeps its spool elsewhere."""
    made = shutil.copytree(dataset_template, small_disk / "ds", symlinks=True)
    lab = Lab(Dataset(made), "local")
    # git-annex would keep 100 MB free.
    lab.git("config", "annex.diskreserve", "0")
    return lab


def commits(lab: Lab) -> int:
    return lab.git("log", "--format=%s").count("[DATALAD SLURM RUN]")


FILLED = "dd if=/dev/zero of=DISK/ballast bs=4k 2>/dev/null; "
"""In a stand-in: leave no room on the disk."""


def filled_at(
    before: Path, disk: Path, program: str, where: str = "", *, after: bool = False
) -> None:
    """Let the disk become full just before, or after, a program is called with an argument."""
    fill = FILLED.replace("DISK", str(disk))
    call = f'REAL "$@"; code=$?; {fill} exit $code' if after else f'{fill} exec REAL "$@"'
    pattern = f'*" {where} "*' if where else "*"
    stand_in(before, program, f'case " $* " in {pattern}) {call};; esac; exec REAL "$@"\n')


def emptied(before: Path, disk: Path, program: str) -> None:
    (disk / "ballast").unlink()
    (before / program).unlink()


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """A job that is over, with a new output, and one that is unlocked: its content is copied."""
    lab.script(
        "mkdir -p out; head -c 50000 /dev/urandom | tee out/new.dat > old.dat; echo >> old.dat"
    )
    lab.write("old.dat")
    lab.git("annex", "unlock", "old.dat")
    lab.save()
    lab.schedule("sbatch job.sh", outputs=["out/", "old.dat"])
    lab.wait()
    return lab


def assert_kept(lab: Lab, results: list[dict[str, Any]]) -> None:
    """The job is as before, and the user is told that no output is lost and how to go on."""
    (said,) = results
    assert said["status"] == "error"
    told = ("room", "No space left", "write", "disk is full")
    assert any(words in text_of(said) for words in told), text_of(said)
    assert "`datalad finish` again" in text_of(said), text_of(said)
    assert len(lab.listed()) == 1
    assert commits(lab) == 0
    assert (lab.root / "out" / "new.dat").stat().st_size == 50000


def assert_finished_once(lab: Lab) -> None:
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert commits(lab) == 1
    assert lab.listed() == {}
    assert_sound(lab.root)


def test_finish_with_more_and_more_room(
    ready: Lab, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It visits the places where room may run out: hashing, Git's objects, the store."""
    # Otherwise it would not even begin, and git-annex be given more time.
    monkeypatch.setattr("datalad_hpc.commit.checkout.require_room", lambda folder: None)
    monkeypatch.setattr("datalad_hpc.commit.room.PATIENCE", 1.0)
    places = set()
    for free in ROOMS:
        with room(small_disk, free):
            results = ready.finish()
        if commits(ready):
            break
        assert_kept(ready, results)
        places.add(text_of(results[0])[:12])
    assert len(places) > 1
    ready.finish()
    assert (ready.listed(), commits(ready)) == ({}, 1)
    assert_sound(ready.root)


def test_finish_does_not_begin_without_room(ready: Lab, small_disk: Path) -> None:
    with room(small_disk, 100):
        results = ready.finish()
    assert "Git can write nothing" in text_of(results[0])
    assert_kept(ready, results)
    assert_finished_once(ready)


@pytest.mark.parametrize("step", ["fast-import", "update-ref"])
def test_the_disk_becomes_full_while_git_writes(
    ready: Lab, small_disk: Path, before: Path, step: str
) -> None:
    filled_at(before, small_disk, "git", step)
    results = ready.finish()
    emptied(before, small_disk, "git")
    assert_kept(ready, results)
    assert_finished_once(ready)


def test_the_disk_becomes_full_after_the_branch_was_moved(
    ready: Lab, small_disk: Path, before: Path
) -> None:
    """The commit is there, the note of it is not; the next finish takes it for what it is."""
    filled_at(before, small_disk, "git", "update-ref", after=True)
    (said,) = ready.finish()
    emptied(before, small_disk, "git")
    assert said["status"] == "error"
    assert "`datalad finish` again" in text_of(said)
    assert commits(ready) == 1
    assert_finished_once(ready)


def test_schedule_with_more_and_more_room(lab: Lab, small_disk: Path) -> None:
    lab.script("mkdir -p out; echo x > out/new.dat; echo y > old.dat")
    lab.write("old.dat", "x" * 20000)
    for free in ROOMS:
        with room(small_disk, free):
            (res,) = lab.schedule_all("sbatch job.sh", outputs=["out/", "old.dat"])
        if lab.listed():
            break
        assert "room" in text_of(res) or "No space left" in text_of(res)
        assert "submitted" in text_of(res)
        assert_sound(lab.root)
    assert free > 8
    assert len(lab.listed()) == 1
    lab.wait()
    assert_finished_once(lab)


@pytest.mark.slurm
def test_the_disk_becomes_full_while_sbatch_runs(lab: Lab, small_disk: Path, before: Path) -> None:
    """Slurm has the job, and its id cannot be kept."""
    lab.scheduler = "slurm"
    lab.script("echo x > out.txt")
    lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait()
    assert_finished_once(lab)
    filled_at(before, small_disk, "sbatch", after=True)
    (said,) = lab.schedule_all("sbatch job.sh", outputs=["other.txt"])
    emptied(before, small_disk, "sbatch")
    (job,) = lab.listed()
    assert f"Job {job} was submitted to slurm" in text_of(said)
    assert "Do not submit it again" in text_of(said)
    lab.wait()
    lab.finish(commit_failed_jobs=True)
    assert (lab.listed(), commits(lab)) == ({}, 2)
    assert_sound(lab.root)


def test_outputs_are_brought_back_to_a_full_disk(
    lab: Lab, small_disk: Path, tmp_path: Path
) -> None:
    alternative = tmp_path / "alternative"
    alternative.mkdir()
    lab.script("mkdir -p out; for i in 1 2; do head -c 200000 /dev/urandom > out/$i; done")
    lab.schedule("sbatch job.sh", outputs=["out/"], alt_dir=str(alternative))
    lab.wait()
    with room(small_disk, 300):
        (said,) = lab.finish()
    assert said["status"] == "error"
    assert "No space left" in text_of(said)
    assert "it was left where it is" in text_of(said)
    assert [path.stat().st_size for path in lab.root.glob("out/*")] == [200000]
    assert [path.name for path in alternative.glob("out/*")] == ["2"]
    assert_finished_once(lab)


def test_a_spool_without_room(
    dataset: Dataset, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that the local scheduler cannot keep is refused, with nothing left of it."""
    lab = Lab(dataset, "local")
    lab.script("echo x > out.txt")
    lab.git("config", "datalad.hpc.local.spool", str(small_disk / "spool"))
    monkeypatch.delenv("DATALAD_HPC_LOCAL_SPOOL")
    lab.dataset.config.reload(force=True)
    for free in ROOMS:
        with room(small_disk, free):
            (res,) = lab.schedule_all("sbatch job.sh", outputs=["out.txt"])
        if res["status"] == "ok":
            break
        assert "No space left" in text_of(res)
        assert lab.listed() == {}
    assert free > 4
    lab.wait()
    assert_finished_once(lab)
    assert not list((small_disk / "spool").glob("**/*draft*"))
