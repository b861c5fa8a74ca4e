"""Long lists in few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.schedulers.arrays import array_indices, pending_indices
from datalad_hpc.wording import ranges, some_of, some_tasks


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([7, 0, 1, 2, 3, 4], "0-4,7"),
        ([1, 1, 2], "1-2"),
        ([1, 3, 5], "1,3,5"),
    ],
)
def test_ranges(indices: list[int], text: str) -> None:
    assert ranges(indices) == text


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=200))
def test_ranges_are_read_back(indices: set[int]) -> None:
    text = ranges(indices)
    assert array_indices(text) == tuple(sorted(indices))
    assert pending_indices(f"[{text}%3]") == tuple(sorted(indices))
    assert len(text) <= len(",".join(map(str, indices)))


def test_a_sentence_names_the_first_few() -> None:
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(list("abcdefghijkl")) == "a, b, c, d, e, f, g, h, i, j and 2 more"
    assert some_tasks({3}) == "task 3"
    assert some_tasks([0, 1, 2, 7]) == "tasks 0-2,7"
    assert some_tasks(range(0, 40, 2)) == "tasks 0,2,4,6,8,10,12,14,16,18 and 10 more"
