"""Hashing files into a copy of the index with Git alone, and what git-annex forgets there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import FILE, Entry
from datalad_hpc.errors import CommitFailed


def add_to_git(repository: Repository, index: Path, files: Sequence[str]) -> dict[str, str]:
    """Hash files and enter them in an index, in a repository without git-annex.

    Where Git refuses one it takes none of them; so the list is halved until it is found.

    Parameters
    ----------
    index:
      A copy of the repository's index.
    files:
      Paths relative to the repository's top.

    Returns
    -------
    dict
      The files that failed, with the reason.
    """
    if not files:
        return {}
    arguments = ("update-index", "--add", "--replace", "-z", "--stdin")
    try:
        repository.git(*arguments, stdin=listed(files), index=index)
    except CommitFailed as error:
        if len(files) == 1:
            return {files[0]: str(error)}
        half = len(files) // 2
        first = add_to_git(repository, index, files[:half])
        return first | add_to_git(repository, index, files[half:])
    return {}


def mend_modes(repository: Repository, index: Path, added: Mapping[str, Entry | None]) -> bool:
    """Make executable in an index what is executable in the work tree.

    git-annex forgets it of files that it keeps unlocked.

    Returns
    -------
    bool
      Whether there was any.
    """
    lost = [
        path
        for path, entry in added.items()
        if entry and entry.mode == FILE and _is_executable(repository.path / path)
    ]
    if not lost or repository.asks("config", "--type=bool", "core.fileMode").text == "false\n":
        return False
    arguments = ("update-index", "--chmod=+x", "-z", "--stdin")
    repository.git(*arguments, stdin=listed(lost), index=index)
    return True


def _is_executable(path: Path) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IXUSR)


def listed(files: Iterable[str]) -> bytes:
    """Paths as Git and git-annex read them from a stream: each ends with a NUL."""
    return b"".join(os.fsencode(path) + b"\0" for path in files)
