"""One repository of the hierarchy while outputs are being recorded."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from datalad_hpc.claims import CoveredFiles, matches
from datalad_hpc.commit.adding import add_to_git, mend_modes
from datalad_hpc.commit.annexing import ONE_AT_A_TIME, AnnexAdder, Locking, processes_for
from datalad_hpc.commit.changes import ChangeFinder, Changes, Found
from datalad_hpc.commit.index import differences, enter, index_lock, remove_stale_lock
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.room import require_room
from datalad_hpc.commit.scratch import (
    ScratchIndex,
    remove_leftovers,
    replace_index,
    scratch_index,
)
from datalad_hpc.commit.trees import SUBDATASET, Entry, TreeReader, reading_tree
from datalad_hpc.errors import CommitFailed
from datalad_hpc.job import Claim, Unit
from datalad_hpc.located import Locator, Place

Entries = dict[str, Entry | None]
"""What is to be at paths of a repository; ``None`` for nothing."""


@dataclass
class Checkout:
    """A repository with its tip's tree, and what every job did in it."""

    name: str
    """Its top relative to the dataset's root; empty for the dataset itself."""
    repository: Repository
    tree: TreeReader
    scratch: ScratchIndex
    linked: str = ""
    """The commit that the tip of the repository around it records."""
    claims: dict[Unit, tuple[Claim, ...]] = field(default_factory=dict)
    changes: dict[Unit, Changes] = field(default_factory=dict)
    entries: dict[Unit, Entries] = field(default_factory=lambda: defaultdict(dict))
    """What each job's commit changes here."""
    own_branches: dict[str, str] = field(default_factory=dict)
    """Branches of jobs that we made before an interruption, in full, with their commits."""
    stale: Entries = field(default_factory=dict)
    """Entries that the index should have had already, after an interruption."""
    _finder: ChangeFinder | None = None

    def compare(
        self, key: Unit, claims: tuple[Claim, ...], found: list[Found], locator: Locator
    ) -> Changes:
        """Find out what a job did here."""
        # One for all, since it asks Git.
        self._finder = self._finder or ChangeFinder(self.repository, self.tree, locator)
        self.claims[key] = claims
        self.changes[key] = self._finder.changes(claims, found)
        return self.changes[key]

    def hash_all(
        self, keys: Iterable[Unit], jobs: int | None, hashed: Callable[[], None]
    ) -> dict[Unit, str]:
        """Hash the changed files of jobs; returns a reason for each job that failed.

        Parameters
        ----------
        keys:
          The jobs.
        jobs:
          How many files are hashed at once, if the user cares.
        hashed:
          Called after each file, from any thread.
        """
        chosen = {key: self.changes[key] for key in keys}
        owner = {
            path: key
            for key, changes in chosen.items()
            for path in (*changes.present, *changes.gone)
        }
        if not owner:
            return {}
        require_room(self.repository.scratch_dir)
        # A large index takes its time, in which git-annex can start.
        (untouched,) = self.scratch.spares(1)
        with ThreadPoolExecutor(1) as meanwhile:
            before = meanwhile.submit(differences, self.repository, untouched)
            failures = self._hash(list(chosen.values()), jobs, hashed)
        gone = {path: None for changes in chosen.values() for path in changes.gone}
        enter(self.repository, gone, self.scratch.path)
        after = self._sort_entries(owner, before.result())
        failures = {**self._not_taken(chosen.values(), after), **failures}
        return {
            owner[path]: f"{path}: {why}; put that right and run `datalad finish` again"
            for path, why in failures.items()
        }

    def _hash(
        self, chosen: Sequence[Changes], jobs: int | None, hashed: Callable[[], None]
    ) -> dict[str, str]:
        if not self.repository.is_annex:
            files = [path for changes in chosen for path in changes.to_hash()]
            refused = add_to_git(self.repository, self.scratch.path, files)
            for _ in files:
                hashed()
            return refused
        failures: dict[str, str] = {}
        if self.repository.settings.is_on(ONE_AT_A_TIME):
            jobs = 1
        for locking in Locking:
            files = [path for changes in chosen for path in changes.to_hash(locking)]
            number = processes_for(len(files), sum(changes.size for changes in chosen), jobs)
            spares = self.scratch.spares(number - 1)
            before = differences(self.repository, self.scratch.path) if spares else {}
            adder = AnnexAdder(self.repository, locking, hashed)
            failures |= adder.add([self.scratch.path, *spares], files)
            for spare in spares:
                self._absorb(spare, before)
        return failures

    def _absorb(self, spare: Path, before: Entries) -> None:
        """Take over what one of several git-annex processes has entered in its own index."""
        after = differences(self.repository, spare)
        changed = {
            path: after[path] if path in after else self.tree.entry(path)
            for path in {*before, *after}
            if path not in before or path not in after or before[path] != after[path]
        }
        enter(self.repository, changed, self.scratch.path)

    def _not_taken(self, chosen: Iterable[Changes], after: Entries) -> dict[str, str]:
        """Files that are not in the index, since Git passes over names that it refuses."""
        reason = "Git did not take a file of that name, rename it or move it away"
        return {
            path: reason
            for changes in chosen
            for path in changes.to_hash()
            if (after[path] if path in after else self.tree.entry(path)) is None
        }

    def _sort_entries(self, owner: Mapping[str, Unit], before: Entries) -> Entries:
        """Tell the entries of jobs from stale ones; returns how the index differs from the tip."""
        after = differences(self.repository, self.scratch.path)
        if mend_modes(self.repository, self.scratch.path, _only(after, owner)):
            after = differences(self.repository, self.scratch.path)
        for path, entry in after.items():
            key = owner.get(path)
            if key is not None and self.changes[key].present.get(path, True):
                self.entries[key][path] = entry
        claimed = CoveredFiles(claim for claims in self.claims.values() for claim in claims)
        for path in before:
            committed = path in owner and path in self.entries[owner[path]]
            if not committed and Place(self.name, path).full in claimed:
                self.stale[path] = self.tree.entry(path)
        enter(self.repository, self.stale, self.scratch.path)
        return after

    def link_of(self, path: str) -> str:
        """The commit that the tip records for a subdataset; empty if it is none."""
        entry = self.tree.entry(path)
        return entry.oid if entry and entry.mode == SUBDATASET else ""

    def is_ahead_for(self, key: Unit) -> bool:
        """Whether the repository around it has yet to hear of something that a job did here.

        So it is after an interruption between the two commits.
        """
        return any(
            matches(claim, Place(self.name, path).full)
            for path in self._ahead
            for claim in self.claims[key]
        )

    @cached_property
    def _ahead(self) -> list[str]:
        """Paths that the tip has changed since the commit that is recorded around it."""
        tip = self.repository.tip
        if not self.linked or not tip or tip == self.linked:
            return []
        return self.repository.changed_between(self.linked, tip)

    def publish(self, move: Callable[[], bool], committed: Entries, *, whole: bool) -> bool:
        """Move the branch and bring the user's index along, as one step for all others.

        Parameters
        ----------
        move:
          Moves the branch; false if it was not where it should be.
        committed:
          Entries that the new commits have set.
        whole:
          Whether the copy of the index holds nothing but those.

        Raises
        ------
        CommitFailed
          The index stayed locked, or another branch was checked out meanwhile.
        """
        entries = {**self.stale, **committed}
        with index_lock(self.repository):
            if not self.repository.is_on_ref:
                raise CommitFailed(
                    f"Another branch was checked out in {self.repository.path} while outputs were "
                    "being committed there; nothing of theirs was lost, run `datalad finish` again "
                    "with the branch checked out that they belong to"
                )
            ready = self.scratch.next_index(entries, whole=whole) if entries else None
            if not move():
                return False
            if ready:
                replace_index(self.repository, ready)
        return True

    def follow(self, entries: Entries) -> None:
        """Bring entries of the user's index to what the branch has."""
        if entries:
            with index_lock(self.repository):
                ready = self.scratch.next_index(entries, whole=False)
                replace_index(self.repository, ready)

    def withdraw(self, entries: Entries) -> None:
        """Give the work tree back what it had at paths whose new state went to a branch."""
        tracked = [path for path in entries if self.tree.has_file(path)]
        for path, entry in entries.items():
            if entry and path not in tracked:
                _remove(self.repository.path, path)
        if tracked:
            self._check_out(tracked)
        if any(self.tree.is_pointer(self.tree.entry(path)) for path in tracked):
            # Git has written pointers, which git-annex fills as after every checkout.
            self.repository.git("annex", "smudge", "--update")

    def _check_out(self, paths: Iterable[str]) -> None:
        """Have files as the index has them, which keeps their new times and sizes.

        Git's own lock would be left behind, and be in the way of the user, were it killed here.
        """
        stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
        with index_lock(self.repository):
            ready = self.scratch.next_index({}, whole=False)
            asked = ("checkout-index", "-f", "-u", "-z", "--stdin")
            self.repository.git(*asked, stdin=stdin, index=ready)
            replace_index(self.repository, ready)

    def clear(self) -> None:
        """Remove what a process left that was killed; for callers that hold the save lock."""
        remove_leftovers(self.repository)
        remove_stale_lock(self.repository)


@contextlib.contextmanager
def checked_out(name: str, path: Path) -> Iterator[Checkout]:
    """Open a repository of the hierarchy."""
    repository = Repository.find(path)
    with reading_tree(repository) as tree, scratch_index(repository) as scratch:
        yield Checkout(name, repository, tree, scratch)


def catch_up(checkout: Checkout, claimed: Sequence[tuple[Claim, ...]], inner: set[str]) -> None:
    """Bring the user's index to the tip below the claims of jobs whose commit was made.

    Parameters
    ----------
    claimed:
      The claims of these jobs.
    inner:
      Subdatasets with outputs, relative to the dataset's root.
    """
    wanted: Entries = {}
    covered = CoveredFiles(claim for claims in claimed for claim in claims)
    for path in differences(checkout.repository):
        full = Place(checkout.name, path).full
        if full in inner or full in covered:
            wanted[path] = checkout.tree.entry(path)
    checkout.follow(wanted)


def _only(entries: Entries, paths: Container[str]) -> Entries:
    return {path: entry for path, entry in entries.items() if path in paths}


def _remove(top: Path, path: str) -> None:
    (top / path).unlink(missing_ok=True)
    folder = (top / path).parent
    with contextlib.suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent
