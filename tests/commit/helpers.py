"""Asking Git what became of outputs, and recording them in one line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from datalad_hpc import process
from datalad_hpc.claims import claim_for
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Layout, Recorded, Recorder

Planned = Mapping[int, tuple[str, str]]


def git(path: Path, *arguments: str) -> str:
    """What a Git command says; the test fails with the command."""
    return process.check(["git", *arguments], folder=path).text.removesuffix("\n")


def status(path: Path) -> str:
    """All that Git has to say of a work tree; empty if it is clean."""
    return git(path, "status", "--porcelain", "-z", "--untracked-files=all")


def assert_sound(path: Path) -> None:
    """Nothing to report, neither by Git nor by git-annex."""
    assert status(path) == ""
    fsck = process.run(["git", "annex", "fsck", "--quiet"], folder=path)
    assert (fsck.code, fsck.output) == (0, b""), fsck


def work(key: int, *outputs: str, label: str = "") -> Work:
    """A job with outputs as a user would spell them, already normalised."""
    label = label or str(100 + key)
    claims = tuple(claim_for(path) for path in outputs)
    return Work(key, label, claims, message=lambda _files: f"job {label}\n\nwith a body\n")


def nothing(_planned: Planned) -> None:
    """Done before the branch is moved."""


def record(
    root: Path,
    *works: Work,
    layout: Layout = Layout.LINEAR,
    before_move: Callable[[Planned], None] = nothing,
) -> list[Recorded]:
    """Record works, which has to leave nothing behind."""
    recorded = Recorder(root, layout).record(works, before_move)
    assert leftovers(root) == []
    return recorded


def one(recorded: list[Recorded]) -> Recorded:
    """The only outcome, which has to be a commit."""
    (outcome,) = recorded
    assert outcome.problem == ""
    return outcome


def write(top: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files as a job would: in place, folders being made."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.is_symlink(), "a test must not write through a link into an object"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(top: Path, files: Mapping[str, str | bytes], message: str = "before") -> None:
    """Write files and commit them, annexed by the dataset's rules."""
    write(top, files)
    save(top, *files, message=message)


def save(top: Path, *paths: str, message: str = "before") -> None:
    """Commit paths, annexed by the dataset's rules."""
    add = ["-c", "annex.dotfiles=true", "annex", "add"] if is_annex(top) else ["add"]
    git(top, *add, "--", *paths)
    git(top, "commit", "-q", "-m", message)


def is_annex(top: Path) -> bool:
    """Whether git-annex is initialised."""
    return (top / ".git" / "annex").exists()


def changed(top: Path, commit: str = "HEAD") -> list[str]:
    """Paths that a commit changes against its first parent."""
    names = git(top, "log", "-1", "--first-parent", "-m", "--format=", "--name-only", "-z",
                "--no-renames", commit)  # fmt: skip
    return names.split("\0")[:-1]


def mode(top: Path, path: str, revision: str = "HEAD") -> str:
    """Mode of a file in a commit; empty where there is none."""
    return git(top, "--literal-pathspecs", "ls-tree", "-z", revision, "--", path)[:6]


def content(top: Path, path: str, revision: str = "HEAD") -> str:
    """What Git itself holds of a file."""
    return git(top, "cat-file", "blob", f"{revision}:{path}")


def history(top: Path, revision: str = "HEAD") -> list[str]:
    """Subjects of commits, newest first."""
    return git(top, "log", "--format=%s", revision).split("\n")


def objects(top: Path) -> dict[str, str]:
    """Checksum of each annexed object of a repository."""
    folder = top / ".git" / "annex" / "objects"
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def leftovers(root: Path) -> list[str]:
    """Everything of ours in the Git folders below a root that should have gone."""
    found: list[str] = []
    for folder, names, files in os.walk(root):
        if ".git" in (*names, *files):
            found += _leftovers_in(Path(folder))
        names[:] = [name for name in names if name != ".git"]
    return found


def _leftovers_in(top: Path) -> list[str]:
    asked = process.run(["git", "rev-parse", "--absolute-git-dir"], folder=top)
    if asked.code:
        return []
    git_dir = Path(asked.text.strip())
    files = [*(git_dir / "datalad" / "hpc").glob("*"), *git_dir.glob("index*.lock")]
    other = (git_dir / "annex" / "othertmp").glob("datalad-hpc*")
    refs = git(top, "for-each-ref", "--format=%(refname)", "refs/datalad", "refs/worktree")
    return [*map(str, (*files, *other)), *refs.split()]
