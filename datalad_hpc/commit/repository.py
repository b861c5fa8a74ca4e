"""One Git repository: where it keeps its things, which branch it is on, how it is asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from datalad_hpc import process
from datalad_hpc.commit.head import ADJUSTED, checked_out, common_dir_of
from datalad_hpc.commit.settings import ASKED, Settings
from datalad_hpc.errors import CommitFailed, GitFailed, ProcessFailed

_FOREIGN = (
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)
"""Variables that point Git elsewhere, as set where we are called from a hook."""

_KEEPS_MONITOR = ("update-index",)
"""Commands that write an index, and with it what a file system monitor has told Git.

Any other command would ask the monitor for nothing. Were it switched off here as
well, the user's next ``git status`` would look at every file of the work tree.
"""


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
        """The repository whose work tree has its top at ``path``.

        Raises
        ------
        CommitFailed
          Git finds none there, or one whose top is elsewhere: an empty ``.git``
          makes no repository.
        """
        asked = ("--show-object-format", "--show-prefix", "--absolute-git-dir")
        answers = _git(path, "rev-parse", *asked).text.removesuffix("\n")
        # The folder comes last, since its name may hold newlines.
        object_format, prefix, git_dir = answers.split("\n", 2)
        if prefix:
            raise CommitFailed(f"{path} is not the top of a Git repository")
        ref, tip = checked_out(path)
        return cls(
            path=path,
            git_dir=Path(git_dir),
            common_dir=common_dir_of(Path(git_dir)),
            object_format=object_format,
            ref=ref,
            tip=tip,
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

    @cached_property
    def settings(self) -> Settings:
        """What the user has told Git and what we have to heed."""
        return Settings.parse(self.asks("config", "--null", "--get-regexp", ASKED).output)

    def refreshed(self) -> Repository:
        """The same, asked again."""
        ref, tip = checked_out(self.path)
        return replace(self, ref=ref, tip=tip)

    @property
    def is_on_ref(self) -> bool:
        """Whether ``ref`` is still what is checked out."""
        return checked_out(self.path)[0] == self.ref

    def not_checked_out(self) -> set[str]:
        """Files that a sparse checkout keeps out of the work tree; see git-sparse-checkout(1)."""
        if not (self.git_dir / "info" / "sparse-checkout").is_file():
            return set()
        listed = self.git("ls-files", "-t", "-z").text.split("\0")
        return {line[2:] for line in listed if line.startswith("S ")}

    def changed_between(self, commit: str, other: str) -> list[str]:
        """Paths that differ between two commits; all is unknown where one is not here."""
        asked = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", commit, other, "--")
        return self.asks(*asked).text.split("\0")[:-1]

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


def _git(
    path: Path, *arguments: str, stdin: bytes = b"", index: Path | None = None
) -> process.Ended:
    try:
        ended = process.run(_argv(*arguments), folder=path, stdin=stdin, environment=_clean(index))
    except ProcessFailed as error:
        raise GitFailed(f"In {path}: {error}") from error
    if ended.code:
        raise GitFailed(
            f"`git {arguments[0]}` failed in {path} (exit code {ended.code}): {ended.complaint}"
        )
    return ended


def _argv(*arguments: str) -> Sequence[str]:
    # An automatic clean-up would cost more than our own work, and comes once at the end.
    options = ["-c", "gc.auto=0"]
    if arguments[0] not in _KEEPS_MONITOR:
        options += ["-c", "core.fsmonitor=false"]
    return ("git", *options, *arguments)


def _clean(index: Path | None = None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment["LC_MESSAGES"] = "C"
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    return environment
