"""Repositories of every kind, and indexes of every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.claims import claim_for
from datalad_hpc.commit.preparing import make_writable
from datalad_hpc.commit.recording import Recorder
from datalad_hpc.commit.repository import Repository
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    mode,
    one,
    record,
    status,
    work,
    write,
)

FORMATS = {
    "split": ["core.splitIndex=true"],
    "many files": ["feature.manyFiles=true"],
    "version 4": ["index.version=4"],
    "untracked cache": ["core.untrackedCache=true"],
    "all": ["core.splitIndex=true", "feature.manyFiles=true", "index.version=4"],
}


def test_first_commit_of_a_repository(plain: Path) -> None:
    write(plain, {"out/a": "1", "log": "2", "other": "3"})
    record(plain, work(1, "out/"), work(2, "log"))
    assert history(plain) == ["job 102", "job 101"]
    assert (changed(plain), changed(plain, "HEAD~")) == (["log"], ["out/a"])
    assert mode(plain, "log") == "100644"
    assert status(plain) == "?? other\0"


def test_first_commit_of_an_annex(plain: Path) -> None:
    git(plain, "annex", "init", "--quiet")
    write(plain, {"out/a": "1"})
    write(plain, {"staged": "1"})
    git(plain, "annex", "add", "--quiet", "staged")
    record(plain, work(1, "out/"))
    assert changed(plain) == ["out/a"]
    assert mode(plain, "out/a") == "120000"
    assert status(plain) == "A  staged\0"


def test_other_hashes_than_sha1(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    for text in ("1", "2"):
        write(tmp_path, {"out/a": text, "out/b": "same"})
        (tmp_path / "out/link").unlink(missing_ok=True)
        (tmp_path / "out/link").symlink_to("a")
        record(tmp_path, work(1, "out/"))
    assert changed(tmp_path) == ["out/a"]
    assert status(tmp_path) == ""


def test_detached_head(root: Path) -> None:
    git(root, "checkout", "-q", "--detach")
    main = git(root, "rev-parse", "main")
    write(root, {"out": "x"})
    planned: list[object] = []
    outcome = one(record(root, work(1, "out"), before_move=planned.append))
    assert planned == [{1: (outcome.commit, "HEAD")}]
    assert git(root, "rev-parse", "HEAD", "HEAD~").split() == [outcome.commit, main]
    assert git(root, "rev-parse", "main") == main
    assert_sound(root)


def test_branch_with_slashes_and_beyond_ascii(root: Path) -> None:
    git(root, "checkout", "-q", "-b", "wip/größe")
    write(root, {"out": "x"})
    record(root, work(1, "out"))
    assert history(root, "wip/größe")[0] == "job 101"
    assert_sound(root)


def test_worktree_gets_the_commit_and_its_index(root: Path, tmp_path: Path) -> None:
    commit(root, {"out/old": "1", "other": "2"})
    main = git(root, "rev-parse", "main")
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", "-b", "side", str(tree))
    make_writable(tree, [claim_for("out/")])
    assert (tree / "out/old").read_text() == "1"
    write(tree, {"out/old": "changed", "out/new": "x"})
    record(tree, work(1, "out/"))
    assert changed(tree, "side") == ["out/new", "out/old"]
    assert mode(tree, "out/old") == "120000"
    assert git(root, "rev-parse", "main") == main
    assert_sound(tree)
    assert_sound(root)


def test_worktree_of_a_plain_repository(plain: Path, tmp_path: Path) -> None:
    commit(plain, {"file": "1"})
    tree = tmp_path / "new\nline"
    git(plain, "worktree", "add", "-q", "-b", "side", str(tree))
    write(tree, {"out": "x"})
    record(tree, work(1, "out"))
    assert history(plain, "side") == ["job 101", "before"]
    assert status(tree) == status(plain) == ""
    assert Repository.find(tree).common_dir == plain / ".git"


@pytest.mark.parametrize(
    ("kind", "format_name"), [*(("plain", name) for name in FORMATS), ("root", "all")]
)
def test_index_formats(kind: str, format_name: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    for setting in FORMATS[format_name]:
        git(top, "config", *setting.split("="))
    commit(top, {f"before/{number}": f"{number}" for number in range(30)})
    for key in (1, 2):
        (top / "before" / f"{key}").unlink()
        (top / "out/same").unlink(missing_ok=True)
        write(top, {f"staged-{key}": "x", f"out/{key}": "x", "out/same": f"{key}"})
        git(top, "add", f"staged-{key}")
        record(top, work(key, "out/", f"before/{key}"))
        assert changed(top) == [f"before/{key}", f"out/{key}", "out/same"]
    assert status(top) == "A  staged-1\0A  staged-2\0"
    git(top, "commit", "-q", "-m", "staged")
    assert git(top, "ls-files", "before").count("\n") + 1 == 28
    assert status(top) == ""


@pytest.mark.parametrize("sparse_index", ["--sparse-index", "--no-sparse-index"])
def test_what_is_not_checked_out_is_not_deleted(plain: Path, sparse_index: str) -> None:
    commit(plain, {"out/here/a": "1", "out/away/b": "2", "other/c": "3"})
    git(plain, "sparse-checkout", "set", "--cone", sparse_index, "out/here")
    assert not (plain / "out/away").exists()
    write(plain, {"out/here/a": "new", "out/here/d": "4"})
    assert one(record(plain, work(1, "out/"))).files == ("out/here/a", "out/here/d")
    assert status(plain) == ""
    assert mode(plain, "out/away/b") == "100644"


def test_place_with_a_hostile_name(tmp_path: Path) -> None:
    top = tmp_path / "new\nline 'and' \"more\" \\ ü"
    top.mkdir()
    git(top, "init", "-q")
    write(top, {"out": "x"})
    record(top, work(1, "out"))
    assert Repository.find(top).git_dir == top / ".git"
    assert status(top) == ""


def test_called_from_a_hook(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git tells its hooks where it is at work by variables that would lead us astray."""
    write(plain, {"out": "x"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no/where"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    Recorder(plain).record([work(1, "out")], lambda _planned: None)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert status(plain) == ""


def test_language_and_configuration_of_the_user(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    for setting in ("core.quotePath=true", "diff.noprefix=true", "status.short=true",
                    "diff.renames=copies", "core.abbrev=5",
                    "user.useConfigOnly=true", "color.ui=always"):  # fmt: skip
        git(root, "config", *setting.split("="))
    write(root, {"out/ümläut\n": "x"})
    assert one(record(root, work(1, "out/"))).files == ("out/ümläut\n",)
    assert process.run(["git", "diff", "--quiet", "HEAD"], folder=root).code == 0


def test_identity_is_gits_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ä <&> 'x' y")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1234567890 +0530")
    write(root, {"out": "x"})
    record(root, work(1, "out"))
    shown = git(root, "log", "-1", "--format=%an|%cn|%cd", "--date=raw")
    assert shown == "Ä & 'x' y|Tester|1234567890 +0530"
