"""Pure rules of claims: which paths may a job reserve, and which reservations collide.

A claim covers its path and all that lies beneath it: a file could turn out to
be a folder, and a glob may match one. Paths are POSIX, relative to the
dataset's root; the root itself is the empty path, spelled ``.`` for people.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from datalad_hpc.job import Claim, ClaimKind, ClaimRole

_MAGIC = re.compile(r"[*?\[]")

Parts = tuple[str, ...]


def has_magic(path: str) -> bool:
    """Whether a path holds a character that a glob gives a meaning to."""
    return bool(_MAGIC.search(path))


def split_glob(path: str) -> tuple[str, str]:
    """The leading part of a path without glob characters, and the rest (empty for no glob)."""
    parts = path.split("/")
    for position, part in enumerate(parts):
        if has_magic(part):
            return "/".join(parts[:position]), "/".join(parts[position:])
    return path, ""


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
    """Whether a file at ``path`` is one of the claim's outputs."""
    literal = _parts(claim.path)
    parts = _parts(path)
    if parts[: len(literal)] == literal:
        return True
    return claim.kind is ClaimKind.GLOB and _glob_covers(literal, parts)


def _glob_covers(pattern: Parts, path: Parts) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_glob_covers(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    if not path or not _part_matches(pattern[0], path[0]):
        return False
    return _glob_covers(pattern[1:], path[1:])


def _part_matches(pattern: str, name: str) -> bool:
    """One component, by the rules of Python's glob: a leading dot is to be spelled out."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, pattern)


def collide(one: Claim, other: Claim) -> bool:
    """Whether two claims could cover a common path."""
    return any(_intersect(left, right) for left in _readings(one) for right in _readings(other))


class ClaimedPaths:
    """Claims that are held, ordered so that asking is cheap however many there are."""

    def __init__(self, held: Iterable[tuple[Claim, str]]) -> None:
        """Take claims, each with the label of the job that holds it."""
        self._literal: dict[Parts, str] = {}
        self._above: dict[Parts, str] = {}
        self._globs: list[tuple[Claim, str]] = []
        for claim, holder in held:
            self._add(claim, holder)

    def _add(self, claim: Claim, holder: str) -> None:
        if claim.kind is ClaimKind.GLOB:
            self._globs.append((claim, holder))
            return
        parts = _parts(claim.path)
        self._literal[parts] = holder
        for length in range(len(parts) + 1):
            self._above.setdefault(parts[:length], holder)

    def holder(self, claim: Claim) -> str | None:
        """The label of a job that holds something in the way of ``claim``, if any."""
        if claim.kind is ClaimKind.GLOB:
            return self._holder_of_glob(claim)
        parts = _parts(claim.path)
        if parts in self._above:
            return self._above[parts]
        for length in range(len(parts)):
            if parts[:length] in self._literal:
                return self._literal[parts[:length]]
        return next((who for glob, who in self._globs if collide(glob, claim)), None)

    def _holder_of_glob(self, claim: Claim) -> str | None:
        for parts, who in self._literal.items():
            if any(_intersect(reading, _escaped(parts)) for reading in _readings(claim)):
                return who
        return next((who for glob, who in self._globs if collide(glob, claim)), None)


# Collision of patterns. A component is a tuple of tokens; "**" stands for any
# number of components.

_ANY = "any"
_STAR = "star"

Token = str | frozenset[str] | tuple[str, frozenset[str]]
Tokens = tuple[Token, ...]


def _readings(claim: Claim) -> Iterator[tuple[Tokens | None, ...]]:
    """A glob is also taken literally: ``a[1].txt`` is a legal file name."""
    yield _escaped(_parts(claim.path))
    if claim.kind is ClaimKind.GLOB:
        yield tuple(None if part == "**" else _tokens(part) for part in _parts(claim.path))


@lru_cache(maxsize=65536)
def _escaped(parts: Parts) -> tuple[Tokens, ...]:
    return tuple(tuple(frozenset(char) for char in part) for part in parts)


def _intersect(one: Sequence[Tokens | None], other: Sequence[Tokens | None]) -> bool:
    """Whether a path exists that both cover; the end of a pattern covers all beneath it."""
    if not one or not other:
        return True
    if one[0] is None:
        return _intersect(one[1:], other) or _intersect(one, other[1:])
    if other[0] is None:
        return _intersect(one, other[1:]) or _intersect(one[1:], other)
    return _parts_intersect(one[0], other[0]) and _intersect(one[1:], other[1:])


@lru_cache(maxsize=65536)
def _parts_intersect(one: Tokens, other: Tokens) -> bool:
    if not one and not other:
        return True
    if one and one[0] == _STAR:
        return _parts_intersect(one[1:], other) or bool(other and _parts_intersect(one, other[1:]))
    if other and other[0] == _STAR:
        return _parts_intersect(other, one)
    if not one or not other:
        return False
    return _chars_intersect(one[0], other[0]) and _parts_intersect(one[1:], other[1:])


def _chars_intersect(one: Token, other: Token) -> bool:
    if _ANY in (one, other):
        return True
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return bool(one & other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return True
    excluded, wanted = (one, other) if isinstance(one, tuple) else (other, one)
    assert isinstance(excluded, tuple)
    assert isinstance(wanted, frozenset)
    return bool(wanted - excluded[1])


@lru_cache(maxsize=65536)
def _tokens(part: str) -> Tokens:
    tokens: list[Token] = []
    position = 0
    while position < len(part):
        token, position = _next_token(part, position)
        tokens.append(token)
    return tuple(tokens)


def _next_token(part: str, position: int) -> tuple[Token, int]:
    char = part[position]
    if char == "*":
        return _STAR, position + 1
    if char == "?":
        return _ANY, position + 1
    if char == "[":
        # "]" as the first member is a member, as in fnmatch.
        start = position + 2 if part[position + 1 : position + 2] == "!" else position + 1
        end = part.find("]", start + 1)
        if end > 0:
            return _set_token(part[position + 1 : end]), end + 1
    return frozenset(char), position + 1


def _set_token(members: str) -> Token:
    negated = members.startswith("!")
    chars = frozenset(_set_members(members[negated:]))
    return ("not", chars) if negated else chars


def _set_members(members: str) -> Iterator[str]:
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            yield from map(chr, range(ord(members[position]), ord(members[position + 2]) + 1))
            position += 3
        else:
            yield members[position]
            position += 1


def _parts(path: str) -> Parts:
    return tuple(part for part in path.split("/") if part not in ("", "."))
