"""Hooks of the user's that ``git commit`` would run, and which we do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalad_hpc.commit.hooks import hooks_passed_over
from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import git, history, leftovers, record, status, work, write

HOOK = "#!/bin/sh\necho user\n"


def install(folder: Path, name: str, text: str = HOOK, mode: int = 0o755) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


def passed_over(top: Path) -> tuple[str, ...]:
    return hooks_passed_over(Repository.find(top))


def test_what_git_and_git_annex_install_does_not_count(root: Path) -> None:
    assert (root / ".git/hooks/pre-commit").exists()
    assert passed_over(root) == ()


@pytest.mark.parametrize("name", ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"])
def test_each_hook_of_a_commit(name: str, plain: Path) -> None:
    install(plain / ".git/hooks", name)
    assert passed_over(plain) == (name,)
    (plain / ".git/hooks" / name).chmod(0o644)
    assert passed_over(plain) == ()


def test_hooks_that_a_commit_does_not_run(plain: Path) -> None:
    for name in ("pre-push", "post-checkout", "pre-commit.sample", "post-merge"):
        install(plain / ".git/hooks", name)
    assert passed_over(plain) == ()


@pytest.mark.parametrize("line", ["make lint", "make lint && git annex pre-commit ."])
def test_user_who_has_added_to_the_hook_of_git_annex(root: Path, line: str) -> None:
    path = root / ".git/hooks/pre-commit"
    path.write_text(f"{path.read_text()}{line}\n")
    assert passed_over(root) == ("pre-commit",)


def test_hook_that_git_annex_would_run(root: Path) -> None:
    install(root / ".git/hooks", "pre-commit-annex", "#!/bin/sh\ngit annex metadata x\n")
    assert passed_over(root) == ("pre-commit-annex",)


@pytest.mark.parametrize("place", ["~/hooks", "relative/hooks", "{tmp}/absolute"])
def test_folder_that_the_user_has_configured(
    place: str, plain: Path, home: Path, tmp_path: Path
) -> None:
    place = place.format(tmp=tmp_path)
    git(plain, "config", "core.hooksPath", place)
    install(plain / ".git/hooks", "commit-msg")
    assert passed_over(plain) == ()
    install(plain / place.replace("~", str(home)), "pre-commit")
    assert passed_over(plain) == ("pre-commit",)
    (plain / place.replace("~", str(home)) / "pre-commit").unlink()


def test_no_folder_at_all(plain: Path) -> None:
    install(plain / ".git/hooks", "pre-commit")
    git(plain, "config", "core.hooksPath", "/dev/null")
    assert passed_over(plain) == ()


def test_worktrees_share_their_hooks(root: Path, tmp_path: Path) -> None:
    install(root / ".git/hooks", "commit-msg")
    git(root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    assert passed_over(tmp_path / "tree") == ("commit-msg",)


def test_program_in_the_place_of_a_script(plain: Path) -> None:
    (plain / ".git/hooks/commit-msg").symlink_to("/bin/true")
    assert passed_over(plain) == ("commit-msg",)


def test_hooks_are_not_run(root: Path, tmp_path: Path) -> None:
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"):
        install(root / ".git/hooks", name, f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    write(root, {"out": "x"})
    record(root, work(1, "out"))
    assert history(root)[0] == "job 101"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("when", ["prepared", "committed"])
def test_hook_of_references_runs_by_itself(when: str, root: Path, tmp_path: Path) -> None:
    """Git runs it whenever a branch moves, and it may refuse that."""
    before = git(root, "rev-parse", "HEAD")
    text = (
        f'#!/bin/sh\ngrep -q refs/heads/main || exit 0\necho "$1" >> {tmp_path}/seen\n'
        f'test "$1" != prepared || test {when} != prepared\n'
    )
    write(root, {"out": "x"})
    install(root / ".git/hooks", "reference-transaction", text)
    if when == "prepared":
        with pytest.raises(CommitFailed, match="hook"):
            record(root, work(1, "out"))
        assert (git(root, "rev-parse", "HEAD"), leftovers(root)) == (before, [])
        (root / ".git/hooks/reference-transaction").unlink()
    record(root, work(1, "out"))
    assert "prepared" in (tmp_path / "seen").read_text()
    assert git(root, "rev-parse", "HEAD~") == before
    assert status(root) == ""
