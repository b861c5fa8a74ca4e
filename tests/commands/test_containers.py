"""A command runs in a container of datalad-container, as ``datalad containers-run`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, text_of
from tests.commands.test_schedule_options import record_of

IMAGE = '#!/bin/sh\necho "in $DATALAD_CONTAINER_NAME: $0" >&2\nINSIDE=yes exec "$@"\n'
"""Stands for an image: it runs a command and says so. Real engines: ``tests/slurm``."""


def configure(dataset: Dataset, name: str = "tool", image: str = "images/tool", **how: Any) -> None:
    """Add a container as a user does."""
    path = Path(dataset.path, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(IMAGE)
    path.chmod(0o755)
    how.setdefault("call_fmt", "sh {img} {cmd}")
    dataset.save(path=image, **QUIET)
    dataset.containers_add(name, image=image, **how, **QUIET)


def container_of(lab: Lab, revision: str = "HEAD") -> Any:
    """What the row of the newest job has on its container."""
    from tests.commands.conftest import ask_store

    (row,) = ask_store(lab, "SELECT environment FROM jobs ORDER BY id DESC LIMIT 1")
    return json.loads(row[0])["container"]


def test_a_job_in_a_container(lab: Lab) -> None:
    configure(lab.dataset)
    lab.write("in.txt", "content\n")
    done = lab.run(
        ["--", "sh", "-c", 'echo "$INSIDE" > out.txt; cat in.txt >> out.txt'],
        container="tool",
        inputs=["in.txt"],
        outputs=["out.txt"],
    )
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "yes\ncontent\n"
    record = record_of(lab)
    assert record["cmd"].startswith("sh images/tool sh -c ")
    assert record["extra_inputs"] == ["images/tool"]
    (log,) = (lab.root / name for name in record["slurm_outputs"] if name.endswith(".out"))
    assert log.read_text() == "in tool: images/tool\n"
    assert lab.changes() == ""
