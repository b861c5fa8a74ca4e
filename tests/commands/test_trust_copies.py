"""Outputs and inputs that are copied, in folders where others write at the same time."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datalad_hpc.beneath import copy_file, opened
from datalad_hpc.claims import claim_for
from datalad_hpc.errors import HpcError
from datalad_hpc.staging.returning import bring_back
from datalad_hpc.staging.sending import make_folders, stage_inputs
from tests.commands.conftest import Lab, text_of

SECONDS = 1.0
"""How long a race is run."""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """A dataset's root, an alternative directory, a scratch folder, and a private one."""
    folders = tuple(tmp_path / name for name in ("ds", "alt", "scratch", "private"))
    for folder in folders:
        folder.mkdir()
    return folders  # type: ignore[return-value]


@contextlib.contextmanager
def swapping(folder: Path, target: Path) -> Iterator[None]:
    """Have a thread put a link in the place of a folder, and the folder back, again and again."""
    over = threading.Event()
    aside, link = folder.parents[1] / "aside", folder.parents[1] / "link"

    def swap() -> None:
        while not over.is_set():
            link.symlink_to(target)
            put(folder, aside)
            put(link, folder)
            folder.unlink(missing_ok=True)
            put(aside, folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def put(one: Path, place: Path) -> None:
    """Rename, also where somebody has made a folder meanwhile."""
    while True:
        try:
            one.rename(place)
        except FileNotFoundError:
            return
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
        else:
            return


def repeated(action: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(HpcError, FileNotFoundError):
            action()


def test_a_folder_that_is_swapped_for_a_link_gives_nothing_away(
    places: tuple[Path, Path, Path, Path],
) -> None:
    root, alternative, scratch, private = places
    names = [f"f{number}" for number in range(200)]
    for name in names:
        (private / name).write_text("secret")
    for _ in range(8):
        (alternative / "out" / "sub").mkdir(parents=True, exist_ok=True)
        for name in names:
            (alternative / "out" / "sub" / name).write_text("the job's")
        with swapping(alternative / "out" / "sub", private), contextlib.suppress(HpcError):
            bring_back(root, alternative, [claim_for("out/")], scratch)
        brought = [path for path in root.rglob("f*") if path.read_text() == "secret"]
        assert brought == []
        assert len(list(private.iterdir())) == len(names)
        shutil.rmtree(root / "out", ignore_errors=True)


def test_a_folder_of_the_dataset_that_is_swapped_takes_nothing_out(
    places: tuple[Path, Path, Path, Path],
) -> None:
    root, alternative, scratch, private = places
    (root / "out" / "sub").mkdir(parents=True)
    (alternative / "out" / "sub").mkdir(parents=True)

    def finish() -> None:
        (alternative / "out" / "sub" / "new").write_text("x")
        bring_back(root, alternative, [claim_for("out/")], scratch)

    with swapping(root / "out" / "sub", private):
        repeated(finish)
    assert list(private.iterdir()) == []


def test_an_input_is_not_written_behind_a_link(places: tuple[Path, Path, Path, Path]) -> None:
    root, alternative, _, private = places
    (root / "in" / "sub").mkdir(parents=True)
    (root / "in" / "sub" / "x").write_text("x")
    (alternative / "in").mkdir()
    (alternative / "in" / "sub").symlink_to(private)
    with pytest.raises(HpcError, match="leads out of the alternative directory"):
        stage_inputs(root, alternative, ["in"])
    with pytest.raises(HpcError, match="leads out of the alternative directory"):
        make_folders(alternative, "in/sub/new", [])
    (alternative / "in" / "sub").unlink()
    (alternative / "in" / "sub").mkdir()

    def schedule() -> None:
        stage_inputs(root, alternative, ["in"])
        with contextlib.suppress(OSError):
            os.unlink(alternative / "in" / "sub" / "x")

    with swapping(alternative / "in" / "sub", private):
        repeated(schedule)
    assert list(private.iterdir()) == []


def test_a_link_that_stays_inside_is_followed(places: tuple[Path, Path, Path, Path]) -> None:
    root, alternative, _, _ = places
    (root / "in").mkdir()
    (root / "in" / "x").write_text("x")
    (alternative / "real").mkdir()
    (alternative / "in").symlink_to("real")
    stage_inputs(root, alternative, ["in"])
    assert (alternative / "real" / "x").read_text() == "x"


def test_a_copy_does_not_run_as_its_new_owner(places: tuple[Path, Path, Path, Path]) -> None:
    root, alternative, _, _ = places
    (root / "program").write_text("x")
    (root / "program").chmod(0o6755)
    stage_inputs(root, alternative, ["program"])
    assert stat.S_IMODE((alternative / "program").stat().st_mode) == 0o755
    memory = Path(tempfile.mkdtemp(dir="/dev/shm")) if Path("/dev/shm").is_dir() else alternative
    if memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("/dev/shm is no other file system")
    try:
        (memory / "tool").write_text("x")
        (memory / "tool").chmod(0o6755)
        bring_back(root, memory, [claim_for("tool")], root)
        assert stat.S_IMODE((root / "tool").stat().st_mode) == 0o755
    finally:
        shutil.rmtree(memory)


def test_a_pipe_does_not_hang(places: tuple[Path, Path, Path, Path]) -> None:
    root, alternative, scratch, _ = places
    os.mkfifo(alternative / "pipe")
    os.mkfifo(root / "pipe")
    assert bring_back(root, alternative, [claim_for("pipe")], scratch) == []
    with pytest.raises(HpcError, match="no ordinary file"):
        stage_inputs(root, alternative, ["pipe"])
    with opened(alternative) as folder, pytest.raises(OSError, match="no ordinary file"):
        copy_file(os.open(root / "pipe", os.O_RDONLY | os.O_NONBLOCK), "new", folder)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["alternative", "dataset"])
def test_odd_outputs_of_a_job(local_lab: Lab, tmp_path: Path, elsewhere: bool) -> None:
    """Links, pipes, sockets, hard links and a file full of holes."""
    lab, there = local_lab, tmp_path / "there"
    there.mkdir()
    (tmp_path / "alt").mkdir()
    (there / "own").write_text("mine\n")
    lab.script(
        f"mkdir -p out; cd out; ln -s {there} folder; ln -s {there}/own link; mkfifo pipe\n"
        f"ln {there}/own hard; truncate -s 50M holes; mkdir .git; echo x > .git/config; rm -r .git"
    )
    options = {"alt_dir": str(tmp_path / "alt")} if elsewhere else {}
    done = lab.run("sbatch job.sh", outputs=["out/"], **options)
    assert done["status"] == "ok", text_of(done)
    files = {"out/folder", "out/link", "out/hard", "out/holes"}
    assert {name for name in lab.committed() if name.startswith("out/")} == files
    assert (lab.root / "out" / "holes").stat().st_size == 50 * 2**20
    assert [path.name for path in there.iterdir()] == ["own"]
    assert (there / "own").read_text() == "mine\n"
