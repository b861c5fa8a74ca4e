"""The user goes on working while outputs are being committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datalad_hpc.commit import index, recording
from datalad_hpc.commit.recording import Layout, Recorder
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import (
    Planned,
    changed,
    commit,
    content,
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


def _once(action: Callable[[], object]) -> Callable[[Planned], None]:
    """Do something between the first plan and the move of the branch."""
    calls: list[Planned] = []

    def before_move(planned: Planned) -> None:
        calls.append(planned)
        if len(calls) == 1:
            action()

    return before_move


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.OCTOPUS])
@pytest.mark.parametrize("kind", ["root", "plain"])
def test_commit_of_the_user_in_between(
    kind: str, layout: Layout, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"out/old": "1"})
    (top / "out/old").unlink()
    write(top, {"out/a": "1", "log": "2"})
    planned: list[Planned] = []

    def user() -> None:
        commit(top, {"mine": "x"}, "of the user")

    once = _once(user)
    jobs = record(
        top,
        work(1, "out/"),
        work(2, "log"),
        layout=layout,
        before_move=lambda plan: (planned.append(plan), once(plan))[1],
    )
    assert history(top).count("of the user") == 1
    assert mode(top, "mine") != ""
    assert [changed(top, job.commit) for job in jobs] == [["out/a", "out/old"], ["log"]]
    assert [plan[1][0] == jobs[0].commit for plan in planned] == [False, True]
    assert status(top) == ""


def test_commit_of_the_user_that_takes_the_output(root: Path) -> None:
    write(root, {"out": "x"})
    one(record(root, work(1, "out"), before_move=_once(lambda: _commit_all(root))))
    assert history(root)[:2] == ["job 101", "all"]
    assert status(root) == ""


def _commit_all(top: Path) -> None:
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "all")


def test_first_commit_of_the_user_in_between(plain: Path) -> None:
    write(plain, {"out": "x"})
    record(plain, work(1, "out"), before_move=_once(lambda: commit(plain, {"mine": "x"}, "first")))
    assert history(plain) == ["job 101", "first"]
    assert status(plain) == ""


def test_amended_tip_in_between(root: Path) -> None:
    commit(root, {"mine": "x"})
    write(root, {"out": "x"})
    amend = ("commit", "-q", "--amend", "--allow-empty", "-m", "amended")
    record(root, work(1, "out"), before_move=_once(lambda: git(root, *amend)))
    assert history(root)[:2] == ["job 101", "amended"]
    assert status(root) == ""


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.BRANCHES])
def test_staging_in_between(root: Path, layout: Layout) -> None:
    write(root, {"out": "x", "mine": "y"})
    record(root, work(1, "out"), layout=layout, before_move=_once(lambda: git(root, "add", "mine")))
    assert status(root) == "A  mine\0"
    assert changed(root, "HEAD" if layout is Layout.LINEAR else "job-101") == ["out"]


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.BRANCHES])
def test_index_is_waited_for(root: Path, layout: Layout) -> None:
    commit(root, {"out": "old"})
    (root / "out").unlink()
    write(root, {"out": "x"})
    lock = root / ".git/index.lock"

    def hold() -> None:
        lock.touch()
        threading.Timer(0.3, lock.unlink).start()

    one(record(root, work(1, "out"), layout=layout, before_move=_once(hold)))
    assert status(root) == ""
    assert (root / "out").read_text() == ("x" if layout is Layout.LINEAR else "old")


def test_index_that_stays_locked_stops_everything_before_the_move(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "LOCK_PATIENCE", 0.1)
    before = git(root, "rev-parse", "HEAD")
    write(root, {"out": "x"})
    lock = root / ".git/index.lock"
    lock.touch()
    with pytest.raises(CommitFailed, match=r"index\.lock exists: a Git command .* finish` again$"):
        record(root, work(1, "out"))
    assert leftovers(root) == [str(lock)]
    assert git(root, "rev-parse", "HEAD") == before
    lock.unlink()
    one(record(root, work(1, "out")))
    assert status(root) == ""


def test_other_branch_checked_out_in_between(root: Path) -> None:
    commit(root, {"out/old": "1"})
    git(root, "branch", "other")
    before = git(root, "rev-parse", "main")
    write(root, {"out/new": "x"})
    with pytest.raises(CommitFailed, match="Another branch was checked out"):
        record(root, work(1, "out/"), before_move=lambda _p: git(root, "switch", "-q", "other"))
    assert leftovers(root) == []
    assert git(root, "rev-parse", "main", "other").split() == [before, before]
    assert status(root) == "?? out/new\0"
    git(root, "switch", "-q", "main")
    one(record(root, work(1, "out/")))
    assert changed(root, "main") == ["out/new"]
    assert status(root) == ""


def test_branch_made_from_a_detached_head_in_between(root: Path) -> None:
    git(root, "checkout", "-q", "--detach")
    write(root, {"out": "x"})
    with pytest.raises(CommitFailed, match="Another branch was checked out"):
        record(root, work(1, "out"), before_move=lambda _p: git(root, "switch", "-q", "-c", "new"))
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/new"


def test_branch_of_the_jobs_name_made_in_between(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_TRIES", 3)
    write(root, {"out": "x"})
    with pytest.raises(CommitFailed, match="nothing was lost"):
        record(
            root,
            work(1, "out"),
            layout=Layout.BRANCHES,
            before_move=_once(lambda: git(root, "branch", "job-101")),
        )
    assert git(root, "rev-parse", "job-101") == git(root, "rev-parse", "HEAD")
    assert (root / "out").exists()
    assert leftovers(root) == []


def test_branch_that_never_rests(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_TRIES", 3)
    commit(plain, {"mine": "x"})
    write(plain, {"out": "x"})
    user = ("commit", "-q", "--allow-empty", "-m", "again")
    with pytest.raises(CommitFailed, match="moved by others again and again"):
        record(plain, work(1, "out"), before_move=lambda _planned: git(plain, *user))
    assert history(plain) == ["again"] * 3 + ["before"]
    assert leftovers(plain) == []


def test_nobody_can_commit_between_the_move_and_the_index(root: Path) -> None:
    """A commit from an index without the outputs would take them out of the branch again."""
    hook = root / ".git/hooks/reference-transaction"
    hook.write_text(
        '#!/bin/sh\ngrep -q refs/heads/main && [ "$1" = committed ] || exit 0\n'
        "unset GIT_DIR; git commit -q --allow-empty -m intruder 2>> .git/said || true\n"
    )
    hook.chmod(0o755)
    write(root, {"out": "x"})
    record(root, work(1, "out"))
    hook.unlink()
    assert "index.lock" in (root / ".git/said").read_text()
    assert history(root)[0] == "job 101"
    assert status(root) == ""


def test_commit_in_a_subdataset_in_between(nested: Path) -> None:
    """The branch of a subdataset moves before the dataset's own; its user may go on as well."""
    write(nested, {"one/out": "x"})
    user = _once(lambda: commit(nested / "one", {"mine": "x"}, "of the user"))
    record(nested, work(1, "one/out"), before_move=user)
    assert history(nested / "one")[:2] == ["of the user", "job 101"]
    assert status(nested) == " M one\0"
    assert content(nested / "one", "out", "HEAD~") == content(nested / "one", "out")


def test_two_at_once_in_two_worktrees(root: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    write(root, {"out": "1"})
    write(tmp_path / "tree", {"out": "2"})

    def other(_planned: Planned) -> None:
        record(tmp_path / "tree", work(2, "out"))

    Recorder(root).record([work(1, "out")], other)
    assert (history(root, "main")[0], history(root, "side")[0]) == ("job 101", "job 102")
    assert status(root) == status(tmp_path / "tree") == ""
    assert leftovers(root) == leftovers(tmp_path / "tree") == []
