"""Sizes and spans in words for people."""

from __future__ import annotations

import pytest

from datalad_hpc.sizes import size_text, span_text


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
