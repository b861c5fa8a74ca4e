"""Inputs out and outputs back, over real files and file systems."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.job import Claim, ClaimKind, ClaimRole
from datalad_hpc.staging import returning
from datalad_hpc.staging.returning import bring_back
from datalad_hpc.staging.sending import check_alternative, make_folders, stage_inputs

if TYPE_CHECKING:
    from datalad.api import Dataset

ODD_NAMES = [
    "a b",
    "-n",
    "it's",
    '"q"',
    "$HOME",
    "*",
    "a\nb",
    "ä",
    "{x}",
    ";id",
    "#",
    "\udcff",
    "~",
]
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "ds"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
def scratch(root: Path) -> Path:
    folder = root / ".git" / "scratch"
    folder.mkdir()
    return folder


def _elsewhere(path: Path) -> bool:
    return SHARED_MEMORY.is_dir() and SHARED_MEMORY.stat().st_dev != path.stat().st_dev


@pytest.fixture(params=["same file system", "another file system"])
def alternative(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder to run jobs in, once beside the dataset and once in memory."""
    if request.param == "same file system":
        (tmp_path / "alt").mkdir()
        yield tmp_path / "alt"
        return
    if not _elsewhere(tmp_path):
        pytest.skip("/dev/shm is no other file system")
    folder = Path(tempfile.mkdtemp(dir=SHARED_MEMORY))
    yield folder
    shutil.rmtree(folder)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or path.name.encode(errors="replace").decode())
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(where, name), folder)
        for where, folders, files in os.walk(folder)
        for name in [*files, *(name for name in folders if os.path.islink(f"{where}/{name}"))]
        if ".git" not in Path(where).parts
    )


def claims(*paths: str) -> list[Claim]:
    return [claim_for(path) for path in paths]


# Which folder


def test_an_alternative_is_a_folder_elsewhere(root: Path, alternative: Path) -> None:
    assert check_alternative(str(alternative), root) == str(alternative)
    link = root.parent / "link"
    link.symlink_to(alternative)
    assert check_alternative(str(link), root) == str(alternative)
    (root.parent / "ds2").mkdir()
    assert check_alternative(str(root.parent / "ds2"), root) == str(root.parent / "ds2")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{root}/../gone", "does not exist"),
        ("{root}/file", "does not exist"),
        ("{root}", "lie in one another"),
        ("{root}/sub", "lie in one another"),
        ("{root}/..", "lie in one another"),
        ("/", "lie in one another"),
        ("{root}/../link-in", "lie in one another"),
        ("{root}/../link-around", "lie in one another"),
    ],
)
def test_a_folder_that_will_not_do_is_refused(root: Path, path: str, words: str) -> None:
    (root / "sub").mkdir()
    write(root / "file")
    (root.parent / "link-in").symlink_to(root / "sub")
    (root.parent / "link-around").symlink_to(root.parent)
    with pytest.raises(BadRequest, match=words):
        check_alternative(path.format(root=root), root)


# Out


def test_annexed_content_takes_the_place_of_links(dataset: Dataset, tmp_path: Path) -> None:
    root = Path(os.path.realpath(dataset.path))
    (tmp_path / "alt").mkdir()
    content = os.urandom(5000)
    write(root / "in" / "deep" / "x").write_bytes(content)
    dataset.save(result_renderer="disabled")
    assert (root / "in" / "deep" / "x").is_symlink()
    stage_inputs(root, tmp_path / "alt", ["in"])
    copy = tmp_path / "alt" / "in" / "deep" / "x"
    assert not copy.is_symlink()
    assert copy.read_bytes() == content
    copy.write_bytes(b"the job may write to it")
    assert (root / "in" / "deep" / "x").read_bytes() == content
    stage_inputs(root, tmp_path / "alt", ["in/deep/x"])
    assert copy.read_bytes() == content


def test_a_system_keeps_its_links(root: Path, alternative: Path) -> None:
    """A link of its own to /bin/sh is not this host's shell, and git-annex's is its content."""
    folder = root / "image"
    folder.mkdir()
    (root / ".git/annex/objects").mkdir(parents=True)
    (root / ".git/annex/objects/KEY").write_text("content\n")
    links = {"sh": "busybox", "awk": "/bin/sh", "mtab": "../proc/self/mounts", "lib": "."}
    for name, target in {**links, "busybox": "../.git/annex/objects/KEY"}.items():
        (folder / name).symlink_to(target)
    stage_inputs(root, alternative, ["image"], with_links=True)
    assert {name: os.readlink(alternative / "image" / name) for name in links} == links
    assert (alternative / "image/sh").read_text() == "content\n"
    assert not (alternative / "image/busybox").is_symlink()
    (root / "image.sif").symlink_to("image/busybox")
    stage_inputs(root, alternative, ["image.sif"], with_links=True)
    assert not (alternative / "image.sif").is_symlink()


def test_the_root_is_staged_without_gits_own(root: Path, alternative: Path) -> None:
    write(root / ".git" / "config")
    write(root / "sub" / ".git", "gitdir: x")
    for name in ODD_NAMES:
        write(root / "in" / name)
    stage_inputs(root, alternative, ["."])
    assert files_below(alternative) == sorted(f"in/{name}" for name in ODD_NAMES)


def test_names_are_taken_as_they_are(root: Path, alternative: Path) -> None:
    for name in ODD_NAMES:
        write(root / "in" / name, "x")
    stage_inputs(root, alternative, [f"in/{name}" for name in ODD_NAMES])
    assert files_below(alternative) == sorted(f"in/{name}" for name in ODD_NAMES)


def test_what_is_there_already_is_not_copied_again(root: Path, alternative: Path) -> None:
    source = write(root / "in" / "x", "one")
    stage_inputs(root, alternative, ["in"])
    before = (alternative / "in" / "x").stat()
    stage_inputs(root, alternative, ["in"])
    assert (alternative / "in" / "x").stat().st_ino == before.st_ino
    # The same size, and written within the same second.
    source.write_text("two")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns + 5_000_000))
    stage_inputs(root, alternative, ["in"])
    assert (alternative / "in" / "x").read_text() == "two"


def test_times_may_be_kept_in_seconds(root: Path, alternative: Path) -> None:
    """Some parallel file systems do."""
    source = write(root / "x", "one")
    os.utime(source, ns=(10**18 + 123, 10**18 + 123456789))
    stage_inputs(root, alternative, ["x"])
    copy = alternative / "x"
    os.utime(copy, ns=(10**18, 10**18))
    before = copy.stat().st_ino
    stage_inputs(root, alternative, ["x"])
    assert copy.stat().st_ino == before


def test_programs_stay_programs_and_copies_can_be_written(root: Path, alternative: Path) -> None:
    write(root / "run.sh").chmod(0o555)
    write(root / "data").chmod(0o444)
    stage_inputs(root, alternative, ["run.sh", "data"])
    assert (alternative / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (alternative / "data").stat().st_mode & 0o777 == 0o644


def test_links_to_folders_are_links_again(root: Path, alternative: Path) -> None:
    write(root / "in" / "run1" / "x")
    (root / "in" / "latest").symlink_to("run1")
    (root / "in" / "loop").symlink_to(".")
    (root / "in" / "broken").symlink_to("nowhere")
    for _ in range(2):
        stage_inputs(root, alternative, ["in"])
        assert os.readlink(alternative / "in" / "latest") == "run1"
        assert (alternative / "in" / "latest" / "x").read_text() == "x"
        assert files_below(alternative) == ["in/latest", "in/loop", "in/run1/x"]
    (root / "linked").symlink_to("in/run1")
    stage_inputs(root, alternative, ["linked"])
    assert (alternative / "linked" / "x").read_text() == "x"


def test_a_link_in_the_place_of_a_copy_is_not_written_through(
    root: Path, alternative: Path, tmp_path: Path
) -> None:
    victim = write(tmp_path / "victim", "old")
    write(root / "x", "new")
    os.utime(root / "x", (victim.stat().st_atime, 10**9))
    (alternative / "x").symlink_to(victim)
    for same_time in (False, True):
        if same_time:
            os.utime(victim, (victim.stat().st_atime, 10**9))
            (alternative / "x").unlink()
            (alternative / "x").symlink_to(victim)
        stage_inputs(root, alternative, ["x"])
        assert not (alternative / "x").is_symlink()
        assert (alternative / "x").read_text() == "new"
        assert victim.read_text() == "old"


@pytest.mark.parametrize("way", ["a", "a/b/c"])
def test_an_input_that_cannot_be_copied_is_named(root: Path, alternative: Path, way: str) -> None:
    write(root / "a" / "b" / "c")
    if way == "a":
        write(alternative / "a")
    else:
        (alternative / way).mkdir(parents=True)
    with pytest.raises(BadRequest, match=r"input a/b/c could not be copied"):
        stage_inputs(root, alternative, ["a"])


def test_folders_for_outputs_are_made(root: Path, alternative: Path) -> None:
    log = Claim("logs/[[]1]/7_*.out", ClaimKind.GLOB, ClaimRole.LOG)
    wanted = claims("out/", "deep/er/file", "g/lob/*/x", "*.txt", "plain")
    make_folders(alternative, "sub", [*wanted, log])
    made = {os.path.relpath(folder, alternative) for folder, _, _ in os.walk(alternative)}
    assert made == {".", "sub", "out", "deep", "deep/er", "g", "g/lob", "logs", "logs/[1]"}
    write(alternative / "file")
    with pytest.raises(BadRequest, match="/file/x could not be made"):
        make_folders(alternative, "sub", claims("file/x/y"))


# Back


def test_outputs_come_to_their_place(root: Path, alternative: Path, scratch: Path) -> None:
    for path in ("out/a", "out/deep/b", "one", "x1.txt", "x2.dat", "sub/y.txt", "logs/7_0.out"):
        write(alternative / path, path)
    wanted = claims("out/", "one", "*.txt", "logs/7_*.out", "gone", "gone/", "none*")
    moved = bring_back(root, alternative, wanted, scratch)
    assert moved == ["out/a", "out/deep/b", "one", "x1.txt", "logs/7_0.out"]
    assert files_below(root) == sorted(moved)
    assert all((root / path).read_text() == path for path in moved)
    assert files_below(alternative) == ["sub/y.txt", "x2.dat"]
    assert bring_back(root, alternative, wanted, scratch) == []
    assert list(scratch.iterdir()) == []


def test_claims_that_overlap_move_each_file_once(
    root: Path, alternative: Path, scratch: Path
) -> None:
    write(alternative / "out" / "a.txt")
    wanted = claims("out/a.txt", "out/", "**/*.txt", "out/*")
    assert bring_back(root, alternative, wanted, scratch) == ["out/a.txt"]


def test_odd_names_come_back(root: Path, alternative: Path, scratch: Path) -> None:
    for name in ODD_NAMES:
        write(alternative / "out" / name, "x")
        write(alternative / name, "x")
    bring_back(root, alternative, claims("out/"), scratch)
    bring_back(root, alternative, [Claim(name, ClaimKind.FILE) for name in ODD_NAMES], scratch)
    assert files_below(root) == sorted([*ODD_NAMES, *(f"out/{name}" for name in ODD_NAMES)])


def test_a_glob_in_an_oddly_named_folder_comes_back(
    root: Path, alternative: Path, scratch: Path
) -> None:
    write(alternative / "a[1]" / "7_0.out")
    write(alternative / "a1" / "7_0.out")
    assert bring_back(root, alternative, claims("a[[]1]/7_*.out"), scratch) == ["a[1]/7_0.out"]


def test_links_come_back_as_links(root: Path, alternative: Path, scratch: Path) -> None:
    write(root.parent / "secret" / "file")
    for name, target in (("in", "x"), ("out", "../../secret"), ("gone", "/no/where"), ("up", ".")):
        (alternative / "o").mkdir(exist_ok=True)
        (alternative / "o" / name).symlink_to(target)
    (alternative / "l").symlink_to(root.parent / "secret")
    assert len(bring_back(root, alternative, claims("o/", "l"), scratch)) == 5
    assert os.readlink(root / "o" / "out") == "../../secret"
    assert os.readlink(root / "o" / "gone") == "/no/where"
    assert (root / "l").is_symlink()
    assert files_below(root) == ["l", "o/gone", "o/in", "o/out", "o/up"]
    assert (root.parent / "secret" / "file").exists()


def test_gits_own_names_and_special_files_stay(
    root: Path, alternative: Path, scratch: Path
) -> None:
    write(alternative / "out" / ".git" / "hooks" / "pre-commit")
    write(alternative / "out" / "deep" / ".git")
    os.mkfifo(alternative / "out" / "fifo")
    write(alternative / "out" / "x")
    assert bring_back(root, alternative, claims("out/"), scratch) == ["out/x"]


@pytest.mark.parametrize("claim", ["out/x", "out/deep/", "out/deep/*"])
def test_a_linked_folder_on_the_way_out_is_refused(
    root: Path, alternative: Path, scratch: Path, tmp_path: Path, claim: str
) -> None:
    write(tmp_path / "secret" / "x")
    write(tmp_path / "secret" / "deep" / "x")
    (alternative / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(HpcError, match="is a symbolic link and is not followed"):
        bring_back(root, alternative, claims(claim), scratch)
    assert files_below(root) == []


@pytest.mark.parametrize("target", ["../secret", ".git/hooks", "other"])
def test_a_linked_folder_in_the_dataset_is_refused(
    root: Path, alternative: Path, scratch: Path, target: str
) -> None:
    """Nothing may get out of the dataset by it, nor to where Git keeps its hooks."""
    for folder in ("../secret", ".git/hooks", "other"):
        (root / folder).mkdir()
    (root / "out").symlink_to(target)
    write(alternative / "out" / "x")
    write(alternative / "out" / "deep" / "y")
    with pytest.raises(HpcError, match="is a symbolic link and is not followed"):
        bring_back(root, alternative, claims("out/"), scratch)
    assert files_below(root) == ["out"]
    assert not list((root / target).iterdir())
    assert files_below(alternative) == ["out/deep/y", "out/x"]


def test_the_object_behind_a_locked_file_is_not_touched(
    dataset: Dataset, alternative: Path
) -> None:
    root = Path(os.path.realpath(dataset.path))
    write(root / "out" / "x").write_bytes(b"\0old")
    dataset.save(result_renderer="disabled")
    content = Path(os.path.realpath(root / "out" / "x"))
    assert ".git/annex/objects" in str(content)
    write(alternative / "out" / "x").write_bytes(b"\0new")
    assert bring_back(root, alternative, claims("out/x"), root / ".git") == ["out/x"]
    assert not (root / "out" / "x").is_symlink()
    assert (root / "out" / "x").read_bytes() == b"\0new"
    assert content.read_bytes() == b"\0old"


def test_a_second_call_completes_an_interrupted_one(
    root: Path, alternative: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write(alternative / "out" / name)
    move = returning.move

    def interrupted(name: str, *places: Any) -> None:
        if name == "b":
            raise KeyboardInterrupt
        move(name, *places)

    monkeypatch.setattr(returning, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring_back(root, alternative, claims("out/"), scratch)
    assert files_below(root) == ["out/a"]
    monkeypatch.undo()
    assert bring_back(root, alternative, claims("out/"), scratch) == ["out/b", "out/c"]
    assert files_below(root) == ["out/a", "out/b", "out/c"]
    assert list(scratch.iterdir()) == []


def test_half_a_copy_never_shows(
    root: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _elsewhere(tmp_path):
        pytest.skip("/dev/shm is no other file system")
    alternative = Path(tempfile.mkdtemp(dir=SHARED_MEMORY))
    try:
        write(alternative / "out" / "x", "whole")
        write(root / "out" / "x", "before")

        def break_off(source: IO[bytes], target: IO[bytes], *_: object) -> None:
            target.write(b"ha")
            raise KeyboardInterrupt

        monkeypatch.setattr(shutil, "copyfileobj", break_off)
        with pytest.raises(KeyboardInterrupt):
            bring_back(root, alternative, claims("out/"), scratch)
        assert (root / "out" / "x").read_text() == "before"
        assert files_below(root) == ["out/x"]
        monkeypatch.undo()
        bring_back(root, alternative, claims("out/"), scratch)
        assert (root / "out" / "x").read_text() == "whole"
    finally:
        shutil.rmtree(alternative)


def test_the_scratch_folder_may_be_on_another_file_system(root: Path, tmp_path: Path) -> None:
    """As that of a worktree that does not lie beside its repository."""
    if not _elsewhere(tmp_path):
        pytest.skip("/dev/shm is no other file system")
    memory = Path(tempfile.mkdtemp(dir=SHARED_MEMORY))
    try:
        write(memory / "alt" / "out" / "x")
        (memory / "alt" / "out" / "link").symlink_to("x")
        (memory / "scratch").mkdir()
        bring_back(root, memory / "alt", claims("out/"), memory / "scratch")
        assert files_below(root) == ["out/link", "out/x"]
        assert (root / "out" / "link").is_symlink()
        assert files_below(memory) == []
    finally:
        shutil.rmtree(memory)


@pytest.mark.parametrize("way", ["out", "out/x"])
def test_something_in_the_way_is_named_and_the_output_kept(
    root: Path, alternative: Path, scratch: Path, way: str
) -> None:
    write(alternative / "out" / "x")
    if way == "out":
        write(root / "out")
    else:
        write(root / "out" / "x" / "y")
    with pytest.raises(HpcError, match=r"could not be moved to .* it was left where it is"):
        bring_back(root, alternative, claims("out/"), scratch)
    assert files_below(alternative) == ["out/x"]
