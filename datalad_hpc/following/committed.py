"""Logs as they were committed, wherever the commit is checked out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc.claims import matches, reaches
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import (
    ANNEX_POINTER,
    LINK,
    SUBDATASET,
    Entry,
    TreeReader,
    reading_tree,
)
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind

_KEY_LIMIT = 32_768
"""Bytes that git-annex looks at to tell a pointer file."""


@dataclass(frozen=True)
class Committed:
    """A log in a commit."""

    path: str
    """Relative to the dataset's root."""
    content: bytes | None = None
    """That of a file in Git."""
    object: str = ""
    """Absolute path of the content of an annexed file."""
    key: str = ""
    """Its key, where the content is not here."""


def committed(root: Path, commit: str, path: str, *, is_glob: bool) -> list[Committed]:
    """Files in the commit of a job.

    Parameters
    ----------
    path:
      Relative to the dataset's root; a glob if so.

    Raises
    ------
    CommitFailed
      The commit, or a subdataset that has the file, is not here.
    """
    return list(
        _found(root, "", commit, Claim(path, ClaimKind.GLOB if is_glob else ClaimKind.FILE))
    )


def _found(root: Path, top: str, commit: str, claim: Claim) -> Iterator[Committed]:
    """Files in one repository, whose top is relative to the root, and in those below it."""
    repository = Repository.find(root / top if top else root)
    with reading_tree(repository, commit) as tree:
        for place, entry in list(_entries(tree, top, claim)):
            path = f"{top}/{place}".lstrip("/")
            if entry.mode == SUBDATASET:
                yield from _found(root, path, entry.oid, claim)
            elif matches(claim, path):
                yield _read(tree, repository, path, entry)


def _entries(tree: TreeReader, top: str, claim: Claim) -> Iterator[tuple[str, Entry]]:
    """Files that may be meant, and subdatasets on the way, relative to the repository's top."""
    literal = top_of(claim.path) if claim.kind is ClaimKind.GLOB else claim.path
    literal = literal[len(top) :].lstrip("/")
    names = literal.split("/")
    for length in range(1, len(names) + 1):
        place = "/".join(names[:length])
        entry = tree.entry(place) if place else None
        if entry and entry.mode == SUBDATASET:
            yield place, entry
            return
    yield from tree.below(literal, lambda folder: reaches(claim, f"{top}/{folder}".lstrip("/")))


def _read(tree: TreeReader, repository: Repository, path: str, entry: Entry) -> Committed:
    content = tree.content(entry.oid)
    is_annexed = entry.mode == LINK or content.startswith(ANNEX_POINTER)
    if not is_annexed:
        return Committed(path, content)
    key = os.path.basename(os.fsdecode(content[:_KEY_LIMIT].split(b"\n", 1)[0]))
    location = repository.asks("annex", "contentlocation", key).output
    if not location:
        return Committed(path, key=key)
    place = os.fsdecode(location.removesuffix(b"\n"))
    # Relative to the top of the work tree, if it is not absolute.
    return Committed(path, object=str(repository.path / place))
