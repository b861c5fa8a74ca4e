"""Points in time as people write them."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta, timezone

import pytest

from datalad_hpc.errors import BadRequest
from datalad_hpc.statuses.since import point_in_time


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2 days ago", timedelta(days=2)),
        ("yesterday", timedelta(days=1)),
        ("1.week.ago", timedelta(weeks=1)),
        ("90 minutes ago", timedelta(minutes=90)),
        ("now", timedelta()),
    ],
)
def test_words_are_read_as_git_reads_them(text: str, ago: timedelta) -> None:
    found = datetime.now(timezone.utc) - point_in_time(text)
    # Summer time may begin or end in between.
    assert abs(found - ago) < timedelta(hours=1, minutes=1)


def test_a_date_is_its_first_moment_here() -> None:
    assert point_in_time("2024-05-01") == datetime(2024, 5, 1).astimezone()
    assert point_in_time("2024-05-01 18:30") == datetime(2024, 5, 1, 18, 30).astimezone()
    expected = datetime(2024, 5, 1, 16, 30, tzinfo=timezone.utc)
    assert point_in_time("2024-05-01T18:30:00+02:00") == expected


@pytest.mark.parametrize("text", ["soon", "", "--help", "\n", "a=b"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="no date or time"):
        point_in_time(text)


def test_a_time_before_all_others_is_no_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with contextlib.suppress(BadRequest):
            point_in_time("0001-01-01")
    finally:
        monkeypatch.undo()
        time.tzset()
