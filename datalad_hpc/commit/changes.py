"""What a job did below its claims: files that are new, changed or gone against the tip."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from datalad_hpc.claims import CoveredFiles, reaches, stem_of
from datalad_hpc.commit.annexing import Locking
from datalad_hpc.commit.head import common_git_dir
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import ANNEX_OBJECTS, LINK, SUBDATASET, Entry, TreeReader
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator, Place, is_gits_own


@dataclass
class Changes:
    """Paths relative to one repository's top, by what has to be done with them."""

    present: dict[str, bool] = field(default_factory=dict)
    """Every file that is there and belongs to the job; true where it has to be hashed."""
    locking: dict[str, Locking] = field(default_factory=dict)
    """How those are to be kept that the tip has as annexed files."""
    gone: set[str] = field(default_factory=set)
    """Files that the tip has and the job deleted."""
    removed: dict[str, str] = field(default_factory=dict)
    """Links to content that is not here, taken away before the job: path to target."""
    size: int = 0
    """Bytes of the files to be hashed."""
    special: set[str] = field(default_factory=set)
    """Sockets, pipes and devices, which Git cannot hold."""
    problems: set[str] = field(default_factory=set)
    """Why there are files that cannot be committed here."""

    @property
    def any(self) -> bool:
        """Whether there is or was a file of the job."""
        return bool(self.present or self.gone)

    def to_hash(self, locking: Locking | None = None) -> list[str]:
        """Files to be hashed, in order: all, or those to be kept in one way."""
        return sorted(
            path
            for path, changed in self.present.items()
            if changed and locking in (None, self.locking.get(path, Locking.AS_CONFIGURED))
        )


class ChangeFinder:
    """Compares claims with the tip of one repository."""

    def __init__(self, repository: Repository, tree: TreeReader, locator: Locator) -> None:
        """Take the repository, its tip's tree, and the locator of the whole dataset."""
        self._repository = repository
        self._tree = tree
        self._locator = locator
        self._obstacles: dict[str, str] = {}

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
            if item.status is not None:
                self._sort_in(item.place.path, item.status, changes)
        for place, entry in self._tracked(claims):
            if place.path not in changes.present and entry.mode != SUBDATASET:
                self._sort_missing(place.path, entry, changes)
        return changes

    def _sort_in(self, path: str, status: os.stat_result, changes: Changes) -> None:
        mode = status.st_mode
        obstacle = self._obstacle(os.path.dirname(path))
        if obstacle:
            changes.problems.add(obstacle)
        elif is_gits_own(path):
            changes.problems.add(
                f"{self._repository.path / path} has a name that Git takes for its own and "
                "refuses; rename it, or move it away, and run `datalad finish` again"
            )
        elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            changes.special.add(path)
        else:
            entry = self._tree.entry(path)
            changes.present[path] = self._differs(path, mode, entry)
            changes.size += status.st_size if changes.present[path] else 0
            if self._tree.is_pointer(entry):
                changes.locking[path] = Locking.UNLOCKED
            elif entry and entry.mode == LINK:
                changes.locking[path] = Locking.LOCKED

    def _obstacle(self, folder: str) -> str:
        """Why files below a folder are no files of this repository; empty if they are."""
        if not folder:
            return ""
        if folder not in self._obstacles:
            above = self._obstacle(os.path.dirname(folder))
            self._obstacles[folder] = above or self._obstacle_at(folder)
        return self._obstacles[folder]

    def _obstacle_at(self, folder: str) -> str:
        entry = self._tree.entry(folder)
        place = self._repository.path / folder
        if place.is_symlink():
            return f"{place} is a symbolic link, and what lies behind it cannot be committed"
        if entry and entry.mode == SUBDATASET:
            return (
                f"{place} is a subdataset that is not installed; move the files in it away, get "
                "it with `datalad get -n`, move them back and run `datalad finish` again"
            )
        return ""

    def _differs(self, path: str, mode: int, entry: Entry | None) -> bool:
        """Whether a file has to be hashed; a link is compared here and now."""
        if entry is None or entry.mode != LINK or not stat.S_ISLNK(mode):
            return True
        target = os.fsencode(os.readlink(self._repository.path / path))
        return self._repository.object_id("blob", target) != entry.oid

    def _tracked(self, claims: Iterable[Claim]) -> Iterator[tuple[Place, Entry]]:
        top = os.path.relpath(self._repository.path, self._locator.root)
        own = "" if top == "." else top
        # The globs of an array's tasks start at one folder, which is looked through once.
        of_start: dict[str, list[Claim]] = defaultdict(list)
        for claim in claims:
            for start in self._locator.starts(claim):
                inner = _inner(start, own)
                if inner is not None:
                    of_start[inner].append(claim)
        for inner, together in of_start.items():
            covered = CoveredFiles(together)
            enters = partial(_one_reaches, together, own)
            for path, entry in self._tree.below(inner, enters, _stem_within(together, own)):
                place = Place(own, path)
                if place.full in covered:
                    yield place, entry

    def _sort_missing(self, path: str, entry: Entry, changes: Changes) -> None:
        if self._is_there(path) or path in self._not_checked_out:
            return
        target = self._absent_target(path, entry)
        if target:
            changes.removed[path] = target
        else:
            changes.gone.add(path)

    def _is_there(self, path: str) -> bool:
        """Whether anything but a folder stands at a path."""
        full = self._repository.path / path
        if self._obstacle(os.path.dirname(path)):
            return False
        return os.path.lexists(full) and (full.is_symlink() or not full.is_dir())

    @cached_property
    def _not_checked_out(self) -> set[str]:
        return self._repository.not_checked_out()

    def _absent_target(self, path: str, entry: Entry) -> str:
        """The target of an annexed link whose content is not here, else nothing.

        Where something else has taken the place of the link or of its folder,
        it cannot have been us who took it away.
        """
        full = self._repository.path / path
        if entry.mode != LINK or os.path.lexists(full) or not _has_room(full):
            return ""
        if self._obstacle(os.path.dirname(path)):
            return ""
        target = os.fsdecode(self._tree.content(entry.oid))
        content = annexed_content(self._repository.path, path, target)
        return target if content and not content.exists() else ""


def annexed_content(top: Path, path: str, target: str) -> Path | None:
    """Where the content of a locked annexed file is, here or not; ``None`` for other links.

    Parameters
    ----------
    top, path:
      The repository's top, and the link relative to it.
    target:
      Where the link points to.
    """
    if ANNEX_OBJECTS not in target:
        return None
    # A link of somebody else's making may look like one, and lead anywhere.
    content = Path(os.path.normpath((top / path).parent / target))
    # In a worktree, and in some submodules, Git's folder is not where ".git" is.
    own = (top / ".git", common_git_dir(top))
    return content if any(content.is_relative_to(git / ANNEX_OBJECTS) for git in own) else None


def _has_room(full: Path) -> bool:
    """Whether the folder of a path exists, or could be made."""
    return next(parent for parent in full.parents if os.path.lexists(parent)).is_dir()


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


def _stem_within(claims: Iterable[Claim], repository: str) -> str:
    """What all that some claims cover in a repository begins with; see :func:`.stem_of`.

    One task's glob must not cost a look at what thousands of others have in the same folder.
    """
    stem = os.path.commonprefix([*map(stem_of, claims)])  # noqa: RUF071 (characters are meant)
    top = f"{repository}/" if repository else ""
    return stem.removeprefix(top) if stem.startswith(top) else ""


def _one_reaches(claims: Iterable[Claim], repository: str, folder: str) -> bool:
    full = Place(repository, folder).full
    return any(reaches(claim, full) for claim in claims)
