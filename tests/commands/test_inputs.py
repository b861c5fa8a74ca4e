"""Inputs are retrieved before submission, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from datalad.api import clone

from tests.commands.conftest import QUIET, Lab, text_of


def test_an_input_that_does_not_exist_retrieves_nothing(local_lab: Lab, tmp_path: Path) -> None:
    """DataLad's ``run`` would get the whole dataset then."""
    names = ("a.dat", "b.dat", "in/c.dat")
    for name in names:
        local_lab.write(name)
    clone(str(local_lab.root), str(tmp_path / "copy"), **QUIET)
    copy = Lab(type(local_lab.dataset)(str(tmp_path / "copy")), "local")
    for inputs in (["nothing"], ["a.dat", "in/nothing"], ["in/*.none"]):
        job = copy.schedule("true", inputs=inputs, outputs=["x"])
        assert not any((copy.root / name).exists() for name in names)
        assert job["status"] == "impossible"
        assert f"retrieved: {inputs[-1]}: there is no such file" in text_of(job)
        assert copy.listed() == {}
