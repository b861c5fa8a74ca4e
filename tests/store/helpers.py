"""Many processes at one store, and stores that are full already."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import insert

from datalad_hpc.job import Job
from datalad_hpc.store import Store, rows
from datalad_hpc.store.tables import claims, jobs

PACKAGE = str(Path(__file__).parent.parent.parent)

CONTENDERS = """
import os, sys
from datetime import datetime, timezone
from datalad_hpc.claims import claim_for
from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import Job, JobState, Request
from datalad_hpc.store import open_store

url, paths = sys.argv[1], sys.argv[2:]
waiting, go = os.pipe()
children = []
for number, path in enumerate(paths):
    child = os.fork()
    if child:
        children.append(child)
        continue
    os.close(go)
    os.read(waiting, 1)  # ends for all of them at once
    job = Job(
        0, f"rival-{number}", JobState.RESERVED, "slurm", "", "", datetime.now(timezone.utc), None,
        Request("sbatch x", "", (), (path,)), "", (), None, "", "", "", "", (claim_for(path),),
    )
    try:
        with open_store(url, timeout=60) as store:
            store.reserve(job)
    except OutputsClaimed:
        os._exit(3)
    os._exit(0)
os.close(go)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(*codes)
"""


def contend(url: str, *paths: str) -> list[int]:
    """Reserve the paths, each in a process of its own, at the same time."""
    ended = subprocess.run(
        [sys.executable, "-c", CONTENDERS, url, *paths],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [int(code) for code in ended.stdout.split()]


def file_of(url: str) -> str:
    """Path of a store's file."""
    return url.removeprefix("sqlite:///")


def put_in(store: Store, many: Iterable[Job]) -> None:
    """Keep jobs in one transaction, as one after the other would be kept."""
    with store._writing() as connection:
        for job in many:
            row = rows.job_row(replace(job, token=secrets.token_hex(8)), store._scope)
            key = connection.execute(insert(jobs).values(row)).inserted_primary_key[0]
            connection.execute(insert(claims), [rows.claim_row(key, each) for each in job.claims])
