"""What is checked out is read as Git itself would tell it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.commit import head
from datalad_hpc.commit.head import checked_out
from tests.commit.helpers import commit, git

Change = Callable[[Path], object]


def _ask(root: Path) -> tuple[str, str]:
    return head._asked(root)


CHANGES: dict[str, Change] = {
    "nothing": lambda _root: None,
    "a branch in a folder": lambda root: git(root, "checkout", "-q", "-b", "a/b/c"),
    "packed": lambda root: git(root, "pack-refs", "--all"),
    "packed and moved on": lambda root: (git(root, "pack-refs", "--all"), commit(root, {"b": "2"})),
    "detached": lambda root: git(root, "checkout", "-q", "--detach"),
    "detached at a tag": lambda root: (
        git(root, "tag", "-m", "tagged", "v1"),
        git(root, "checkout", "-q", "v1"),
    ),
    "unborn": lambda root: git(root, "checkout", "-q", "--orphan", "new"),
    "unborn beside one whose name ends alike": lambda root: (
        git(root, "branch", "other/new"),
        git(root, "pack-refs", "--all"),
        git(root, "checkout", "-q", "--orphan", "new"),
    ),
    "a branch that stands for another": lambda root: (
        git(root, "symbolic-ref", "refs/heads/alias", git(root, "symbolic-ref", "HEAD")),
        git(root, "symbolic-ref", "HEAD", "refs/heads/alias"),
    ),
    "non-ASCII": lambda root: git(root, "checkout", "-q", "-b", "größe"),
    "a link": lambda root: (
        git(root, "config", "core.preferSymlinkRefs", "true"),
        git(root, "symbolic-ref", "HEAD", git(root, "symbolic-ref", "HEAD")),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_what_git_says(plain: Path, name: str) -> None:
    commit(plain, {"a": "1"})
    CHANGES[name](plain)
    assert checked_out(plain) == _ask(plain)


@pytest.mark.parametrize("change", ["nothing", "packed", "detached", "unborn"])
def test_a_worktree_has_its_own(plain: Path, tmp_path: Path, change: str) -> None:
    commit(plain, {"a": "1"})
    root = tmp_path / "there"
    git(plain, "worktree", "add", "-q", "-b", "theirs", str(root))
    CHANGES[change](root)
    assert checked_out(root) == _ask(root)
    assert checked_out(plain) == _ask(plain)
    assert checked_out(root) != checked_out(plain)


def test_before_the_first_commit(plain: Path) -> None:
    assert checked_out(plain) == _ask(plain)
    assert checked_out(plain)[1] == ""


def test_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    commit(tmp_path, {"a": "1"})
    assert checked_out(tmp_path) == _ask(tmp_path)
    assert len(checked_out(tmp_path)[1]) == 64


def test_no_process_is_started_as_a_rule(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(plain, {"a": "1"})
    wanted = _ask(plain)
    monkeypatch.setattr(process, "run", lambda *_args, **_options: pytest.fail("a process"))
    assert checked_out(plain) == wanted


def test_refs_that_are_no_files_are_asked_for(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plain / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")
    monkeypatch.setattr(head, "_asked", lambda _root: ("refs/heads/main", "1" * 40))
    assert checked_out(plain) == ("refs/heads/main", "1" * 40)
