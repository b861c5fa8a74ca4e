"""The notes of a submission program survive whoever writes them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from datalad_hpc.schedulers.attempts import Notes, Settings, new_token
from datalad_hpc.schedulers.base import Answer
from datalad_hpc.schedulers.sbatch import read_batch_command
from datalad_hpc.status import Submission
from tests.children import start

SETTINGS = Settings("token", "local", {"datalad.hpc.local.spool": "/spool"}, ["afterok:1"])
BATCH = read_batch_command(["sbatch", "--array=1-2", "--wrap", "echo \udcff\n"], "/", {})


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    notes = Notes(tmp_path / "notes")
    notes.create(SETTINGS)
    return notes


def test_what_was_noted_is_read_again(notes: Notes) -> None:
    assert notes.settings() == SETTINGS
    for submission in (Submission("7", "one"), None):
        with notes.attempt("/folder", BATCH, new_token("token")) as entry:
            entry.answered(Answer(0, b"", b"", submission, refused=submission is None))
    notes.close()
    first, second = notes.attempts(wait=True) or ()
    assert (first.folder, first.batch) == ("/folder", BATCH)
    assert first.token.startswith("token")
    assert first.token != second.token
    assert [each.submission for each in (first, second)] == [Submission("7", "one"), None]
    assert [each.refused for each in (first, second)] == [False, True]


def test_nobody_is_let_in_after_the_end(notes: Notes) -> None:
    notes.close()
    with pytest.raises(FileNotFoundError), notes.attempt("/", BATCH, "late"):
        raise AssertionError("it would have been submitted")
    assert notes.attempts(wait=True) == []


def test_a_call_under_way_is_seen(notes: Notes) -> None:
    with notes.attempt("/", BATCH, "mine") as entry:
        notes.close()
        assert notes.attempts(wait=False) is None
        entry.answered(Answer(0, b"", b"", Submission("7")))
    (attempt,) = notes.attempts(wait=False) or ()
    assert attempt.submission == Submission("7")


@pytest.mark.parametrize("half", [b"", b'{"submission": {"job_id": "7", "clu'])
def test_who_was_killed_leaves_what_was_asked_for(notes: Notes, half: bytes) -> None:
    def call() -> None:
        with notes.attempt("/folder", BATCH, "mine") as entry:
            os.write(entry.descriptor, half)
            os.kill(os.getpid(), signal.SIGKILL)

    assert start(call).outcome().killed
    notes.close()
    (attempt,) = notes.attempts(wait=False) or ()
    assert (attempt.token, attempt.batch) == ("mine", BATCH)
    assert (attempt.submission, attempt.refused) == (None, False)
