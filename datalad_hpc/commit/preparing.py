"""Existing outputs are made writable before a job, without a trace in Git.

An annexed file is a link into git-annex's objects; a job that writes through it
would fail, or as root destroy the object. ``git annex unlock`` stages a type
change, so a plain copy takes the place of the link instead. Where the content
is not here the link is taken away, as ``datalad run`` does.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from datalad_hpc.claims import matches
from datalad_hpc.commit.changes import ANNEX_OBJECTS
from datalad_hpc.commit.checkout import Checkout
from datalad_hpc.commit.gathering import Work, gathered
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import LINK, SUBDATASET, reading_tree
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator, Place


def make_writable(root: Path, claims: Iterable[Claim]) -> None:
    """Put copies in the place of locked annexed files below the claims."""
    locator = Locator(root)
    for claim in claims:
        for place, status in list(locator.files(claim)):
            if status and stat.S_ISLNK(status.st_mode):
                _make_writable(root / place.full)


def _make_writable(link: Path) -> None:
    target = os.readlink(link)
    if ANNEX_OBJECTS not in target:
        return
    content = Path(os.path.normpath(link.parent / target))
    if not content.is_file():
        link.unlink()
        return
    with _scratch_path(content) as copy:
        shutil.copyfile(content, copy)
        status = content.stat()
        copy.chmod(stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        _replace(copy, link)


@contextlib.contextmanager
def _scratch_path(content: Path) -> Iterator[Path]:
    """A free path in git-annex's own folder for work in progress, on the same file system."""
    annex = next(parent for parent in content.parents if parent.name == "annex")
    folder = annex / "othertmp"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="datalad-hpc-", dir=folder) as scratch:
        yield Path(scratch) / "file"


def _replace(new: Path, old: Path) -> None:
    try:
        os.replace(new, old)
    except OSError:
        # A worktree on another file system. What is there goes first: to copy
        # onto a link would be to write into the object.
        old.unlink()
        shutil.copy2(new, old, follow_symlinks=False)


def restore(root: Path, claims: tuple[Claim, ...]) -> list[str]:
    """Undo :func:`make_writable` where the job has changed nothing.

    Returns
    -------
    list
      Files that were changed and therefore left as they are, relative to the root.
    """
    changed: list[str] = []
    with gathered(root, [Work(0, "", claims, lambda _files: "")]) as found:
        for checkout in found.checkouts:
            changed += _restore_in(checkout, claims)
    return changed


def _restore_in(checkout: Checkout, claims: tuple[Claim, ...]) -> Iterator[str]:
    top = checkout.repository.path
    for path in checkout.changes[0].to_hash():
        entry = checkout.tree.entry(path)
        if entry is None or entry.mode != LINK or not _claimed(checkout, path, claims):
            continue
        target = os.fsdecode(checkout.tree.content(entry.oid))
        content = Path(os.path.normpath((top / path).parent / target))
        if ANNEX_OBJECTS in target and _same(top / path, content):
            _link_again(top / path, target, content)
        else:
            yield Place(checkout.name, path).full


def _claimed(checkout: Checkout, path: str, claims: tuple[Claim, ...]) -> bool:
    return any(matches(claim, Place(checkout.name, path).full) for claim in claims)


def _same(file: Path, content: Path) -> bool:
    if file.is_symlink() or not content.is_file():
        return False
    one, other = file.stat(), content.stat()
    if one.st_size != other.st_size:
        return False
    return one.st_mtime_ns == other.st_mtime_ns or filecmp.cmp(file, content, shallow=False)


def _link_again(path: Path, target: str, content: Path) -> None:
    with _scratch_path(content) as link:
        link.symlink_to(target)
        _replace(link, path)


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
