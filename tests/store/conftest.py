"""Jobs to be kept, and a store to keep them in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.job import Job, JobState, Request
from datalad_hpc.store import Store, open_store
from tests.jobs import a_job

NewJob = Callable[..., Job]


@pytest.fixture
def new_job() -> NewJob:
    """Makes a job that was not kept yet, with these outputs."""

    def make(*outputs: str, **fields: Any) -> Job:
        values: dict[str, Any] = {
            "token": secrets.token_hex(8),
            "state": JobState.RESERVED,
            "job_id": "",
            "submitted": None,
            "request": Request("sbatch job.sh", "", (), outputs),
            "claims": tuple(map(claim_for, outputs)),
        }
        return a_job(0, **{**values, **fields})

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
