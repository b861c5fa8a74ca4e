"""What a job did below its claims: files that are new, changed or gone against the tip."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datalad_hpc.claims import matches
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import LINK, SUBDATASET, Entry, TreeReader
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator, Place

ANNEX_OBJECTS = "annex/objects/"


@dataclass
class Changes:
    """Paths relative to one repository's top, by what has to be done with them."""

    present: dict[str, bool] = field(default_factory=dict)
    """Every file that is there and belongs to the job; true where it has to be hashed."""
    unlocked: set[str] = field(default_factory=set)
    """Those to be hashed that are unlocked annexed files in Git, and have to stay so."""
    gone: set[str] = field(default_factory=set)
    """Files that the tip has and the job deleted."""
    removed: dict[str, str] = field(default_factory=dict)
    """Links to content that is not here, taken away before the job: path to target."""
    strangers: set[str] = field(default_factory=set)
    """Tops of repositories that are no subdatasets."""
    special: set[str] = field(default_factory=set)
    """Sockets, pipes and devices, which Git cannot hold."""

    @property
    def to_hash(self) -> list[str]:
        """Files to be hashed, in order."""
        return sorted(path for path, changed in self.present.items() if changed)


class ChangeFinder:
    """Compares claims with the tip of one repository."""

    def __init__(self, repository: Repository, tree: TreeReader, locator: Locator) -> None:
        """Take the repository, its tip's tree, and the locator of the whole dataset."""
        self._repository = repository
        self._tree = tree
        self._locator = locator

    def changes(self, claims: Iterable[Claim], found: Iterable[Found]) -> Changes:
        """What a job did in this repository.

        Parameters
        ----------
        claims:
          The job's claims, relative to the dataset's root.
        found:
          The files of those claims that exist in this repository.
        """
        changes = Changes()
        for item in found:
            self._sort_in(item, changes)
        for place, entry in self._tracked(claims):
            if place.path not in changes.present and entry.mode != SUBDATASET:
                self._sort_missing(place, entry, changes)
        return changes

    def _sort_in(self, item: Found, changes: Changes) -> None:
        path = item.place.path
        if item.status is None:
            return
        if not (stat.S_ISREG(item.status.st_mode) or stat.S_ISLNK(item.status.st_mode)):
            changes.special.add(path)
            return
        entry = self._tree.entry(path)
        changes.present[path] = self._differs(item, entry)
        if self._repository.is_annex and self._tree.is_pointer(entry):
            changes.unlocked.add(path)

    def _differs(self, item: Found, entry: Entry | None) -> bool:
        """Whether a file has to be hashed; a link is compared here and now."""
        assert item.status
        if entry is None or entry.mode != LINK or not stat.S_ISLNK(item.status.st_mode):
            return True
        target = os.fsencode(os.readlink(self._repository.path / item.place.path))
        return self._repository.object_id("blob", target) != entry.oid

    def _tracked(self, claims: Iterable[Claim]) -> Iterator[tuple[Place, Entry]]:
        top = os.path.relpath(self._repository.path, self._locator.root)
        own = "" if top == "." else top
        for claim in claims:
            for start in self._locator.starts(claim):
                inner = _inner(start, own)
                if inner is None:
                    continue
                for path, entry in self._tree.below(inner):
                    place = Place(own, path)
                    if matches(claim, place.full):
                        yield place, entry

    def _sort_missing(self, place: Place, entry: Entry, changes: Changes) -> None:
        if os.path.lexists(self._repository.path / place.path):
            return
        target = self._absent_target(place.path, entry)
        if target:
            changes.removed[place.path] = target
        else:
            changes.gone.add(place.path)

    def _absent_target(self, path: str, entry: Entry) -> str:
        """The target of an annexed link whose content is not here, else nothing."""
        if entry.mode != LINK:
            return ""
        target = os.fsdecode(self._tree.content(entry.oid))
        content = os.path.normpath(self._repository.path / Path(path).parent / target)
        if ANNEX_OBJECTS not in target or os.path.lexists(content):
            return ""
        return target


@dataclass(frozen=True)
class Found:
    """A file of a job that exists; no status stands for the top of a repository."""

    place: Place
    status: os.stat_result | None


def _inner(start: Place, repository: str) -> str | None:
    """Where to start within a repository; ``None`` if the start is not at or above it."""
    if start.repository == repository:
        return start.path
    above = f"{start.full}/" if start.full else ""
    return "" if repository.startswith(above) else None
