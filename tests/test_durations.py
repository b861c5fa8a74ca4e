"""Durations as they are typed, and as they are read."""

from __future__ import annotations

import pytest

from datalad_hpc.durations import in_words, seconds_of
from datalad_hpc.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("15m", 900),
        (" 2 h", 7200),
        ("1D", 86400),
        ("1:02:03", 3723),
        ("100:00:00", 360000),
    ],
)
def test_what_is_understood(text: str, seconds: float) -> None:
    assert seconds_of(text, "--timeout") == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "3:00", "1:60:00", "1w", "1h30m", "inf", "٣"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(BadRequest, match="--timeout is"):
        seconds_of(text, "--timeout")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (0.5, "0.5 seconds"),
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (7200, "2 hours"),
        (86400, "1 day"),
    ],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
