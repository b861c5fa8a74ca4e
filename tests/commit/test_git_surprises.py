"""What users configure of Git, or find their repositories in, and which must not surprise us."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.claims import claim_for
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Layout, Recorder
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    is_annex,
    nothing,
    one,
    record,
    status,
    work,
    write,
)

KINDS = ["root", "plain"]
MESSAGE = "Größe → 1\n\n# not a comment\n; nor this\n\n\n\ntwo  \n"


@pytest.fixture(params=KINDS)
def top(request: pytest.FixtureRequest) -> Path:
    """A repository with an annex, and one without, with a commit in it."""
    path: Path = request.getfixturevalue(request.param)
    commit(path, {"out/old": "1", "other/file": "2"})
    return path


def raw_commit(top: Path, commit: str = "HEAD") -> bytes:
    return process.check(["git", "cat-file", "commit", commit], folder=top).output


@pytest.mark.parametrize(
    "settings",
    [
        ["i18n.commitEncoding=ISO-8859-1"],
        ["commit.cleanup=strip", "core.commentChar=;"],
        ["commit.template=.git/template", "commit.verbose=true", "core.editor=false"],
    ],
)
def test_message_is_kept_as_it_is(settings: list[str], top: Path) -> None:
    (top / ".git/template").write_text("template\n")
    for setting in settings:
        git(top, "config", *setting.split("="))
    write(top, {"out/new": "3"})
    record(top, Work(1, "101", (claim_for("out/"),), lambda _files: MESSAGE))
    header, _, body = raw_commit(top).partition(b"\n\n")
    assert body == MESSAGE.encode()
    assert b"\nencoding " not in header
    assert git(top, "log", "-1", "--encoding=UTF-8", "--format=%s") == "Größe → 1"


def test_log_in_the_users_encoding(plain: Path) -> None:
    git(plain, "config", "i18n.commitEncoding", "ISO-8859-1")
    write(plain, {"out": "3"})
    record(plain, Work(1, "101", (claim_for("out"),), lambda _files: "Größe\n"))
    shown = process.check(["git", "log", "-1", "--format=%s"], folder=plain).output
    assert shown == "Größe\n".encode("latin-1")


@pytest.mark.parametrize(
    ("setting", "entries"), [("", 1), ("true", 1), ("false", 0), ("always", 1)]
)
def test_reflogs_are_written_as_git_would(setting: str, entries: int, plain: Path) -> None:
    """For the branch and for HEAD, and for nothing of ours that has gone."""
    if setting:
        git(plain, "config", "core.logAllRefUpdates", setting)
    write(plain, {"out": "3"})
    record(plain, work(1, "out"))
    for name in ("main", "HEAD"):
        assert git(plain, "reflog", "show", "--format=%gs", name) == (
            "datalad finish: 1 job(s)" * entries
        )
    logs = {path.name for path in (plain / ".git/logs").rglob("*") if path.is_file()}
    assert logs == ({"main", "HEAD"} if entries else set())


@pytest.mark.parametrize("layout", list(Layout))
def test_file_system_monitor(layout: Layout, top: Path, tmp_path: Path) -> None:
    """It is asked for nothing but to write the index, which keeps what it has told."""
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\nprintf 'token\\0/\\0'\n")
    monitor.chmod(0o755)
    for setting in (f"core.fsmonitor={monitor}", "core.fsmonitorHookVersion=2",
                    "core.untrackedCache=true"):  # fmt: skip
        git(top, "config", *setting.split("="))
    assert status(top) == ""
    assert extensions(top) >= {b"FSMN", b"UNTR"}
    (tmp_path / "asked").write_text("")
    write(top, {"out/new": "3", "out/newer": "4"})
    record(top, work(1, "out/new"), work(2, "out/newer"), layout=layout)
    if not is_annex(top):
        # git-annex has processes of its own that ask.
        assert (tmp_path / "asked").read_text().count("x") <= 1
    assert extensions(top) >= {b"FSMN", b"UNTR"}
    assert status(top) == ""
    (top / "other/file").unlink()
    write(top, {"other/file": "changed", "other/untracked": ""})
    assert {line[1] for line in status(top).split("\0")[:-1]} <= {"M", "T", "?"}
    assert status(top).count("\0") == 2


def extensions(top: Path) -> set[bytes]:
    """Names of those that the index has."""
    content = (top / ".git/index").read_bytes()
    return {name for name in (b"FSMN", b"UNTR", b"link") if name in content}


@pytest.mark.parametrize(
    ("shared", "umask", "expected"),
    [("umask", 0o077, 0o600), ("umask", 0o022, 0o644), ("group", 0o077, 0o660),
     ("all", 0o077, 0o664), ("0640", 0o022, 0o640)],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_mode_of_the_index(
    first: bool, shared: str, umask: int, expected: int, plain: Path
) -> None:
    """As Git itself leaves it."""
    git(plain, "config", "core.sharedRepository", shared)
    before = os.umask(umask)
    try:
        if not first:
            commit(plain, {"old": "1"})
            assert mode_of(plain / ".git/index") == expected
        write(plain, {"out": "x"})
        record(plain, work(1, "out"))
    finally:
        os.umask(before)
    assert mode_of(plain / ".git/index") == expected
    assert status(plain) == ""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to any group")
def test_index_in_a_repository_that_a_group_shares(plain: Path) -> None:
    for path in (plain, *plain.rglob("*")):
        os.chown(path, -1, 4321)
    git(plain, "init", "-q", "--shared=group")
    before = os.umask(0o022)
    try:
        write(plain, {"out": "x"})
        record(plain, work(1, "out"))
    finally:
        os.umask(before)
    assert ((plain / ".git/index").stat().st_gid, mode_of(plain / ".git/index")) == (4321, 0o664)


def test_repository_of_somebody_else(
    top: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(top, {"out/new": "3"})
    before = (home / ".gitconfig").read_text()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(CommitFailed, match=r"safe\.directory"):
        Recorder(top).record([work(1, "out/")], nothing)
    try:
        git(top, "config", "--global", "--add", "safe.directory", str(top))
        one(record(top, work(1, "out/")))
    finally:
        (home / ".gitconfig").write_text(before)


@pytest.mark.parametrize("kind", KINDS)
def test_clone_that_borrows_its_objects(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    origin: Path = request.getfixturevalue(kind)
    commit(origin, {"out/old": "1"})
    git(tmp_path, "clone", "-q", "--shared", str(origin), "clone")
    clone = tmp_path / "clone"
    write(clone, {"out/new": "2"})
    assert one(record(clone, work(1, "out/"))).files == ("out/new",)
    assert (changed(clone), status(clone)) == (["out/new"], "")
    git(clone, "fsck", "--strict", "--connectivity-only")


def test_shallow_clone(tmp_path: Path, plain: Path) -> None:
    for text in "12":
        commit(plain, {"out/old": text})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{plain}", "clone")
    write(tmp_path / "clone", {"out/new": "2"})
    record(tmp_path / "clone", work(1, "out/"))
    assert history(tmp_path / "clone") == ["job 101", "before"]
    assert status(tmp_path / "clone") == ""


def test_sparse_checkout_of_single_files(top: Path) -> None:
    git(top, "sparse-checkout", "set", "--no-cone", "/out/", "!/out/old")
    assert not os.path.lexists(top / "out/old")
    write(top, {"out/new": "3"})
    assert one(record(top, work(1, "out/"))).files == ("out/new",)
    assert status(top) == ""
    git(top, "sparse-checkout", "disable")
    assert sorted(path.name for path in (top / "out").iterdir()) == ["new", "old"]
    assert status(top) == ""


def test_settings_of_one_worktree(root: Path, tmp_path: Path) -> None:
    git(root, "config", "extensions.worktreeConfig", "true")
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", "-b", "side", str(tree))
    git(tree, "config", "--worktree", "user.name", "Somebody Else")
    git(tree, "config", "--worktree", "index.version", "4")
    for place in (tree, root):
        write(place, {"out": "x"})
        record(place, work(1, "out"))
        assert_sound(place)
    shown = [git(place, "log", "-1", "--format=%an %cn") for place in (tree, root)]
    assert shown == ["Somebody Else Somebody Else", "Tester Tester"]


def test_author_who_is_not_the_committer(plain: Path) -> None:
    git(plain, "config", "author.name", "Author")
    git(plain, "config", "committer.email", "committer@example.com")
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    shown = git(plain, "log", "-1", "--format=%an <%ae> %cn <%ce>")
    assert shown == "Author <tester@example.com> Tester <committer@example.com>"


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.OCTOPUS])
def test_detached_head_of_a_worktree(layout: Layout, root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", "--detach", str(tree))
    main = git(root, "rev-parse", "main")
    write(tree, {"out/1": "x", "out/2": "y"})
    recorded = record(tree, work(1, "out/1"), work(2, "out/2"), layout=layout)
    assert git(root, "rev-parse", "main", "HEAD").split() == [main, main]
    for outcome in recorded:
        git(tree, "merge-base", "--is-ancestor", outcome.commit, "HEAD")
    assert_sound(tree)
    assert_sound(root)


def test_split_index_stays_split(top: Path) -> None:
    git(top, "config", "core.splitIndex", "true")
    git(top, "config", "splitIndex.maxPercentChange", "100")
    git(top, "update-index", "--split-index")
    for key in range(1, 6):
        write(top, {f"out/{key}": f"{key}"})
        record(top, work(key, "out/"))
        assert extensions(top) == {b"link"}
        assert status(top) == ""
    git(top, "fsck")
    shutil.rmtree(top / "out")
    git(top, "checkout", "-q", "--", "out")
    assert len(list((top / "out").iterdir())) == 6
