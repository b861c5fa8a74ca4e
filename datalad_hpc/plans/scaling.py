"""Pure: multiples of what a job asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.plans.resources import rivals_of
from datalad_hpc.sizes import limit_of

Factors = Mapping[str, Fraction]
"""By name: see :data:`NAMES`."""

NAMES = {"mem": "mem", "memory": "mem", "time": "time", "cpus": "cpus-per-task"}
"""What can be multiplied, and the option of sbatch that is meant."""

MOST = 1000
"""The largest factor: more would be a typing error."""

NO_LIMIT = ("", "unlimited", "infinite", "-1", "0")
"""Times of a job without a limit: see ``--time`` in sbatch(1)."""

_FACTOR = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGTP]?)(?:i?B)?([nc]?)", re.ASCII | re.I)


def read_factors(words: Iterable[str]) -> dict[str, Fraction]:
    """What is to be multiplied by what.

    Parameters
    ----------
    words:
      Such as ``mem=2``, with several of them in one text if need be.

    Raises
    ------
    BadRequest
      One cannot be understood.
    """
    factors: dict[str, Fraction] = {}
    for word in " ".join(words).split():
        name, _, factor = word.partition("=")
        if name not in NAMES or not _FACTOR.fullmatch(factor):
            raise BadRequest(
                f"--scale: {word!r} cannot be understood; understood are mem=FACTOR, time=FACTOR "
                "and cpus=FACTOR, such as mem=2 or time=1.5"
            )
        if not 0 < Fraction(factor) <= MOST:
            raise BadRequest(f"--scale: {word!r} is no factor between 0 and {MOST}")
        factors[NAMES[name]] = Fraction(factor)
    return factors


def scaled(
    factors: Factors, asked: Mapping[str, str], given: Mapping[str, Any] | None
) -> dict[str, str]:
    """Options that ask for a multiple; none for a time without a limit, beside others.

    Parameters
    ----------
    asked:
      Options of sbatch by their long names.
    given:
      Facts of the scheduler, as in :attr:`.JobStatus.facts`; ``None`` where nobody asked it, so
      that there may be a limit.

    Raises
    ------
    BadRequest
      Something was not asked for, or cannot be multiplied.
    """
    options = {}
    for meant, factor in factors.items():
        name = next((each for each in rivals_of(meant) if each in asked), meant)
        value = asked.get(name) or _given(name, given or {})
        if name == "time" and given is not None and len(factors) > 1 and value.lower() in NO_LIMIT:
            continue
        text = _MULTIPLIED[meant](value, factor)
        if text is None:
            raise BadRequest(
                f"{name}={value} cannot be multiplied; say what the job is to get with "
                f"--resources ({name}=...)"
                if value
                else f"the job asked for no {name}, and its scheduler does not tell what it got, "
                f"so there is nothing to multiply; use --resources ({name}=...)"
            )
        options[name] = text
    return options


def _given(name: str, given: Mapping[str, Any]) -> str:
    """What the scheduler gave to a job that did not ask."""
    told = {
        "mem": given.get("requested_memory", "") if _on_one_node(given) else "",
        "time": _clock(int(given["time_limit"])) if given.get("time_limit") else "",
        "cpus-per-task": "1",
    }
    return str(told.get(name) or "")


def _on_one_node(given: Mapping[str, Any]) -> bool:
    """Accounting tells the memory on all nodes together; sbatch is asked for that of each."""
    return given.get("requested_nodes") in (None, 1)


def _memory(text: str, factor: Fraction) -> str | None:
    found = _MEMORY.fullmatch(text)
    if not found or not Fraction(found[1]) or found[3]:
        return None
    unit = found[2].upper() or "M"
    megabytes = ceil(Fraction(found[1]) * Fraction(1024) ** ("KMGTP".index(unit) - 1) * factor)
    return f"{megabytes // 1024}G" if megabytes % 1024 == 0 else f"{megabytes}M"


def _time(text: str, factor: Fraction) -> str | None:
    seconds = limit_of(text)
    return _clock(ceil(seconds * factor)) if seconds else None


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{f'{days}-' * bool(days)}{hour:02}:{minute:02}:{second:02}"


def _number(text: str, factor: Fraction) -> str | None:
    return str(ceil(int(text) * factor)) if text.isdecimal() and int(text) else None


_MULTIPLIED: Mapping[str, Callable[[str, Fraction], str | None]] = {
    "mem": _memory,
    "time": _time,
    "cpus-per-task": _number,
}
