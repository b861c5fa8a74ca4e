"""What came out: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

Samples = dict[str, list[float]]
"""All measured values, by what was measured."""


@dataclass(frozen=True)
class Finding:
    """One row of the table: a figure beside its target."""

    scenario: str
    what: str
    value: float
    limit: float
    unit: str
    """What the figure counts, such as ``× floor`` or ``s``."""
    at_least: bool = False
    """Whether more is better."""
    samples: Samples = field(default_factory=dict)
    note: str = ""
    """What a reader has to know of how it was measured."""

    @property
    def is_ok(self) -> bool:
        """Whether the target was reached."""
        return self.share <= 1

    @property
    def share(self) -> float:
        """How much of what the target allows was used: 1 is all of it."""
        if self.at_least:
            return self.limit / max(self.value, 1e-9)
        return max(self.value, 0.0) / self.limit

    @property
    def target(self) -> str:
        """The target in words."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"

    @property
    def measured(self) -> str:
        """The figure in words."""
        return (
            f"{self.value:.3g} {self.unit}"
            if self.value < 1000
            else f"{self.value:.0f} {self.unit}"
        )


def middle(samples: Samples, name: str) -> float:
    """The median of one side's values."""
    return median(samples[name])
