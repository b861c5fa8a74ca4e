"""Outputs that were made writable for a job and that it left alone are what they were before."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from datalad_hpc.commit.changes import annexed_content
from datalad_hpc.commit.checkout import Checkout
from datalad_hpc.commit.gathering import Work, gathered
from datalad_hpc.commit.preparing import SCRATCH, put_in_place, scratch_path
from datalad_hpc.commit.trees import LINK
from datalad_hpc.job import Claim, Unit
from datalad_hpc.located import Place

_ALL = Unit(0)


def restore(
    root: Path, claims: tuple[Claim, ...], token: str = "", since: datetime | None = None
) -> list[str]:
    """Undo :func:`.make_writable` where the job has changed nothing, also a half of it.

    Parameters
    ----------
    since:
      If given, all files are named that the job has written, changed or deleted since then.

    Returns
    -------
    list
      Files that were changed and therefore left as they are, relative to the root.
    """
    changed: list[str] = []
    with gathered(root, [Work(_ALL, "", claims, lambda _files: "")]) as found:
        for checkout in found.checkouts:
            _remove_half_copy(checkout, token)
            changed += _restore_in(checkout, token)
            if since:
                changed += _written_in(checkout, since)
    return changed


def remove_half_copies(root: Path, claims: tuple[Claim, ...], token: str) -> None:
    """Remove what a process has left that was killed while it made outputs writable."""
    with gathered(root, [Work(_ALL, "", claims, lambda _files: "")]) as found:
        for checkout in found.checkouts:
            _remove_half_copy(checkout, token)


def _remove_half_copy(checkout: Checkout, token: str) -> None:
    annex = checkout.repository.common_dir / "annex"
    shutil.rmtree(annex / "othertmp" / f"{SCRATCH}{token}", ignore_errors=True)


def _restore_in(checkout: Checkout, token: str) -> Iterator[str]:
    top = checkout.repository.path
    for path in checkout.changes[_ALL].to_hash():
        entry = checkout.tree.entry(path)
        if entry is None or entry.mode != LINK:
            continue
        target = os.fsdecode(checkout.tree.content(entry.oid))
        content = annexed_content(top, path, target)
        if content and _same(top / path, content):
            _link_again(top / path, target, content, token)
        else:
            yield Place(checkout.name, path).full


def _written_in(checkout: Checkout, since: datetime) -> Iterator[str]:
    """Files that are new, deleted, or were never made writable since they had been so before."""
    for path in checkout.changes[_ALL].to_hash():
        entry = checkout.tree.entry(path)
        if entry is None or (
            entry.mode != LINK
            and os.lstat(checkout.repository.path / path).st_mtime >= since.timestamp()
        ):
            yield Place(checkout.name, path).full
    for path in sorted(checkout.changes[_ALL].gone):
        yield Place(checkout.name, path).full


def _same(file: Path, content: Path) -> bool:
    if file.is_symlink() or not content.is_file():
        return False
    one, other = file.stat(), content.stat()
    if one.st_size != other.st_size:
        return False
    return one.st_mtime_ns == other.st_mtime_ns or filecmp.cmp(file, content, shallow=False)


def _link_again(path: Path, target: str, content: Path, token: str) -> None:
    with scratch_path(content, token) as link:
        link.symlink_to(target)
        put_in_place(link, path)
