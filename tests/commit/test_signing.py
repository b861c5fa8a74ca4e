"""Commits are signed where the user has said that commits are signed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Layout
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    leftovers,
    one,
    record,
    status,
    work,
    write,
)

pytestmark = pytest.mark.skipif(
    not shutil.which("ssh-keygen"), reason="ssh-keygen (Debian: openssh-client) is not installed"
)

LAYOUTS = list(Layout)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key without a passphrase; beside it the file of signers that Git verifies with."""
    path = tmp_path_factory.mktemp("keys") / "id"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    process.check(argv, folder=path.parent)
    public = path.with_suffix(".pub").read_text()
    (path.parent / "signers").write_text(f"tester@example.com {public}")
    return path


def sign_with(top: Path, key: Path, *scope: str) -> None:
    """Configure what a user configures who signs."""
    for setting in ("commit.gpgSign=true", "gpg.format=ssh", f"user.signingKey={key}",
                    f"gpg.ssh.allowedSignersFile={key.parent / 'signers'}"):  # fmt: skip
        git(top, "config", *scope, *setting.split("=", 1))


def verdicts(top: Path, *revisions: str) -> str:
    """A letter for each commit, newest first: G for a good signature, N for none."""
    return git(top, "log", "--format=%G?", *revisions).replace("\n", "")


@pytest.mark.parametrize("kind", ["root", "plain"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_commit_is_signed(
    kind: str, layout: Layout, key: Path, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"out/1/old": "1", "other/deep/file": "2"})
    before = git(top, "rev-parse", "HEAD")
    sign_with(top, key)
    (top / "out/1/old").unlink()
    write(top, {"out/1/new": "3", "out/2": "4", "out/3/deep/er": "5"})
    works = [work(number, f"out/{number}{'/' * (number != 2)}") for number in (1, 2, 3)]
    recorded = record(top, *works, layout=layout)
    commits = [outcome.commit for outcome in recorded]
    assert [changed(top, commit) for commit in commits] == [
        ["out/1/new", "out/1/old"], ["out/2"], ["out/3/deep/er"]
    ]  # fmt: skip
    for name in commits:
        git(top, "verify-commit", name)
    assert verdicts(top, "HEAD", f"^{before}") == {
        Layout.LINEAR: "GGG", Layout.BRANCHES: "", Layout.OCTOPUS: "GGGG"
    }[layout]  # fmt: skip
    assert status(top) == ""
    if kind == "root":
        assert_sound(top)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trees_and_parents_are_those_of_unsigned_commits(
    layout: Layout, plain: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_DATE", "1234567890 +0530")
    commit(plain, {"out/folder/x": "1", "out/file": "2", "other/a": "3"})
    other = shutil.copytree(plain, tmp_path / "other", symlinks=True)
    sign_with(other, key)
    shown = []
    for top in (plain, other):
        shutil.rmtree(top / "out/folder")
        (top / "out/file").unlink()
        write(top, {"out/folder": "now a file", "out/file/x": "now a folder", 'b/ü\n"q" ': "4"})
        works = [work(1, "out/folder"), work(2, "out/file/"), work(3, "b/")]
        recorded = record(top, *works, layout=layout)
        refs = [outcome.commit for outcome in recorded]
        shown.append(git(top, "log", "--format=%T %an %ae %ad %cn %ce %cd%n%B", *refs, "HEAD"))
    assert shown[0] == shown[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_first_commits_of_a_repository(layout: Layout, plain: Path, key: Path) -> None:
    sign_with(plain, key)
    write(plain, {"out/1": "1", "out/2": "2"})
    recorded = record(plain, work(1, "out/1"), work(2, "out/2"), layout=layout)
    assert [changed(plain, outcome.commit) for outcome in recorded] == [["out/1"], ["out/2"]]
    refs = [outcome.commit for outcome in recorded]
    assert set(verdicts(plain, *refs)) == {"G"}
    if layout is not Layout.BRANCHES:
        assert git(plain, "ls-tree", "-r", "--name-only", "HEAD") == "out/1\nout/2"
        assert set(verdicts(plain)) == {"G"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_subdatasets_are_signed_by_their_own_settings(
    layout: Layout, nested: Path, key: Path
) -> None:
    for name in ("one", "one/deep"):
        sign_with(nested / name, key)
    write(nested, {"one/deep/out/1": "1", "two/out/1": "2", "out/1": "3"})
    record(nested, work(1, "one/deep/out/", "two/out/", "out/"), layout=layout)
    tip = "job-101" if layout is Layout.BRANCHES else "HEAD"
    found = {name: verdicts(nested / name, "-1", tip) for name in ("", "one", "one/deep", "two")}
    assert found == {"": "N", "one": "G", "one/deep": "G", "two": "N"}
    git(nested, "fsck", "--strict")


def test_message_stays_byte_by_byte(plain: Path, key: Path) -> None:
    sign_with(plain, key)
    git(plain, "config", "i18n.commitEncoding", "ISO-8859-1")
    message = "Größe → 1\n\n# not a comment\n  \ntrailing   \n\n\n^^^ end ^^^\n\n"
    write(plain, {"out": "x"})
    job = Work(1, "101", work(1, "out").claims, lambda _files: message)
    outcome = one(record(plain, job))
    raw = process.check(["git", "cat-file", "commit", outcome.commit], folder=plain).output
    header, _, body = raw.partition(b"\n\n")
    assert body == message.encode()
    assert b"\nencoding " not in header
    git(plain, "verify-commit", outcome.commit)


def test_identity_of_signed_commits_is_gits_own(
    plain: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with(plain, key)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ä <&> 'x' y")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "@100 +0530")
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    shown = git(plain, "log", "-1", "--format=%an|%ad|%cn|%ce", "--date=raw")
    assert shown == "Ä & 'x' y|100 +0530|Tester|tester@example.com"


@pytest.mark.parametrize("kind", ["root", "plain"])
def test_without_the_key_nothing_moves(
    kind: str, tmp_path: Path, key: Path, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"out/old": "1"})
    before = git(top, "rev-parse", "HEAD")
    sign_with(top, tmp_path / "no-such-key")
    (top / "out/old").unlink()
    write(top, {"out/new": "2", "mine": "3"})
    git(top, "add", "mine")
    planned: list[object] = []
    with pytest.raises(CommitFailed, match=r"could not be signed.*no-such-key.*finish"):
        record(top, work(1, "out/"), before_move=planned.append)
    assert (planned, leftovers(top)) == ([], [])
    assert git(top, "rev-parse", "HEAD") == before
    assert (top / "out/new").exists()
    sign_with(top, key)
    assert one(record(top, work(1, "out/"))).files == ("out/new", "out/old")
    assert verdicts(top, "-2") == "GN"
    assert status(top) == "A  mine\0"


def test_subdataset_without_its_key_stops_its_jobs_only(
    nested: Path, tmp_path: Path, key: Path
) -> None:
    sign_with(nested / "one", tmp_path / "no-such-key")
    write(nested, {"one/out": "1", "two/out": "2"})
    bad, good = record(nested, work(1, "one/out"), work(2, "two/out"))
    assert "could not be signed" in bad.problem
    assert good.commit
    sign_with(nested / "one", key)
    one(record(nested, work(1, "one/out")))
    assert verdicts(nested / "one", "-1") == "G"
    assert status(nested) == ""


@pytest.mark.parametrize(("value", "letter"), [("false", "N"), ("0", "N"), ("on", "G"), ("", "N")])
def test_the_setting_is_read_as_git_reads_it(
    value: str, letter: str, plain: Path, key: Path
) -> None:
    sign_with(plain, key)
    git(plain, "config", "commit.gpgSign", value)
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    assert verdicts(plain) == letter


def test_a_bare_setting_is_on(plain: Path, key: Path) -> None:
    sign_with(plain, key)
    git(plain, "config", "--unset", "commit.gpgSign")
    with (plain / ".git/config").open("a") as config:
        config.write("[commit]\n\tgpgSign\n")
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    assert verdicts(plain) == "G"


def test_one_worktree_alone_is_signed(root: Path, tmp_path: Path, key: Path) -> None:
    git(root, "config", "extensions.worktreeConfig", "true")
    tree = tmp_path / "tree"
    git(root, "worktree", "add", "-q", "-b", "side", str(tree))
    sign_with(tree, key, "--worktree")
    for top in (root, tree):
        write(top, {"out": "x"})
        record(top, work(1, "out"))
    assert (verdicts(tree, "-1"), git(root, "log", "-1", "--format=%GS%GK")) == ("G", "")


def test_two_hundred_jobs_leave_one_commit_too_many(plain: Path, key: Path) -> None:
    """Trees are written beforehand, without a commit for each."""
    commit(plain, {"old": "1"})
    sign_with(plain, key)
    jobs = range(1, 21)
    write(plain, {f"out/{number}": "x" for number in jobs})
    record(plain, *(work(number, f"out/{number}") for number in jobs), layout=Layout.OCTOPUS)
    assert len(history(plain)) == 22
    assert verdicts(plain, "HEAD", "^HEAD^1") == "G" * 21
    kinds = git(plain, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    assert kinds.split().count("commit") == 23
    git(plain, "fsck", "--strict")
