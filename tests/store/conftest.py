"""Jobs to be kept, and a store to keep them in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.job import Job, JobState, Request
from datalad_hpc.store import Store, open_store

NewJob = Callable[..., Job]


@pytest.fixture
def new_job() -> NewJob:
    """Makes a job that was not kept yet, with these outputs."""

    def make(*outputs: str, **fields: Any) -> Job:
        values: dict[str, Any] = {
            "key": 0,
            "token": secrets.token_hex(8),
            "state": JobState.RESERVED,
            "scheduler": "slurm",
            "cluster": "",
            "job_id": "",
            "created": datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
            "submitted": None,
            "request": Request("sbatch job.sh", "", (), outputs),
            "script": "",
            "submit_line": (),
            "tasks": None,
            "head": "",
            "commit": "",
            "ref": "",
            "claims": tuple(map(claim_for, outputs)),
        }
        return Job(**{**values, **fields})

    return make


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where a store may be made."""
    return f"sqlite:///{tmp_path / 'state' / 'jobs.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    with open_store(url) as opened:
        yield opened
