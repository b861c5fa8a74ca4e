"""pytest plugin: jobs that a test on Slurm leaves behind end with it, and slow no other."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

COLUMNS = "ArrayJobID:20,WorkDir:1000,STDOUT:1000"
"""Of ``squeue -O``: a job of ours runs in the test's folder, or has its log there."""


@pytest.fixture(autouse=True)
def no_jobs_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel what is in the queue of the folder of a test that needs Slurm."""
    if not request.node.get_closest_marker("slurm"):
        yield
        return
    folder: Path = request.getfixturevalue("tmp_path")
    yield
    queue = _says("squeue", "--noheader", "--me", "-O", COLUMNS)
    left = {line.split()[0] for line in queue.splitlines() if f" {folder}/" in line}
    if left:
        _says("scancel", "--quiet", *sorted(left))


def _says(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
