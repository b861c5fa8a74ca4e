"""One Git repository: where it keeps its things, which branch it is on, how it is asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc import process
from datalad_hpc.errors import CommitFailed, ProcessFailed

ADJUSTED = "refs/heads/adjusted/"

_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Variables that point Git elsewhere, as set where we are called from a hook."""


@dataclass(frozen=True)
class Repository:
    """A checkout as it was found; ``tip`` goes stale when somebody commits."""

    path: Path
    """The top folder of the work tree, absolute, symbolic links resolved."""
    git_dir: Path
    common_dir: Path
    """Shared by all worktrees of a repository; the same as ``git_dir`` elsewhere."""
    object_format: str
    ref: str
    """The branch in full, or ``HEAD`` where none is checked out."""
    tip: str
    """The commit that is checked out; empty on an unborn branch."""

    @classmethod
    def find(cls, path: Path) -> Repository:
        """The repository whose work tree has its top at ``path``."""
        asked = ("--absolute-git-dir", "--git-common-dir", "--show-object-format")
        answers = _git(path, "rev-parse", *asked).text.splitlines()
        git_dir = Path(answers[0])
        head = process.run(_argv("symbolic-ref", "-q", "HEAD"), folder=path, environment=_clean())
        ref = head.text.strip() or "HEAD"
        return cls(
            path=path,
            git_dir=git_dir,
            common_dir=Path(os.path.normpath(path / answers[1])),
            object_format=answers[2],
            ref=ref,
            tip=_tip(path),
        )

    @property
    def is_annex(self) -> bool:
        """Whether git-annex was initialised here."""
        return (self.common_dir / "annex").is_dir()

    @property
    def is_adjusted(self) -> bool:
        """Whether one of git-annex's adjusted branches is checked out."""
        return self.ref.startswith(ADJUSTED)

    @property
    def scratch_dir(self) -> Path:
        """Where half-done work is kept: beside the index, so that a move is a rename."""
        folder = self.git_dir / "datalad" / "hpc"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def empty_tree(self) -> str:
        """Id of the tree without entries."""
        return self.object_id("tree", b"")

    def object_id(self, kind: str, content: bytes) -> str:
        """The id that Git gives to an object of this kind and content."""
        header = f"{kind} {len(content)}\0".encode()
        return hashlib.new(self.object_format, header + content, usedforsecurity=False).hexdigest()

    def refreshed(self) -> Repository:
        """The same, asked again."""
        return Repository.find(self.path)

    def git(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> process.Ended:
        """Run Git here, optionally with another index file.

        Raises
        ------
        CommitFailed
          Git ended with an error; its words are in the text.
        """
        return _git(self.path, *arguments, stdin=stdin, index=index)

    def asks(self, *arguments: str) -> process.Ended:
        """Run a Git command whose exit code is its answer."""
        return process.run(_argv(*arguments), folder=self.path, environment=_clean())

    def talk(self, *arguments: str) -> process.Talk:
        """A Git process that answers requests one by one."""
        return process.talking(_argv(*arguments), folder=self.path, environment=_clean())

    def environment(self, index: Path | None = None) -> dict[str, str]:
        """Environment for Git and git-annex here."""
        return _clean(index)


def _tip(path: Path) -> str:
    argv = _argv("rev-parse", "-q", "--verify", "HEAD^{commit}")
    return process.run(argv, folder=path, environment=_clean()).text.strip()


def _git(
    path: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None
) -> process.Ended:
    try:
        return process.check(_argv(*arguments), folder=path, stdin=stdin, environment=_clean(index))
    except ProcessFailed as error:
        raise CommitFailed(f"In {path}: {error}") from error


def _argv(*arguments: str) -> Sequence[str]:
    # A file system monitor or an automatic clean-up would cost more than our own work.
    return ("git", "-c", "gc.auto=0", "-c", "core.fsmonitor=false", *arguments)


def _clean(index: Path | None = None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment["LC_MESSAGES"] = "C"
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    return environment
