"""Pure rules of claims: which paths may a job reserve, and which reservations collide.

A claim covers its path and all that lies beneath it: a file could turn out to
be a folder, and a glob may match one. Paths are POSIX, relative to the
dataset's root; the root itself is the empty path, spelled ``.`` for people.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from datalad_hpc.globs import (
    Names,
    Pattern,
    before_magic,
    covers,
    glob_pattern,
    has_magic,
    literal_pattern,
    names_of,
    part_matches,
    patterns_meet,
)
from datalad_hpc.job import Claim, ClaimKind, ClaimRole
from datalad_hpc.nearness import Near, ends_of

_LAST = chr(sys.maxunicode)
_FIRST_SURROGATE = 0xD800
_AFTER_SURROGATES = "\ue000"
"""UTF-8 has no characters between the two."""

Span = tuple[str, str]
"""First and last text, both included."""


def claim_for(path: str, role: ClaimRole = ClaimRole.OUTPUT) -> Claim:
    """The claim of a normalised path; a trailing slash (or the root) makes it a folder."""
    if has_magic(path):
        return Claim(path.rstrip("/"), ClaimKind.GLOB, role)
    if path.endswith("/") or path in ("", "."):
        return Claim("" if path in ("", ".") else path.rstrip("/"), ClaimKind.FOLDER, role)
    return Claim(path, ClaimKind.FILE, role)


def shown(claim: Claim) -> str:
    """How a claim is shown to the user and stands in a record."""
    if claim.kind is ClaimKind.FOLDER:
        return claim.path + "/" if claim.path else "."
    return claim.path


def matches(claim: Claim, path: str) -> bool:
    """Whether a file at ``path`` is one of the claim's outputs.

    A glob means what it means to Python's ``glob`` (a leading dot is to be
    spelled out, ``**`` stands for any number of folders), and what its text
    names literally: ``a[1].txt`` is a legal file name.
    """
    names = names_of(path)
    literal = names_of(claim.path)
    if names[: len(literal)] == literal:
        return True
    if claim.kind is not ClaimKind.GLOB or not f"{path}/".startswith(_stem_of_glob(claim.path)):
        return False
    return covers(glob_pattern(claim.path), names)


def reaches(claim: Claim, folder: str) -> bool:
    """Whether something at or beneath a folder may be one of the claim's outputs."""
    return collide(claim, Claim(folder, ClaimKind.FOLDER))


def collide(one: Claim, other: Claim) -> bool:
    """Whether two claims could cover a common path.

    Never ``False`` where they do. ``True`` where they do not is possible only if
    one ends in a folder beneath which a glob asks for what cannot be, such as
    ``[z-a]`` or a file called ``..``.
    """
    return any(patterns_meet(left, right) for left in _readings(one) for right in _readings(other))


def stem_of(claim: Claim) -> str:
    """What each path that a claim covers begins with, once a slash is put behind the path.

    It is the claim's own text up to the first glob character. Without one it ends
    in a slash, so that ``out`` and ``out1`` have nothing in common; that of the root
    is empty. Two claims collide only if one's stem begins with the other's.
    """
    if claim.kind is ClaimKind.GLOB:
        return _stem_of_glob(claim.path)
    return _with_slashes(claim.path)


@lru_cache(maxsize=65536)
def _stem_of_glob(glob: str) -> str:
    return before_magic(_with_slashes(glob))


def _with_slashes(path: str) -> str:
    return "".join(f"{name}/" for name in names_of(path))


def beginning(claim: Claim, folder: str) -> str:
    """What the names in a folder begin with that lie on the way to the claim's outputs."""
    depth = len(names_of(folder))
    pattern = glob_pattern(claim.path) if claim.kind is ClaimKind.GLOB else ()
    if depth >= len(pattern) or any(part.is_deep for part in pattern[:depth]):
        return ""
    return before_magic(pattern[depth].text)


def spans_near(stems: Iterable[str]) -> list[Span] | None:
    """Where the stems lie that begin with one of these, or that one of these begins with.

    Returns
    -------
    list or None
      Spans in the order of characters (which is that of UTF-8's bytes), sorted, none within
      another. What ends a span may be near by its spelling only. ``None``: all stems are near.
    """
    wanted = {stem.rstrip(_LAST) for stem in stems}
    if "" in wanted:
        return None
    beginnings = {stem[:length] for stem in wanted for length in range(len(stem))}
    found: list[Span] = []
    for first in sorted(wanted | beginnings):
        last = _behind(first) if first in wanted else first
        if not found or last > found[-1][1]:
            found.append((first, last))
    return found


def _behind(stem: str) -> str:
    """The least text of its length that is greater than all that begin with ``stem``."""
    code = ord(stem[-1]) + 1
    return stem[:-1] + (_AFTER_SURROGATES if code == _FIRST_SURROGATE else chr(code))


class CoveredFiles:
    """The files that some claims cover, quick to ask for also where the claims are thousands."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        """Take the claims."""
        self._literal: set[Names] = set()
        self._globs: dict[str, list[Pattern]] = defaultdict(list)
        for claim in claims:
            self._literal.add(names_of(claim.path))
            if claim.kind is ClaimKind.GLOB:
                self._globs[stem_of(claim)].append(glob_pattern(claim.path))

    def __contains__(self, path: str) -> bool:
        """Whether one of the claims matches a file, as :func:`matches` says it of each."""
        names = names_of(path)
        if any(names[:length] in self._literal for length in range(len(names) + 1)):
            return True
        stems = (f"{path}/"[:length] for length in range(len(path) + 2)) if self._globs else ()
        near = (pattern for stem in stems for pattern in self._globs.get(stem, ()))
        return any(covers(pattern, names) for pattern in near)


def _depth(pattern: Pattern) -> int:
    """How many names a pattern stands for; 0 if any number."""
    return 0 if any(part.is_deep for part in pattern) else len(pattern)


def _last_name(pattern: Pattern) -> tuple[str, str]:
    """What the last name of what a pattern stands for begins and ends with, the end reversed."""
    last = pattern[-1] if pattern else None
    if last is None or last.is_deep:
        return "", ""
    return ends_of(last.text) if last.is_glob else (last.text, last.text[::-1])


class ClaimedPaths:
    """Claims that are held, kept as a tree so that asking is cheap however many there are."""

    def __init__(self, held: Iterable[tuple[Claim, str]]) -> None:
        """Take claims, each with the label of the job that holds it."""
        self._held: dict[Names, str] = {}
        self._at_or_below: dict[Names, str] = {}
        self._children: dict[Names, set[str]] = defaultdict(set)
        self._named: dict[Names, Near[str]] = {}
        self._globs: dict[int, Near[tuple[Pattern, str]]] = defaultdict(Near)
        for claim, holder in held:
            self._add(claim, holder)

    def _add(self, claim: Claim, holder: str) -> None:
        if claim.kind is ClaimKind.GLOB:
            for pattern in _readings(claim):
                of_depth = self._globs[_depth(pattern)]
                of_depth.add((stem_of(claim), *_last_name(pattern)), (pattern, holder))
            return
        names = names_of(claim.path)
        self._held[names] = holder
        for length in range(len(names) + 1):
            self._at_or_below.setdefault(names[:length], holder)
        for length, name in enumerate(names):
            self._children[names[:length]].add(name)

    def holder(self, claim: Claim) -> str | None:
        """The label of a job that holds something in the way of ``claim``, if any."""
        stem = stem_of(claim)
        for pattern in _readings(claim):
            found = self._holder_in_tree(pattern)
            if found is not None:
                return found
            for glob, holder in self._globs_near(stem, pattern):
                if patterns_meet(glob, pattern):
                    return holder
        return None

    def _globs_near(self, stem: str, pattern: Pattern) -> Iterator[tuple[Pattern, str]]:
        """Globs that could meet a pattern; those of the same depth end as it does."""
        depth = _depth(pattern)
        for other, globs in self._globs.items():
            same = depth == other != 0
            yield from globs.near((stem, *_last_name(pattern)) if same else (stem,))

    def _holder_in_tree(self, pattern: Pattern) -> str | None:
        """Walk down the tree as far as the pattern leads; only its own folders are looked at."""
        seen: set[tuple[Names, int]] = set()
        waiting: list[tuple[Names, int]] = [((), 0)] if self._at_or_below else []
        while waiting:
            at, position = waiting.pop()
            if at in self._held:
                return self._held[at]
            if position == len(pattern):
                return self._at_or_below[at]
            if (at, position) not in seen:
                seen.add((at, position))
                waiting += self._steps(at, position, pattern)
        return None

    def _steps(self, at: Names, position: int, pattern: Pattern) -> Iterator[tuple[Names, int]]:
        part = pattern[position]
        if not part.is_glob:
            below = (*at, part.text)
            if below in self._at_or_below:
                yield below, position + 1
            return
        if part.is_deep:
            yield at, position + 1
        for name in self._names_near(at, part.text):
            if part_matches(part.text, name):
                yield (*at, name), position + (not part.is_deep)

    def _names_near(self, at: Names, glob: str) -> Iterable[str]:
        """Names in a folder that could match a part of a pattern."""
        if at not in self._named:
            named = self._named[at] = Near()
            for name in self._children.get(at, ()):
                named.add((name, name[::-1]), name)
        return self._named[at].near(ends_of(glob))


def _readings(claim: Claim) -> Iterator[Pattern]:
    yield literal_pattern(claim.path)
    if claim.kind is ClaimKind.GLOB:
        yield glob_pattern(claim.path)
