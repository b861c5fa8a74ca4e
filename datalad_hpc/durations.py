"""Pure: how long something takes, as it is typed and as it is read."""

from __future__ import annotations

import re

from datalad_hpc.errors import BadRequest

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)
_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d)", re.ASCII)


def seconds_of(text: str, where: str) -> float:
    """Seconds of a duration such as ``90``, ``90s``, ``15m``, ``2h``, ``1d`` or ``2:30:00``.

    Parameters
    ----------
    where:
      Where it was given, for the sentence.

    Raises
    ------
    BadRequest
      It cannot be understood; ``3:00`` could be minutes or hours.
    """
    word = text.strip().lower()
    if found := _NUMBER.fullmatch(word):
        return float(found[1]) * _UNITS[found[2]]
    if found := _CLOCK.fullmatch(word):
        hours, minutes, seconds = map(int, found.groups())
        return 3600.0 * hours + 60 * minutes + seconds
    raise BadRequest(
        f"{where} is {text!r}, which is no duration; understood are seconds ('90'), a number with "
        "a unit ('90s', '15m', '2h', '1d') and hours:minutes:seconds ('2:30:00')"
    )


def in_words(seconds: float) -> str:
    """A duration for people, in the largest unit that gives a whole number."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds and seconds % size == 0:
            number = int(seconds // size)
            return f"{number} {unit}{'s' * (number != 1)}"
    return f"{seconds:g} second{'s' * (seconds != 1)}"
