"""Jobs as the store would give them, for tests that have none."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from datalad_hpc.job import Job, JobState, Request

WHEN = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


def a_job(key: int, **fields: Any) -> Job:
    values: dict[str, Any] = {
        "token": f"token-{key}-0123456789",
        "state": JobState.OPEN,
        "scheduler": "slurm",
        "cluster": "",
        "job_id": str(key),
        "created": WHEN,
        "submitted": WHEN,
        "request": Request("sbatch x", "", (), ("out",)),
        "script": "",
        "submit_line": (),
        "tasks": None,
        "head": "",
        "commit": "",
        "ref": "",
    }
    return Job(key, **{**values, **fields})
