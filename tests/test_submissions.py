"""The lock that says that somebody is at work on a submission."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc import submissions
from datalad_hpc.submissions import settle_submissions, submission_lock


@dataclass
class Place:
    """As much of a workplace as a lock needs."""

    local_state: Path


@dataclass
class Jobs:
    """A store in which no job is being submitted."""

    unsettled: list[Any] = field(default_factory=list)

    def unsettled_jobs(self) -> list[Any]:
        return self.unsettled


def settle(place: Place) -> None:
    settle_submissions(place, Jobs(), None, None)  # type: ignore[arg-type]


def test_a_lock_that_nobody_holds_is_removed(tmp_path: Path) -> None:
    (tmp_path / "submission-left.lock").touch()
    (tmp_path / "jobs.db").touch()
    settle(Place(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]


def test_a_lock_that_is_held_stays(tmp_path: Path) -> None:
    with submission_lock(Place(tmp_path), "mine"):  # type: ignore[arg-type]
        settle(Place(tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["submission-mine.lock"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take it for left behind between its making and its locking."""
    path, real = tmp_path / "submission-mine.lock", fcntl.flock
    tries = []

    def flock(descriptor: int, operation: int) -> None:
        tries.append(descriptor)
        if len(tries) == 1:
            path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(submissions.fcntl, "flock", flock)
    with submission_lock(Place(tmp_path), "mine") as descriptor:  # type: ignore[arg-type]
        assert os.path.samestat(os.fstat(descriptor), path.stat())
    assert len(tries) == 2
