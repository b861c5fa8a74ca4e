"""Pure: paths and globs as patterns, what they match and where two of them meet.

A glob means what it means to Python's ``glob`` with ``recursive=True``. Whatever
is walked here remembers where it has been: the number of ways through several
``**`` or ``*`` grows exponentially.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_MAGIC = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")
"""A glob character as ``glob.escape`` writes it."""

DEEP = "**"
"""Component of a glob that stands for any number of folders."""

Names = tuple[str, ...]


class Part(NamedTuple):
    """One component of a path or of a glob."""

    text: str
    is_glob: bool

    @property
    def is_deep(self) -> bool:
        """Whether it stands for any number of components."""
        return self.is_glob and self.text == DEEP


Pattern = tuple[Part, ...]


def has_magic(path: str) -> bool:
    """Whether a path holds a character that a glob gives a meaning to."""
    return bool(_MAGIC.search(path))


def before_magic(path: str) -> str:
    """The text up to the first character that a glob gives a meaning to."""
    return _MAGIC.split(path, maxsplit=1)[0]


def split_glob(path: str) -> tuple[str, str]:
    """The leading part of a path without glob characters, and the rest (empty for no glob)."""
    parts = path.split("/")
    for position, part in enumerate(parts):
        if has_magic(part):
            return "/".join(parts[:position]), "/".join(parts[position:])
    return path, ""


def top_of(glob: str) -> str:
    """The path that all matches of a glob lie at or beneath, as far as its text tells."""
    names = []
    for part in glob.split("/"):
        if has_magic(_ESCAPED.sub("", part)):
            break
        names.append(_ESCAPED.sub(r"\1", part))
    return "/".join(names)


def names_of(path: str) -> Names:
    """The components of a path; none for the root."""
    return tuple(name for name in path.split("/") if name not in ("", "."))


@lru_cache(maxsize=65536)
def literal_pattern(path: str) -> Pattern:
    """A path that means what it says, whatever characters it has."""
    return tuple(Part(name, False) for name in names_of(path))


@lru_cache(maxsize=65536)
def glob_pattern(path: str) -> Pattern:
    """A path whose components may be globs."""
    names = names_of(path)
    if all(name == DEEP for name in names):
        # Not the root itself, so that what is hidden there stays out.
        return (Part("*", True),)
    return tuple(Part(name, has_magic(name)) for name in names)


def covers(pattern: Pattern, names: Names) -> bool:
    """Whether a glob matches a path or a folder above it."""
    positions = _with_skips(pattern, {0})
    for name in names:
        positions = _with_skips(
            pattern,
            {
                position + (not pattern[position].is_deep)
                for position in positions
                if _parts_meet(pattern[position], Part(name, False))
            },
        )
        if len(pattern) in positions:
            return True
    return False


def _with_skips(pattern: Pattern, positions: set[int]) -> set[int]:
    """The positions, and those behind each ``**``, which may stand for nothing."""
    found = set(positions)
    for position in positions:
        while position < len(pattern) and pattern[position].is_deep:
            position += 1
            found.add(position)
    return found


def patterns_meet(one: Pattern, other: Pattern) -> bool:
    """Whether a path exists that both cover; the end of a pattern covers all beneath it."""
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        here = waiting.pop()
        if here[0] == len(one) or here[1] == len(other):
            return True
        if here not in seen:
            seen.add(here)
            waiting += _meeting_steps(one, other, *here)
    return False


def _meeting_steps(
    one: Pattern, other: Pattern, left: int, right: int
) -> Iterator[tuple[int, int]]:
    deep_left, deep_right = one[left].is_deep, other[right].is_deep
    if deep_left:
        yield left + 1, right
    if deep_right:
        yield left, right + 1
    if _parts_meet(one[left], other[right]) and not (deep_left and deep_right):
        yield left + (not deep_left), right + (not deep_right)


def _parts_meet(one: Part, other: Part) -> bool:
    if one.is_glob and other.is_glob:
        return _globs_meet(one.text, other.text)
    if one.is_glob:
        return part_matches(one.text, other.text)
    if other.is_glob:
        return part_matches(other.text, one.text)
    return one.text == other.text


def part_matches(pattern: str, name: str) -> bool:
    """One component, by the rules of Python's glob: a leading dot is to be spelled out."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, pattern)


# Globs of one component as sequences of tokens. A token is the characters that
# it matches, or that it excludes; a star is no token but None.


class Chars(NamedTuple):
    """One character: one of the members, or if ``excluded`` any other."""

    excluded: bool
    members: frozenset[str]

    def meets(self, other: Chars) -> bool:
        """Whether a character exists that both match."""
        if self.excluded and other.excluded:
            return True
        if self.excluded:
            return bool(other.members - self.members)
        if other.excluded:
            return bool(self.members - other.members)
        return bool(self.members & other.members)

    def without_dot(self) -> Chars:
        """The same, but no dot."""
        members = self.members | {"."} if self.excluded else self.members - {"."}
        return Chars(self.excluded, members)


_ANY = Chars(True, frozenset())

Tokens = tuple[Chars | None, ...]


@lru_cache(maxsize=65536)
def _globs_meet(one: str, other: str) -> bool:
    """Whether a name exists that two globs of one component match."""
    hidden = one.startswith(".")
    if hidden != other.startswith("."):
        return False
    left, right = _tokens(one), _tokens(other)
    seen: set[tuple[int, int, bool]] = set()
    # The third says whether a dot would not be a leading one (any more).
    waiting = [(0, 0, hidden)]
    while waiting:
        here = waiting.pop()
        if here[:2] == (len(left), len(right)):
            return True
        if here not in seen:
            seen.add(here)
            waiting += _token_steps(left, right, *here)
    return False


def _token_steps(
    one: Tokens, other: Tokens, left: int, right: int, dot: bool
) -> Iterator[tuple[int, int, bool]]:
    star_left = left < len(one) and one[left] is None
    star_right = right < len(other) and other[right] is None
    if star_left:
        yield left + 1, right, dot
    if star_right:
        yield left, right + 1, dot
    if left < len(one) and right < len(other):
        char = one[left] or _ANY
        if (char if dot else char.without_dot()).meets(other[right] or _ANY):
            yield left + (not star_left), right + (not star_right), True


@lru_cache(maxsize=65536)
def _tokens(part: str) -> Tokens:
    tokens: list[Chars | None] = []
    position = 0
    while position < len(part):
        token, position = _next_token(part, position)
        tokens.append(token)
    return tuple(tokens)


def _next_token(part: str, position: int) -> tuple[Chars | None, int]:
    char = part[position]
    if char == "*":
        return None, position + 1
    if char == "?":
        return _ANY, position + 1
    if char == "[":
        # "]" as the first member is a member, as in fnmatch.
        start = position + 2 if part[position + 1 : position + 2] == "!" else position + 1
        end = part.find("]", start + 1)
        if end > 0:
            return _set_token(part[position + 1 : end]), end + 1
    return Chars(False, frozenset(char)), position + 1


def _set_token(members: str) -> Chars:
    negated = members.startswith("!")
    return Chars(negated, frozenset(_set_members(members[negated:])))


def _set_members(members: str) -> Iterator[str]:
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            yield from map(chr, range(ord(members[position]), ord(members[position + 2]) + 1))
            position += 3
        else:
            yield members[position]
            position += 1
