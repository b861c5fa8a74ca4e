"""Slurm's words as values."""

from __future__ import annotations

import grp
import os
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.schedulers.slurm_states import (
    ENDED_STATES,
    exit_of,
    group_of,
    minutes_of,
    phase_of,
    seconds_of,
    state_of,
    time_of,
    told,
)
from datalad_hpc.sizes import bytes_of
from datalad_hpc.status import Phase

LIVE_STATES = (
    "PENDING RUNNING SUSPENDED COMPLETING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED RESIZING "
    "RESV_DEL_HOLD SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED"
)


@pytest.mark.parametrize("state", LIVE_STATES.split())
def test_states_that_may_still_run_are_live(state: str) -> None:
    assert phase_of(state) is Phase.LIVE


@given(st.text())
def test_a_word_never_heard_of_is_live(word: str) -> None:
    assert phase_of(word) is ENDED_STATES.get(word, Phase.LIVE)


def test_only_completed_is_a_success() -> None:
    succeeded = [word for word, phase in ENDED_STATES.items() if phase is Phase.COMPLETED]
    assert succeeded == ["COMPLETED"]
    assert len(ENDED_STATES) == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUNNING", ("RUNNING", "")),
        ("CANCELLED by 0", ("CANCELLED", "by 0")),
        ("CANCELLED+", ("CANCELLED", "")),
        ("", ("", "")),
    ],
)
def test_state_and_remark(text: str, expected: tuple[str, str]) -> None:
    assert state_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-02:03:04", 93784),
        ("02:03:04", 7384),
        ("03:04.500", 184.5),
        ("0:04", 4),
        ("17", 17),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("INVALID", None),
        ("", None),
        ("1-", None),
    ],
)
def test_spans(text: str, expected: float | None) -> None:
    assert seconds_of(text) == expected


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_span_is_read(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    assert seconds_of(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("112636K", 112636 * 1024),
        ("1.5M", 1572864),
        ("2G", 2 * 1024**3),
        ("115228672", 115228672),
        ("0", None),
        ("", None),
        ("16?", None),
    ],
)
def test_sizes(text: str, expected: int | None) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:0", (0, None)),
        ("3:0", (3, None)),
        ("0:9", (0, 9)),
        ("768", (3, None)),
        ("9", (0, 9)),
        ("0", (0, None)),
        ("", (None, None)),
        ("1:x", (None, None)),
    ],
)
def test_exit_codes(text: str, expected: tuple[int | None, int | None]) -> None:
    assert exit_of(text) == expected


@pytest.mark.parametrize("text", ["1795230574", "2026-11-21T03:09:34"])
def test_times_are_utc(text: str) -> None:
    assert time_of(text) == datetime(2026, 11, 21, 3, 9, 34, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["Unknown", "N/A", "NONE", "None", "0", "", "(null)", "soon"])
def test_times_that_are_not_told(text: str) -> None:
    assert time_of(text) is None


def test_limits_are_minutes() -> None:
    assert minutes_of("120") == 7200
    assert minutes_of("UNLIMITED") is None


def test_words_for_nothing_are_empty() -> None:
    assert told("None assigned") == ""
    assert told(" node[1-3] ") == "node[1-3]"


def test_groups_are_known_by_name_where_they_are_known() -> None:
    assert group_of(str(os.getgid())) == grp.getgrgid(os.getgid()).gr_name
    assert group_of("3999999999") == "3999999999"
    assert group_of("") == ""
