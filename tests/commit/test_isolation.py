"""A job's commit holds its own outputs; all else stays as the user has it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from datalad_hpc.commit.recording import Recorder
from tests.commit.helpers import changed, commit, git, history, record, status, work, write

BEFORE = {"staged": "1", "modified": "1", "both": "1", "deleted": "1", "removed": "1", "kept": "1"}


def _mess(top: Path) -> str:
    """Leave everything about that a user can leave about; returns what Git says of it."""
    commit(top, BEFORE)
    for name in BEFORE:
        (top / name).unlink() if name != "kept" else None
    write(top, {"staged": "2", "modified": "2", "both": "2", "new": "2", "untracked": "2"})
    write(top, {"out/untracked-of-the-user/../../lying/about": "2"})
    git(top, "-c", "annex.largefiles=nothing", "add", "staged", "both", "new")
    git(top, "add", "--intent-to-add", "untracked")
    git(top, "rm", "-q", "--cached", "removed")
    write(top, {"both": "3"})
    return status(top)


@pytest.mark.parametrize("kind", ["root", "plain"])
@pytest.mark.parametrize("problem", [False, True])
def test_what_the_user_left_stays(kind: str, problem: bool, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    (top / "out/untracked-of-the-user").mkdir(parents=True)
    mess = _mess(top)
    write(top, {"out/result": "x"})
    works = [work(1, "out/")]
    if problem:
        # With a bad job in the batch the copy of the index cannot be taken as a whole.
        git(top, "init", "-q", "stranger/inner")
        write(top, {"stranger/inner/file": "1", "stranger/file": "1"})
        works.append(work(2, "stranger/"))
    record(top, *works)
    assert changed(top) == ["out/result"]
    after = status(top).replace("?? stranger/file\0", "").replace("?? stranger/inner/\0", "")
    assert sorted(after.split("\0")) == sorted(mess.split("\0"))


def test_each_job_has_its_own_commit_and_files(root: Path) -> None:
    jobs = [work(key, f"out/{key}/", f"log-{key}") for key in range(1, 6)]
    for key in range(1, 6):
        write(root, {f"out/{key}/a": f"{key}", f"out/{key}/b": f"b{key}", f"log-{key}": "log"})
    recorded = record(root, *jobs)
    assert history(root)[:5] == ["job 105", "job 104", "job 103", "job 102", "job 101"]
    for key, outcome in enumerate(recorded, start=1):
        assert changed(root, outcome.commit) == [f"log-{key}", f"out/{key}/a", f"out/{key}/b"]
        assert outcome.files == (f"log-{key}", f"out/{key}/a", f"out/{key}/b")
    assert status(root) == ""


def test_output_that_the_user_staged_is_committed_as_it_is_now(root: Path) -> None:
    write(root, {"out": "half"})
    git(root, "annex", "add", "--quiet", "out")
    (root / "out").unlink()
    write(root, {"out": "whole"})
    record(root, work(1, "out"))
    assert (root / "out").read_text() == "whole"
    assert changed(root) == ["out"]
    assert status(root) == ""


def test_modification_of_the_same_moment_and_size_is_still_seen(plain: Path) -> None:
    """Git takes the index's own time to tell which files it cannot trust."""
    git(plain, "config", "core.trustctime", "false")
    commit(plain, {"racy": "old"})
    index = plain / ".git/index"
    moment = index.stat().st_mtime_ns - 10 * 10**9
    os.utime(plain / "racy", ns=(moment, moment))
    git(plain, "update-index", "--refresh")
    os.utime(index, ns=(moment, moment))
    (plain / "racy").write_text("new")
    os.utime(plain / "racy", ns=(moment, moment))
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    assert status(plain) == " M racy\0"


@pytest.mark.parametrize("can_link", [True, False])
def test_the_users_index_stays_until_the_branch_moves(
    text_root: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool
) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    if not can_link:
        monkeypatch.setattr(os, "link", refuse)
    index = text_root / ".git" / "index"
    before = index.read_bytes()
    write(text_root, {"out/a.txt": "a", "out/b.dat": b"\0b", "out/deep/c.txt": "c"})
    seen: list[bytes] = []
    recorder = Recorder(text_root)
    recorder.record([work(1, "out/")], lambda _planned: seen.append(index.read_bytes()))
    assert seen == [before]
    assert index.read_bytes() != before
    assert index.stat().st_nlink == 1
    assert status(text_root) == ""
