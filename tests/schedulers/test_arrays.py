"""Index lists of array jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.arrays import (
    LARGEST_INDEX,
    array_indices,
    array_limit,
    pending_indices,
)


@pytest.mark.parametrize(
    ("spec", "indices"),
    [
        ("7", (7,)),
        ("1-5", (1, 2, 3, 4, 5)),
        ("0-15:4", (0, 4, 8, 12)),
        ("1,3,7-9", (1, 3, 7, 8, 9)),
        ("0-9%2", tuple(range(10))),
        ("0-3:2%1,9%5", (0, 2, 9)),
        ("9,1-3,2", (1, 2, 3, 9)),
        ("5-5", (5,)),
        # Slurm 22.05 takes both of these.
        ("[1-3]", (1, 2, 3)),
        ("1,,2", (1, 2)),
        (f"{LARGEST_INDEX}", (LARGEST_INDEX,)),
    ],
)
def test_array_indices(spec: str, indices: tuple[int, ...]) -> None:
    assert array_indices(spec) == indices


@pytest.mark.parametrize(
    "spec",
    ["", ",", "x", "3-1", "1-5:0", "-1", "1-", "1;2", "1 2", "%2", "1-2-3", "٣", "1-4000001"],
)
def test_nonsense_is_refused_with_the_text_that_was_given(spec: str) -> None:
    with pytest.raises(BadRequest) as caught:
        array_indices(spec)
    assert f"--array={spec} " in str(caught.value)


def test_a_huge_range_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="largest index"):
        array_indices("0-999999999")


@pytest.mark.parametrize(
    ("spec", "limit"),
    [("0-9", None), ("0-9%2", 2), ("1-3%2,7", 2), ("0-9%0", None), ("1-3%", None)],
)
def test_array_limit(spec: str, limit: int | None) -> None:
    assert array_limit(spec) == limit


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 50), st.integers(1, 99))
def test_ranges_with_step_and_limit(first: int, length: int, step: int, limit: int) -> None:
    spec = f"{first}-{first + length}:{step}%{limit}"
    assert array_indices(spec) == tuple(range(first, first + length + 1, step))
    assert array_limit(spec) == limit


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("[0,3,6,9,20%2]", (0, 3, 6, 9, 20)),
        ("[1-5:2]", (1, 3, 5)),
        ("[4]", (4,)),
        ("0-2%1", (0, 1, 2)),
        # Lists that are cut.
        ("[7-8,12,14,18,35,40-41,43-45,50-51,55,58,60-61,6...]", None),
        ("[1,3,5...%2]", None),
        ("[7-8,12,14", None),
        ("7-8]", None),
        ("", None),
        ("[]", None),
        ("N/A", None),
    ],
)
def test_pending_indices(text: str, indices: tuple[int, ...] | None) -> None:
    assert pending_indices(text) == indices
