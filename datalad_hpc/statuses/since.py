"""A point in time as people write it."""

from __future__ import annotations

from datetime import datetime, timezone

from datalad_hpc import process
from datalad_hpc.errors import BadRequest

_ITEM = "datalad.hpc.since"
"""Only while Git reads it."""

_LAST = 253402300799
"""The end of the year 9999: Git has numbers beyond any time for "now"."""


def point_in_time(text: str) -> datetime:
    """A time in UTC: as ISO 8601 has it, or in words that Git reads ("2 days ago", "yesterday").

    A date alone is its first moment; without a time zone it is that of this machine.

    Raises
    ------
    BadRequest
      It is no time.
    """
    try:
        # Git would take the present time of day for that of a date.
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    argv = ["git", "-c", f"{_ITEM}={text}", "config", "--type=expiry-date", _ITEM]
    ended = process.run(argv, folder="/")
    seconds = ended.output.decode().strip()
    if ended.code or not seconds.isdigit():
        raise BadRequest(
            f"--since {text!r} is no date or time; write it as 2026-01-31, 2026-01-31T18:00, "
            "'2 days ago' or yesterday"
        )
    if int(seconds) > _LAST:
        return datetime.now(timezone.utc)
    return datetime.fromtimestamp(int(seconds), timezone.utc)
