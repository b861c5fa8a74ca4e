"""What a check has found; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Standing(Enum):
    """Where something that we looked at stands; the value is shown to the user."""

    OK = "ok"
    MISSING = "missing"
    """It is not there, and nothing of ours needs it."""
    LIMITED = "limited"
    """It is there, and there is something that the user should know."""
    BROKEN = "broken"
    """Our commands, or the jobs, cannot work so."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    standing: Standing
    text: str
    """What was found, in a few words."""
    advice: str = ""
    """What to do, or what it means; empty where there is nothing to say."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """The same as data; JSON values only."""


@dataclass(frozen=True)
class Inspection:
    """What a scheduler says of itself and of the machine that asks it."""

    findings: tuple[Finding, ...] = ()
    runs_elsewhere: bool | None = None
    """Whether jobs run on other machines too; ``None`` where that is not known."""
