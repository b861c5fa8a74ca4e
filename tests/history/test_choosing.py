"""Which records of a range run again: of those that repeat each other the latest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.history.choosing import Choice, Selection, chosen
from datalad_hpc.record import CORE_MARKER, MARKER
from datalad_hpc.wording import ranges
from datalad_hpc.workplace import Workplace
from tests.history.test_records import History


class Records(History):
    """A repository that records are put into."""

    def record(self, state: str = "Completed", *, chain: Sequence[str] = (), **more: Any) -> str:
        fields = {"cmd": "sbatch x", "outputs": ["o"], "chain": list(chain), **more}
        return self.commit(
            f"{MARKER} Slurm job 1: {state}\n\n=== Do not change lines below ===\n"
            f"{json.dumps(fields)}\n^^^ Do not change lines above ^^^\n"
        )

    def chosen(self, **options: Any) -> Sequence[Choice]:
        return chosen(Workplace(None, self.path, ""), Selection(since="", **options))

    def commits(self, **options: Any) -> list[str]:
        return [choice.commit.commit for choice in self.chosen(**options)]


@pytest.fixture
def history(tmp_path: Path) -> Records:
    return Records(tmp_path / "repository")


def test_the_latest_of_a_line_of_repeats(history: Records) -> None:
    first = history.record()
    other = history.record(outputs=["p"])
    second = history.record(chain=[first])
    third = history.record(chain=[first, second])
    assert history.commits() == [other, third]
    # One that was repeated from the first again, beside the third.
    fourth = history.record(chain=[first])
    assert history.commits() == [other, fourth]


def test_a_repeat_that_failed_or_made_less_stands_for_nothing(history: Records) -> None:
    first = history.record(outputs=["o", "./p"])
    failed = history.record("Failed", chain=[first], outputs=["o", "p"])
    less = history.record(chain=[first], outputs=["o"])
    assert history.commits() == [first, less]
    assert history.commits(with_failed=True) == [failed, less]


def test_paths_of_core_and_ours_are_the_same(history: Records) -> None:
    fields = {"cmd": "x", "pwd": "sub", "outputs": ["../o", "y"], "exit": 0}
    core = history.commit(
        f"{CORE_MARKER} x\n\n=== Do not change lines below ===\n{json.dumps(fields)}\n"
        "^^^ Do not change lines above ^^^\n"
    )
    ours = history.record(cmd="x", pwd="sub", outputs=["o", "sub/y"], chain=[core])
    assert history.commits() == [ours]


def test_tasks_that_ran_alone_do_not_stand_for_the_array(history: Records) -> None:
    tasks = {"COMPLETED": "0-2", "FAILED": "3"}
    first = history.record("Failed (1 of 4 tasks)", hpc={"tasks": tasks, "covers": "0-2"})
    alone = history.record(chain=[first], hpc={"tasks": {"COMPLETED": "3"}, "covers": "3"})
    assert history.commits() == [first, alone]
    whole = {"tasks": {"COMPLETED": "0-3"}, "covers": "0-3"}
    again = history.record(chain=[first], hpc=whole)
    assert history.commits() == [again]


def test_the_pieces_of_one_commit_do_not_repeat_each_other(history: Records) -> None:
    even, odd = range(0, 6000, 2), range(1, 6000, 2)
    tasks = {"COMPLETED": ranges(list(even)), "FAILED": ranges(list(odd))}
    history.record("Failed", hpc={"tasks": tasks, "covers": tasks["COMPLETED"]})
    choices = history.chosen()
    assert len(choices) > 1
    assert [task for choice in choices for task in choice.tasks] == list(even)
