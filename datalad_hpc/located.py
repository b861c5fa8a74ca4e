"""Where outputs lie: which repository of the dataset's hierarchy a path belongs to.

A folder that holds ``.git`` is the top of a repository, as Git itself sees it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from datalad_hpc.claims import beginning, matches, reaches
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind

_GITS_OWN = re.compile(
    r"(?:.*\\)?(?:\.git|git~1|(?!(?-i:\.gitmodules)\Z)\.gitmodules)[ .]*(?:[\\:]|\Z)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
"""Names that Git takes for its own (verify_path in its source), whatever the file system here.

They are what Windows would open for ``.git``. Git refuses them, but its ``update-index`` says so
on standard error only, and git-annex counts such a file as added.
"""

_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
"""Characters that macOS leaves out of names: such a ``.git`` is an error to ``git fsck`` too."""

_NO_FOLDER = re.compile(
    r"(?:\.git(?:attributes|modules)|git(?:att|mod)~[1-4])[ .]*(?::|\Z)", re.ASCII | re.IGNORECASE
)
"""Files of Git's: as a folder each is an error to ``git fsck``, and so to whom it is pushed to."""


def is_gits_own(path: str) -> bool:
    """Whether Git refuses a path, since it lies in its own folder or seems to."""
    *folders, name = _UNSEEN.sub("", path).split("/")
    return any(map(_GITS_OWN.match, (*folders, name))) or any(map(_NO_FOLDER.match, folders))


@dataclass(frozen=True)
class Place:
    """A path within a repository; both relative and POSIX, empty for the top."""

    repository: str
    """The repository's top, relative to the dataset's root."""
    path: str
    """Relative to the repository's top."""

    @property
    def full(self) -> str:
        """Relative to the dataset's root."""
        return "/".join(filter(None, (self.repository, self.path)))


@dataclass
class Listing:
    """What there is below some claims."""

    files: dict[Place, os.stat_result | None] = field(default_factory=dict)
    """Each file once, though several claims may cover it; a repository's top has no status."""
    empty: list[Claim] = field(default_factory=list)
    """Claims without a file."""

    number: int = 0
    """How many files there are."""
    size: int = 0
    """Their bytes."""

    def enter(self, place: Place, status: os.stat_result | None) -> None:
        """Add a file, or the top of a repository unless a file is known there."""
        if self.files.get(place) is None:
            self.files[place] = status
            if status:
                self.number += 1
                self.size += status.st_size


class Folder:
    """What is in a folder, in order."""

    def __init__(self, path: Path) -> None:
        """List a folder."""
        with os.scandir(path) as entries:
            self._entries = {entry.name: entry for entry in entries}
        self._names = sorted(self._entries)

    def __contains__(self, name: str) -> bool:
        """Whether there is something of this name."""
        return name in self._entries

    def beginning_with(self, text: str) -> Iterator[os.DirEntry[str]]:
        """What has a name that begins so; the others are not looked at."""
        for name in islice(self._names, bisect_left(self._names, text), None):
            if not name.startswith(text):
                return
            yield self._entries[name]


@dataclass
class Locator:
    """Finds repositories and files below a dataset's root; remembers what it has seen."""

    root: Path
    _tops: dict[str, bool] = field(default_factory=dict)
    _folders: dict[str, Folder] | None = None
    """Folders that globs were looked for in, while listings are made."""

    def place(self, path: str) -> Place:
        """The repository that a path belongs to: the deepest one above it or at it."""
        parts = [part for part in path.split("/") if part]
        for length in range(len(parts), 0, -1):
            top = "/".join(parts[:length])
            if self._is_top(top):
                return Place(top, "/".join(parts[length:]))
        return Place("", "/".join(parts))

    def _is_top(self, path: str) -> bool:
        if path not in self._tops:
            folder = self.root / path
            self._tops[path] = not folder.is_symlink() and os.path.lexists(folder / ".git")
        return self._tops[path]

    def starts(self, claim: Claim) -> set[Place]:
        """The places from which a claim's outputs can be found by walking down."""
        starts = {self.place(claim.path)}
        if claim.kind is ClaimKind.GLOB:
            starts.add(self.place(top_of(claim.path)))
        return starts

    def listing(self, claims: Iterable[Claim]) -> Listing:
        """All files of some claims, and the repositories that they may have been in."""
        listing = Listing()
        with self.looking_once():
            for claim in claims:
                for start in self.starts(claim):
                    listing.enter(Place(start.repository, ""), None)
                is_empty = True
                for place, status in self.files(claim):
                    listing.enter(place, status)
                    is_empty = is_empty and status is None
                if is_empty:
                    listing.empty.append(claim)
        return listing

    @contextlib.contextmanager
    def looking_once(self) -> Iterator[None]:
        """Meanwhile what is in folders that globs are looked for in is taken for what it was.

        So it is for the listings of tasks that have all ended before the first one is made.
        """
        before = self._folders
        self._folders = {} if before is None else before
        try:
            yield
        finally:
            self._folders = before

    def files(self, claim: Claim) -> Iterator[tuple[Place, os.stat_result | None]]:
        """All files of a claim that exist, and the tops of repositories below it.

        Files come with their own status (links are not followed), each once; the
        top of a repository comes with ``None`` before its files. Folders in which
        nothing of the claim can be are not entered: a glob at the root must not
        cost a walk through the whole dataset.
        """
        seen: set[Place] = set()
        for start in self.starts(claim):
            for place, status in self._walk(start, claim):
                if place not in seen and (status is None or matches(claim, place.full)):
                    yield place, status
                if status:
                    seen.add(place)

    def _walk(self, place: Place, claim: Claim) -> Iterator[tuple[Place, os.stat_result | None]]:
        try:
            status = os.lstat(self.root / place.full)
        except (FileNotFoundError, NotADirectoryError):
            return
        if not stat.S_ISDIR(status.st_mode):
            yield place, status
            return
        if place.repository and not place.path:
            yield place, None
        yield from self._walk_folder(place, claim)

    def _walk_folder(
        self, place: Place, claim: Claim
    ) -> Iterator[tuple[Place, os.stat_result | None]]:
        if not reaches(claim, place.full):
            return
        folder = self._folder(place.full, claim)
        if ".git" in folder and place.path:
            self._tops[place.full] = True
            yield from self._walk(Place(place.full, ""), claim)
            return
        for entry in folder.beginning_with(beginning(claim, place.full)):
            below = Place(place.repository, f"{place.path}/{entry.name}".lstrip("/"))
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    yield from self._walk_folder(below, claim)
            elif entry.name != ".git":
                yield below, entry.stat(follow_symlinks=False)

    def _folder(self, path: str, claim: Claim) -> Folder:
        """A folder's content; kept where the globs of thousands of tasks are looked for."""
        if self._folders is None or claim.kind is not ClaimKind.GLOB:
            return Folder(self.root / path)
        if path not in self._folders:
            self._folders[path] = Folder(self.root / path)
        return self._folders[path]
