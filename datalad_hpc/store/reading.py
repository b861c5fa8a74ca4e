"""Jobs with their claims and parts, in as few queries as can be."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import ColumnElement, Connection, or_, select

from datalad_hpc.collection import paused
from datalad_hpc.job import Claim, Job
from datalad_hpc.store import rows
from datalad_hpc.store.held import OPEN
from datalad_hpc.store.parts import read_parts
from datalad_hpc.store.tables import claims, jobs


def read_jobs(connection: Connection, condition: ColumnElement[bool]) -> list[Job]:
    """The jobs for whose rows a condition holds, oldest first."""
    columns = [jobs.c[name] for name in rows.JOB_COLUMNS]
    query = select(*columns).where(condition).order_by(jobs.c.key)
    claimed = select(claims.c.job, claims.c.path, claims.c.kind, claims.c.role, claims.c.task)
    claimed = claimed.join(jobs, jobs.c.key == claims.c.job).where(condition)
    # Of an open sweep only those of its tasks that are not over.
    claimed = claimed.where(or_(claims.c.stem.is_not(None), jobs.c.state.not_in(OPEN)))
    found = connection.execute(query).all()
    held = connection.execute(claimed.order_by(claims.c.key)).all() if found else ()
    parts = read_parts(connection, condition) if found else {}
    of_job: dict[int, list[Claim]] = defaultdict(list)
    # Thousands of jobs are no garbage.
    with paused():
        for job, path, kind, role, task in held:
            of_job[job].append(rows.claim_of(path, kind, role, task))
        return [
            rows.job_of(
                row, of_job[row[0]], [rows.part_of(*part) for part in parts.get(row[0], ())]
            )
            for row in found
        ]
