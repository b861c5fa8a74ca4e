"""Pure: what is kept under several texts is found by that one which the fewest others are like."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Generic, TypeVar

from datalad_hpc.globs import before_magic

Entry = TypeVar("Entry")

_MAGIC_ENDS = re.compile(r"[*?\]]")
"""Behind the last of these a glob is what it says."""


def ends_of(glob: str) -> tuple[str, str]:
    """What all names begin and end with that a glob without a slash matches, the end reversed."""
    return before_magic(glob), _MAGIC_ENDS.split(glob)[-1][::-1]


class _Texts(dict[str, list[Entry]], Generic[Entry]):
    """Entries by one text."""

    @cached_property
    def _order(self) -> list[str]:
        return sorted(self)

    def near(self, text: str) -> Iterator[list[Entry]]:
        """Entries whose text begins with this one, or that this one begins with."""
        for length in range(len(text)):
            if text[:length] in self:
                yield self[text[:length]]
        for other in islice(self._order, bisect_left(self._order, text), None):
            if not other.startswith(text):
                break
            yield self[other]


class Near(Generic[Entry]):
    """Entries with the same number of texts each; all are added before the first is asked for."""

    def __init__(self) -> None:
        """Begin without entries."""
        self._by: list[_Texts[Entry]] = []

    def add(self, texts: Sequence[str], entry: Entry) -> None:
        """Keep an entry under its texts."""
        self._by = self._by or [_Texts() for _ in texts]
        for by, text in zip(self._by, texts, strict=True):
            by.setdefault(text, []).append(entry)

    def near(self, texts: Sequence[str]) -> Iterator[Entry]:
        """Entries of which some text goes on where this one ends, or the other way round.

        All those are among them for which that is so with each of the texts; texts
        at the end may be left out.
        """
        fewest, few = sys.maxsize, list[list[Entry]]()
        for by, text in zip(self._by, texts, strict=False):
            number, found = 0, list[list[Entry]]()
            for entries in by.near(text):
                number += len(entries)
                found.append(entries)
                if number >= fewest:
                    break
            else:
                fewest, few = number, found
        return chain.from_iterable(few)
