"""Pure: long lists in few words."""

from __future__ import annotations

from collections.abc import Sequence

MOST_SHOWN = 10
"""How many of an array's thousands of outputs a sentence names."""


def some_of(texts: Sequence[str]) -> str:
    """The first few of many texts, and how many more there are."""
    more = f" and {len(texts) - MOST_SHOWN:,} more" if len(texts) > MOST_SHOWN else ""
    return ", ".join(texts[:MOST_SHOWN]) + more


def ranges(indices: Sequence[int]) -> str:
    """Task indices in the form that ``sbatch --array`` takes: ``0-4,7``."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
