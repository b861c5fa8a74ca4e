"""What can go wrong, and the sentence that the user gets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.commit import recording
from datalad_hpc.commit.adding import add_to_git
from datalad_hpc.commit.annexing import AnnexAdder, Locking
from datalad_hpc.commit.recording import Recorder
from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    leftovers,
    mode,
    one,
    record,
    status,
    work,
    write,
)


@pytest.fixture
def only_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with Git, and without git-annex."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(folder))


def test_git_annex_is_missing(root: Path, only_git: None) -> None:
    write(root, {"out": "x"})
    with pytest.raises(CommitFailed, match=r"git-annex is not on PATH.* install it .*finish"):
        record(root, work(1, "out"))
    assert leftovers(root) == []
    assert history(root)[0] != "job 101"
    assert (root / "out").read_text() == "x"


def test_git_annex_is_not_needed_without_an_annex(plain: Path, only_git: None) -> None:
    write(plain, {"out": "x"})
    one(record(plain, work(1, "out")))


def test_git_does_not_know_who_commits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    git(root, "config", "user.useConfigOnly", "true")
    write(root, {"out": "x"})
    with pytest.raises(CommitFailed, match=r"who commits .*user\.name.*user\.email.*no output"):
        record(root, work(1, "out"))
    assert leftovers(root) == []
    assert git(root, "diff", "--cached", "--raw") == ""
    git(root, "config", "user.name", "Now")
    git(root, "config", "user.email", "known@example.com")
    one(record(root, work(1, "out")))
    assert_sound(root)


def _block_object(root: Path, path: str) -> Path:
    """Put a file where git-annex wants a folder for the object of a file to come."""
    key = git(root, "annex", "calckey", "--backend=MD5E", path)
    place = git(root, "annex", "examinekey", "--format=${hashdirmixed}${key}", key)
    block = root / ".git/annex/objects" / place
    block.parent.mkdir(parents=True, exist_ok=True)
    block.touch()
    return block


@pytest.mark.parametrize("name", ["file", os.fsdecode(b"l\xe4tin \n")])
def test_file_that_cannot_be_hashed_stops_its_job_only(root: Path, name: str) -> None:
    write(root, {f"bad/{name}": "blocked", "bad/other": "x", "good": "y"})
    block = _block_object(root, f"bad/{name}")
    first, second = record(root, work(1, "bad/"), work(2, "good"))
    assert first.problem.startswith(f"bad/{name}: ")
    assert first.commit == ""
    assert (second.files, changed(root)) == (("good",), ["good"])
    assert (root / f"bad/{name}").read_text() == "blocked"
    assert git(root, "diff", "--cached", "--raw") == ""
    block.unlink()
    assert len(one(record(root, work(1, "bad/"))).files) == 2
    assert_sound(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", ["root", "plain"])
def test_file_that_cannot_be_read(kind: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    write(top, {"bad": "x", "good": "y"})
    (top / "bad").chmod(0)
    first, second = record(top, work(1, "bad"), work(2, "good"))
    assert first.problem.startswith("bad: ")
    assert second.files == ("good",)


@pytest.mark.parametrize("kind", ["root", "plain"])
def test_file_that_goes_while_others_are_hashed(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    write(top, {"a": "1", "b\n": "2", "d": "4"})
    repository = Repository.find(top)
    files = ["a", "b\n", "c", "d"]
    index = tmp_path / "index"
    if repository.is_annex:
        failures = AnnexAdder(repository, Locking.AS_CONFIGURED, lambda: None).add([index], files)
    else:
        failures = add_to_git(repository, index, files)
    assert list(failures) == ["c"]
    environment = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}
    listed = process.run(["git", "ls-files", "-z"], folder=top, environment=environment)
    assert listed.output == b"a\0b\n\0d\0"


def test_links_in_a_circle_stop_their_job_only(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    write(root, {"good": "1"})
    first, second = record(root, work(1, "loop/out"), work(2, "good"))
    assert "loop/out cannot be read" in first.problem
    assert second.files == ("good",)


def test_place_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(CommitFailed, match="not a git repository"):
        record(tmp_path, work(1, "out"))


def test_damaged_repository(plain: Path) -> None:
    commit(plain, {"old/file": "1"})
    tree = git(plain, "rev-parse", "HEAD:old")
    (plain / ".git/objects" / tree[:2] / tree[2:]).unlink()
    write(plain, {"old/new": "x"})
    with pytest.raises(CommitFailed, match=f"no object {tree}; `git fsck` tells"):
        record(plain, work(1, "old/"))


def test_hook_that_refuses_the_move(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch did not move by itself: to try again would not help."""
    monkeypatch.setattr(recording, "_TRIES", 1)
    hook = root / ".git/hooks/reference-transaction"
    hook.write_text('#!/bin/sh\n! { grep -q refs/heads/main && [ "$1" = prepared ]; }\n')
    hook.chmod(0o755)
    write(root, {"out": "x"})
    with pytest.raises(CommitFailed, match="update-ref` failed"):
        record(root, work(1, "out"))
    assert mode(root, "out") == ""
    assert status(root) == "?? out\0"
    hook.unlink()
    assert leftovers(root) == []


def test_lock_of_our_own_that_was_left_is_removed(root: Path) -> None:
    write(root, {"out": "x"})
    lock = root / ".git/index.lock"
    lock.symlink_to("held-by-datalad-hpc")
    one(record(root, work(1, "out")))
    assert not lock.is_symlink()


def test_nothing_to_do(root: Path) -> None:
    before = git(root, "rev-parse", "HEAD")
    assert Recorder(root).record([], lambda _planned: None) == []
    Recorder(root).catch_up([])
    assert git(root, "rev-parse", "HEAD") == before
