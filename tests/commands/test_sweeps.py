"""``--foreach``: one command, many tasks, each with values, claims and a commit of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Lab, text_of
from tests.commands.test_schedule_options import record_of


def test_a_list_of_values(lab: Lab) -> None:
    job = lab.schedule(
        "mkdir -p out; echo {who} says '{word}' > {outputs}",
        outputs=["out/{who}-{word}.txt"],
        foreach=["who=ann,bob", "word=it's,hi there"],
        message="{who} was here, {nobody} not",
    )
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    assert {path.name for path in (lab.root / "out").iterdir()} == {
        "ann-it's.txt",
        "ann-hi there.txt",
        "bob-it's.txt",
        "bob-hi there.txt",
    }
    assert (lab.root / "out/bob-it's.txt").read_text() == "bob says it's\n"
