"""Pure: sizes and spans of time ↔ the words for them."""

from __future__ import annotations

import re

SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}

MINUTE, HOUR, DAY = 60, 3600, 86400
"""Seconds."""

_DAYS = re.compile(r"(\d{1,6})-(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?", re.ASCII)
_CLOCK = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9})", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTPE]?)")


def bytes_of(text: str) -> int | None:
    """Bytes of a size such as ``112636K``, ``1.5M`` or ``115339264``; 0 was not measured."""
    match = _SIZE.fullmatch(text.strip())
    return int(float(match[1]) * SIZE_UNITS[match[2]]) or None if match else None


def size_text(size: float) -> str:
    """Bytes for people, in units as Slurm has them, 1024 each: ``3.1M``, ``16G``."""
    units = [(unit, factor) for unit, factor in SIZE_UNITS.items() if unit]
    unit, factor = next(
        ((unit, factor) for unit, factor in units if size / factor < 999.5), units[-1]
    )
    value = size / factor
    return f"{value:.1f}{unit}" if value < 9.95 and value != int(value) else f"{value:.0f}{unit}"


def limit_of(text: str) -> int:
    """Seconds of a time limit as sbatch takes it; 0 if it is none.

    ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` and ``D-H:M:S``: minutes, if there is neither a
    dash nor a colon. See ``--time`` in sbatch(1).
    """
    if found := _DAYS.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return days * DAY + hours * HOUR + minutes * MINUTE + seconds
    if not (found := _CLOCK.fullmatch(text)):
        return 0
    parts = [int(part) for part in found.groups() if part is not None]
    if len(parts) == 1:
        return parts[0] * MINUTE
    hours, minutes, seconds = (0, *parts)[-3:]
    return hours * HOUR + minutes * MINUTE + seconds


def span_text(seconds: float) -> str:
    """A span of time for people: ``0.4s``, ``3:07`` (minutes), ``2:00:00``, ``1-12:00:00``."""
    if seconds < MINUTE - 0.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    return clock_text(round(seconds))


def clock_text(seconds: int) -> str:
    """Whole seconds as Slurm writes them: ``0:04``, ``3:07``, ``2:00:00``, ``1-12:00:00``."""
    minutes, rest = divmod(seconds, MINUTE)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
