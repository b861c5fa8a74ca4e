"""One repository of the hierarchy while outputs are being recorded."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datalad_hpc.claims import matches
from datalad_hpc.commit.changes import ChangeFinder, Changes, Found
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.scratch import (
    ScratchIndex,
    enter_in_index,
    index_differences,
    scratch_index,
)
from datalad_hpc.commit.trees import SUBDATASET, Entry, TreeReader, reading_tree
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator, Place


@dataclass
class Checkout:
    """A repository with its tip's tree, and what every job did in it."""

    name: str
    """Its top relative to the dataset's root; empty for the dataset itself."""
    repository: Repository
    tree: TreeReader
    scratch: ScratchIndex
    changes: dict[int, Changes] = field(default_factory=dict)
    entries: dict[int, dict[str, Entry | None]] = field(default_factory=dict)
    """What each job's commit changes here, by number of the job's row."""
    stale: dict[str, Entry | None] = field(default_factory=dict)
    """Entries that the index should have had already, after an interruption."""

    def compare(
        self, key: int, claims: tuple[Claim, ...], found: list[Found], locator: Locator
    ) -> Changes:
        """Find out what a job did here."""
        finder = ChangeFinder(self.repository, self.tree, locator)
        self.changes[key] = finder.changes(claims, found)
        return self.changes[key]

    def hash_all(self, jobs: int | None) -> dict[int, str]:
        """Hash the changed files of all jobs; returns a reason for each job that failed."""
        owner = {path: key for key, changes in self.changes.items() for path in changes.present}
        failures: dict[str, str] = {}
        for unlocked in (False, True):
            files = [
                path
                for changes in self.changes.values()
                for path in changes.to_hash
                if (path in changes.unlocked) is unlocked
            ]
            failures |= self.scratch.add(files, keep_unlocked=unlocked, jobs=jobs)
        gone = {path: None for changes in self.changes.values() for path in changes.gone}
        self.scratch.enter(gone)
        self._sort_entries(owner)
        return {owner[path]: f"{path}: {why}" for path, why in failures.items() if path in owner}

    def _sort_entries(self, owner: Mapping[str, int]) -> None:
        owner = dict(owner)
        for key, changes in self.changes.items():
            owner |= dict.fromkeys(changes.gone, key)
        self.entries = defaultdict(dict)
        for path, entry in self.scratch.differences(set(owner)).items():
            changes = self.changes[owner[path]]
            if changes.present.get(path) or path in changes.gone:
                self.entries[owner[path]][path] = entry
            else:
                self.stale[path] = self.tree.entry(path)
        self.scratch.enter(self.stale)

    def link_of(self, path: str) -> str:
        """The commit that the tip records for a subdataset; empty if it is none."""
        entry = self.tree.entry(path)
        return entry.oid if entry and entry.mode == SUBDATASET else ""

    def follow(self, committed: Mapping[str, Entry | None], *, whole: bool) -> None:
        """Bring the user's index to what was committed.

        Parameters
        ----------
        committed:
          Entries that the new commits have set.
        whole:
          Whether the copy of the index holds nothing but those.
        """
        now = self.repository.refreshed()
        if now.ref != self.repository.ref:
            return
        subdatasets = {
            path: entry for path, entry in committed.items() if entry and entry.mode == SUBDATASET
        }
        self.scratch.enter(subdatasets)
        if whole and self.scratch.take_over():
            return
        enter_in_index(now, {**self.stale, **committed})

    def withdraw(self, key: int) -> None:
        """Give the work tree back what it had before a job whose outputs went to a branch."""
        changes = self.changes[key]
        tracked = [path for path in (*changes.present, *changes.gone) if self.tree.entry(path)]
        for path in set(changes.present).difference(tracked):
            _remove(self.repository.path, path)
        stdin = b"".join(os.fsencode(path) + b"\0" for path in tracked)
        if tracked:
            self.repository.git("checkout-index", "-f", "-u", "-z", "--stdin", stdin=stdin)


@contextlib.contextmanager
def checked_out(name: str, path: Path) -> Iterator[Checkout]:
    """Open a repository of the hierarchy."""
    repository = Repository.find(path)
    with reading_tree(repository) as tree, scratch_index(repository) as scratch:
        yield Checkout(name, repository, tree, scratch)


def catch_up(checkout: Checkout, claimed: Sequence[tuple[Claim, ...]]) -> None:
    """Bring the user's index to the tip below the claims of jobs whose commit was made."""
    wanted = {
        path: checkout.tree.entry(path)
        for path, _ in index_differences(checkout.repository)
        if any(
            matches(claim, Place(checkout.name, path).full)
            for claims in claimed
            for claim in claims
        )
    }
    enter_in_index(checkout.repository, wanted)


def _remove(top: Path, path: str) -> None:
    (top / path).unlink(missing_ok=True)
    folder = (top / path).parent
    with contextlib.suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent
