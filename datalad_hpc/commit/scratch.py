"""A copy of the index in which outputs are hashed, so that nobody else sees them half done.

While outputs of hours are being hashed, the user may well commit something
else; were the outputs staged in the user's own index, that commit would carry
them away. Git and git-annex take the copy's name from ``GIT_INDEX_FILE``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from datalad_hpc.commit.index import Signature, enter, index_of
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import SUBDATASET, Entry

_PREFIX = "index-"


class ScratchIndex:
    """A private copy of a repository's index, made when it is first used."""

    def __init__(self, repository: Repository, folders: contextlib.ExitStack) -> None:
        """Take the repository, and the stack that removes the copy at the end."""
        self._repository = repository
        self._folders = folders
        self._path: Path | None = None
        self._copied: Signature | None = None

    @property
    def path(self) -> Path:
        """Where the copy is."""
        if self._path is None:
            self._copied = Signature.of(index_of(self._repository))
            self._path = self._copy()
        return self._path

    def next_index(self, entries: Mapping[str, Entry | None], *, whole: bool) -> Path:
        """An index file that holds what the user's index holds, and some entries.

        Parameters
        ----------
        entries:
          What has to be in it.
        whole:
          Whether the copy has all of those that are files, and no other changes.
          Then it is taken with all that it knows of the files' times and sizes,
          provided that the user's index has not changed since.
        """
        unchanged = Signature.of(index_of(self._repository)) == self._copied
        if whole and unchanged and self._path:
            links = {path: to for path, to in entries.items() if to and to.mode == SUBDATASET}
            enter(self._repository, links, self._path)
            return self._path
        path = self._copy()
        enter(self._repository, entries, path)
        return path

    def spares(self, number: int) -> list[Path]:
        """Copies of the copy as it is, for those who are to write at the same time."""
        return [self._copy(self.path) for _ in range(number)]

    def _copy(self, of: Path | None = None) -> Path:
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._repository.scratch_dir)
        path = Path(self._folders.enter_context(folder)) / "index"
        with contextlib.suppress(FileNotFoundError):
            _duplicate(of or index_of(self._repository), path)
        return path


def _duplicate(index: Path, path: Path) -> None:
    """Give an index a second name: Git never changes one in place, but renames a new one over it.

    A file system without hard links gets a copy, with the time of the original: Git tells by it
    which files may have changed right after the index was written (see racy-git in Git's
    documentation).
    """
    try:
        os.link(index, path)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(index, path)


@contextlib.contextmanager
def scratch_index(repository: Repository) -> Iterator[ScratchIndex]:
    """A copy of the index that is gone at the end, unless it became the index."""
    with contextlib.ExitStack() as folders:
        yield ScratchIndex(repository, folders)


def remove_leftovers(repository: Repository) -> None:
    """Remove copies of a process that was killed; for callers that hold the save lock."""
    for folder in repository.scratch_dir.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def replace_index(repository: Repository, by: Path) -> None:
    """Make a copy the user's index; for callers that hold its lock."""
    os.replace(by, index_of(repository))
