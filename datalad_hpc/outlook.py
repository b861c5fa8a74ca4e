"""Why a task waits, and whether it can ever start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Chance(str, Enum):
    """What is to come of a task that waits."""

    WAITS = "waits"
    """It starts by itself, sooner or later."""
    HELD = "held"
    """It can start once somebody lets it."""
    NEVER = "never"
    """It cannot start as it was asked for."""
    UNKNOWN = "unknown"
    """That cannot be told."""


@dataclass(frozen=True)
class Outlook:
    """Whether a task that waits can ever start."""

    chance: Chance
    why: str = ""
    """What it waits for, in words that go on after "it"; empty where nobody knows."""
    advice: str = ""
    """What to do, if anything helps; ``{job}`` stands for the job's id."""

    @property
    def can_start(self) -> bool | None:
        """Whether it starts without anybody doing something; ``None`` where nobody knows."""
        return None if self.chance is Chance.UNKNOWN else self.chance is Chance.WAITS


UNKNOWN = Outlook(Chance.UNKNOWN)
