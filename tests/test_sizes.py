"""Sizes and spans in words for people."""

from __future__ import annotations

import pytest

from datalad_hpc.sizes import clock_text, limit_of, size_text, span_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0K"),
        (3 * 2**10, "3K"),
        (3.14 * 2**20, "3.1M"),
        (9.96 * 2**20, "10M"),
        (999 * 2**20, "999M"),
        (1000 * 2**20, "1.0G"),
        (16 * 2**30, "16G"),
        (2**70, "1024E"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.44, "0.4s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1:00"),
        (187, "3:07"),
        (7199.7, "2:00:00"),
        (36 * 3600, "1-12:00:00"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("UNLIMITED", 0),
        ("-1", 0),
        ("1:2:3:4", 0),
        ("30", 1800),
        ("30:59", 1859),
        ("0:30", 30),
        ("2:30:00", 9000),
        ("1-1", 90_000),
        ("1-1:30", 91_800),
        ("1-01:30:10", 91_810),
    ],
)
def test_limits_are_read_as_sbatch_reads_them(text: str, seconds: int) -> None:
    assert limit_of(text) == seconds


def test_whole_seconds_are_written_as_slurm_does() -> None:
    assert list(map(clock_text, (4, 187, 7200, 36 * 3600))) == [
        *("0:04", "3:07", "2:00:00"),
        "1-12:00:00",
    ]
