"""What is checked out, read from the files that Git keeps for this; see gitrepository-layout(5).

A Git process would tell the same. But it looks for its repository and reads all
of its settings first, which on a parallel file system takes ten times as long.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from datalad_hpc import process

DETACHED = "HEAD"
"""Stands for the branch where none is checked out."""

ADJUSTED = "refs/heads/adjusted/"
"""Beginning of the branches that only git-annex can write; see git-annex-adjust(1)."""

_SYMBOLIC = "ref: "
_COMMIT = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
_NO_FILES = "refs/heads/.invalid"
"""Where HEAD seems to point to if refs are kept in another way than as files (reftable)."""


def own_git_dir(root: Path) -> Path:
    """The Git folder of a work tree alone: ``.git`` may be a file that names it."""
    # git-annex makes a link of the file that Git puts into a worktree.
    git_dir = Path(os.path.realpath(root / ".git"))
    if git_dir.is_file():
        target = os.fsdecode(git_dir.read_bytes()).removeprefix("gitdir: ").rstrip("\n")
        git_dir = Path(os.path.realpath(root / target))
    return git_dir


def common_git_dir(root: Path) -> Path:
    """The Git folder that a work tree shares with the dataset's other worktrees."""
    return common_dir_of(own_git_dir(root))


def common_dir_of(git_dir: Path) -> Path:
    """The Git folder that a worktree's own one names in ``commondir``."""
    try:
        target = (git_dir / "commondir").read_bytes()
    except FileNotFoundError:
        return git_dir
    return Path(os.path.realpath(git_dir / os.fsdecode(target).rstrip("\n")))


def checked_out(root: Path) -> tuple[str, str]:
    """The branch in full (or ``HEAD``) and its commit, empty on an unborn branch.

    Parameters
    ----------
    root:
      Top of a work tree.
    """
    git_dir = own_git_dir(root)
    found = _read(git_dir)
    return _asked(root) if found is None else found


def _read(git_dir: Path) -> tuple[str, str] | None:
    if (git_dir / "HEAD").is_symlink():
        # As Git did long ago, and still can (core.preferSymlinkRefs).
        return None
    head = os.fsdecode((git_dir / "HEAD").read_bytes()).rstrip("\n")
    if _COMMIT.fullmatch(head):
        return DETACHED, head
    ref = head.removeprefix(_SYMBOLIC)
    if ref in (head, _NO_FILES) or not ref.startswith("refs/heads/"):
        return None
    tip = _tip(common_dir_of(git_dir), ref)
    return None if tip is None else (ref, tip)


def _tip(common_dir: Path, ref: str) -> str | None:
    """The commit of a branch, nothing where it is unborn; ``None`` if it is no plain ref."""
    try:
        tip = (common_dir / ref).read_text().strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # A ref that is packed meanwhile is packed before its file goes.
        return _packed(common_dir, ref)
    return tip if _COMMIT.fullmatch(tip) else None


def _packed(common_dir: Path, ref: str) -> str:
    try:
        lines = (common_dir / "packed-refs").read_bytes().splitlines()
    except FileNotFoundError:
        return ""
    ending = b" " + os.fsencode(ref)
    return next((line.split()[0].decode() for line in lines if line.endswith(ending)), "")


def _asked(root: Path) -> tuple[str, str]:
    """What Git itself says, where its files cannot be read like that."""
    branch = _git(root, "symbolic-ref", "-q", "HEAD").removesuffix("\n") or DETACHED
    return branch, _git(root, "rev-parse", "-q", "--verify", "HEAD^{commit}").strip()


def _git(root: Path, *arguments: str) -> str:
    return os.fsdecode(ask_git(root, *arguments))


def ask_git(root: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What a Git command prints, whatever its exit code, where there is no need for more."""
    # Where we are called from a hook, variables point Git elsewhere.
    environment = {k: value for k, value in os.environ.items() if not k.startswith("GIT_")}
    return process.run(
        ["git", *arguments], folder=root, stdin=stdin, environment=environment
    ).output
