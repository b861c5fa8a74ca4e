"""Logs as they were committed, wherever the commit is checked out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datalad_hpc import process
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


class Archive:
    """Commits of a dataset and its subdatasets; each repository has its processes once."""

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        """Take the dataset's root, and what ends the processes."""
        self._root = root
        self._stack = stack
        # What is read stays known: thousands of tasks may have their logs in one commit.
        self._repository = cache(lambda top: Repository.find(root / top if top else root))
        self._reader = cache(self._start_reader)
        self._tree = cache(lambda top, commit: self._reader(top).of(commit))
        self._annex = cache(self._start_annex)

    def committed(self, commit: str, path: str, *, is_glob: bool) -> list[Committed]:
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
        kind = ClaimKind.GLOB if is_glob else ClaimKind.FILE
        return list(self._found("", commit, Claim(path, kind)))

    def _found(self, top: str, commit: str, claim: Claim) -> Iterator[Committed]:
        """Files in one repository, whose top is relative to the root, and in those below it."""
        for place, entry in list(_entries(self._tree(top, commit), top, claim)):
            path = f"{top}/{place}".lstrip("/")
            if entry.mode == SUBDATASET:
                yield from self._found(path, entry.oid, claim)
            elif matches(claim, path):
                yield self._content(top, path, entry, self._tree(top, commit).content(entry.oid))

    def _start_reader(self, top: str) -> TreeReader:
        return self._stack.enter_context(reading_tree(self._repository(top), ""))

    def _content(self, top: str, path: str, entry: Entry, content: bytes) -> Committed:
        if not (entry.mode == LINK or content.startswith(ANNEX_POINTER)):
            return Committed(path, content)
        key = os.path.basename(content.split(b"\n", 1)[0])
        annex = self._annex(top)
        annex.stdin.write(key + b"\n")
        annex.stdin.flush()
        location = os.fsdecode(annex.stdout.readline().removesuffix(b"\n"))
        if not location:
            return Committed(path, key=os.fsdecode(key))
        # Relative to the top of the work tree, if it is not absolute.
        return Committed(path, object=str(self._repository(top).path / location))

    def _start_annex(self, top: str) -> process.Conversation:
        talk = self._repository(top).talk("annex", "contentlocation", "--batch")
        return self._stack.enter_context(talk)


def _entries(tree: TreeReader, top: str, claim: Claim) -> Iterator[tuple[str, Entry]]:
    """Files that may be meant, and subdatasets on the way, relative to the repository's top."""
    literal = top_of(claim.path) if claim.kind is ClaimKind.GLOB else claim.path
    literal = literal[len(top) :].lstrip("/")
    names = literal.split("/") if literal else []
    for length in range(1, len(names) + 1):
        place = "/".join(names[:length])
        entry = tree.entry(place)
        if entry and entry.mode == SUBDATASET:
            yield place, entry
            return
    yield from tree.below(literal, lambda folder: reaches(claim, f"{top}/{folder}".lstrip("/")))
