"""Pure: long lists in few words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

MOST_SHOWN = 10
"""How many of an array's thousands of outputs a sentence names."""

MOST_CHARACTERS = 1000


def some_of(texts: Sequence[str], separator: str = ", ") -> str:
    """The first few of many texts, and how many more there are."""
    return separator.join(texts[:MOST_SHOWN]) + _and_more(len(texts) - MOST_SHOWN)


def _and_more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""


def shortened(text: str) -> str:
    """Words of another program, which now and then prints the content of files among them."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def some_tasks(indices: Collection[int]) -> str:
    """Tasks of an array in few words: ``task 3``, ``tasks 0-4,7``, with the first few ranges."""
    shown = _spans(indices)[:MOST_SHOWN]
    more = _and_more(len(indices) - sum(last - first + 1 for first, last in shown))
    return f"task{'s' if len(indices) > 1 else ''} {_written(shown)}{more}"


def ranges(indices: Collection[int]) -> str:
    """Task indices in the form that ``sbatch --array`` takes: ``0-4,7``."""
    return _written(_spans(indices))


def _spans(indices: Collection[int]) -> list[list[int]]:
    """First and last index of each range."""
    spans: list[list[int]] = []
    for index in sorted(set(indices)):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return spans


def _written(spans: Sequence[Sequence[int]]) -> str:
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
