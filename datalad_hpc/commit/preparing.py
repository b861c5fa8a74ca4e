"""Existing outputs are made writable before a job, without a trace in Git.

An annexed file is a link into git-annex's objects; a job that writes through it
would fail, or as root destroy the object. ``git annex unlock`` stages a type
change, so a plain copy takes the place of the link instead. Where the content
is not here the link is taken away, as ``datalad run`` does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from datalad_hpc.commit.changes import annexed_content
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import SUBDATASET, reading_tree
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator

SCRATCH = "datalad-hpc-"
"""Beginning of the names of our own folders in git-annex's one for work in progress."""


def make_writable(root: Path, claims: Iterable[Claim], token: str = "") -> None:
    """Put copies in the place of locked annexed files below the claims.

    Parameters
    ----------
    token:
      The job's own: :func:`.restore` removes by it what is left half copied by a process
      that was killed.
    """
    for place, status in Locator(root).listing(claims).files.items():
        if status and stat.S_ISLNK(status.st_mode):
            _make_writable(root / place.repository, place.path, token)


def _make_writable(top: Path, path: str, token: str) -> None:
    link = top / path
    content = annexed_content(top, path, os.readlink(link))
    if content is None:
        return
    if not content.is_file():
        link.unlink()
        return
    with scratch_path(content, token) as copy:
        shutil.copyfile(content, copy)
        status = content.stat()
        copy.chmod(status.st_mode & 0o777 | stat.S_IWUSR)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        put_in_place(copy, link)


@contextlib.contextmanager
def scratch_path(content: Path, token: str) -> Iterator[Path]:
    """A free path in git-annex's own folder for work in progress, on the same file system."""
    annex = next(parent for parent in content.parents if parent.name == "annex")
    folder = annex / "othertmp" / f"{SCRATCH}{token}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder / "file"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, old: Path) -> None:
    """Have a new file take the place of an old one, never writing through a link."""
    try:
        os.replace(new, old)
    except OSError:
        # A worktree on another file system. What is there goes first: to copy
        # onto a link would be to write into the object.
        old.unlink()
        shutil.copy2(new, old, follow_symlinks=False)


def subdatasets_to_install(root: Path, claims: Iterable[Claim]) -> list[str]:
    """Subdatasets that hold claimed paths and are not installed, relative to the root."""
    missing = [claim for claim in claims if not (root / claim.path).exists()]
    candidates = {parent for claim in missing for parent in _empty_folders_above(root, claim.path)}
    if not candidates:
        return []
    with reading_tree(Repository.find(root)) as tree:
        return sorted(
            path for path in candidates if (entry := tree.entry(path)) and entry.mode == SUBDATASET
        )


def _empty_folders_above(root: Path, path: str) -> Iterator[str]:
    for parent in Path(path).parents:
        if parent != Path() and (root / parent).is_dir() and not any((root / parent).iterdir()):
            yield parent.as_posix()
