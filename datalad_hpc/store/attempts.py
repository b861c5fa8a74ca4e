"""What the store does for a job that is submitted again: begin, go through with it, or go back."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from datalad_hpc.job import Claim, ClaimRole, Job, JobState
from datalad_hpc.status import Submission
from datalad_hpc.store import rows
from datalad_hpc.store.held import refuse_claimed
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.parts import OF, OF_TASK, for_each
from datalad_hpc.store.reading import read_jobs
from datalad_hpc.store.tables import claims, jobs, tasks

BEFORE = "before"
"""Key of the details that has the columns of the row as they were, until the scheduler has it."""

LAST_CLAIM = "last_claim"

_CHANGED = (
    *("token", "state", "cluster", "job_id", "submitted", "command", "details"),
    *("commit", "ref"),
)
"""Columns that another submission changes."""

_NOT_CANCELLED = (
    update(tasks).where(tasks.c.job == OF, tasks.c.number == OF_TASK).values(cancelled="")
)


def begin_again(
    store: Store, job: Job, again: Job, logs: Sequence[Claim], meant: Collection[int]
) -> bool:
    """Have a job be reserved for another submission, in one transaction.

    Parameters
    ----------
    job:
      As it was when it was decided to submit it again.
    again:
      The same with a new token, and that submission among its attempts.
    logs:
      Claims of its logs, with a stand-in for the id that it is to get.
    meant:
      Tasks of a sweep that are to run again.

    Returns
    -------
    bool
      Whether it is; if not, somebody else has decided about it meanwhile, and nothing was changed.

    Raises
    ------
    OutputsClaimed
      Another open job holds a log; nothing was changed.
    """
    with store._writing() as connection:
        if not _is_as_it_was(connection, job, meant):
            return False
        new = [claim for claim in logs if claim not in job.claims]
        refuse_claimed(connection, store._scope, new, but=job.unit)
        columns = [jobs.c[name] for name in _CHANGED]
        before = connection.execute(select(*columns).where(jobs.c.key == job.key)).mappings().one()
        last = select(func.max(claims.c.key)).where(claims.c.job == job.key)
        kept = {**before, LAST_CLAIM: connection.execute(last).scalar() or 0}
        row = rows.job_row(again, store._scope)
        row["details"] = json.dumps({**json.loads(row["details"]), BEFORE: kept})
        _set(connection, job, {name: row[name] for name in _CHANGED})
        for_each(connection, insert(claims), [rows.claim_row(job.key, claim) for claim in new])
    return True


def _is_as_it_was(connection: Connection, job: Job, meant: Collection[int]) -> bool:
    found = read_jobs(connection, jobs.c.key == job.key)
    if not found or found[0].state is not JobState.OPEN:
        return False
    if (found[0].token, found[0].commit) != (job.token, job.commit):
        return False
    now = {part.index: part.commit for part in found[0].open_parts}
    then = {part.index: part.commit for part in job.parts}
    # A commit that was planned since may be in the branch, should who planned it have died.
    return not found[0].parts or all(index in now and now[index] == then[index] for index in meant)


def open_again(store: Store, job: Job, submission: Submission, logs: Sequence[Claim]) -> None:
    """The scheduler has the job once more: keep its id, and claim its new logs.

    The logs of earlier attempts stay claimed, as they tell how these ended.
    """
    facts = f"slurm-job-{job.attempts[-1].job_id}.env.json"
    with store._writing() as connection:
        details, before = _details(connection, job)
        now_open = {
            "state": JobState.OPEN.value,
            "job_id": submission.job_id,
            "cluster": submission.cluster,
            "submitted": rows.now().isoformat(),
            "details": json.dumps(details),
            "cancelled": "",
        }
        _set(connection, job, now_open)
        _forget_new_claims(connection, job, before)
        of_log = (claims.c.job == job.key, claims.c.role == ClaimRole.LOG.value)
        # It is written at the end, and by the name of the newest.
        connection.execute(delete(claims).where(*of_log, claims.c.path.endswith(facts)))
        known = set(connection.execute(select(claims.c.path).where(*of_log)).scalars())
        new = [each for each in logs if each.path not in known and not each.path.endswith(facts)]
        for_each(connection, insert(claims), [rows.claim_row(job.key, each) for each in new])
        if job.parts and job.tried is not None:
            tried = [{"of": job.key, "of_task": task} for task in job.tried]
            for_each(connection, _NOT_CANCELLED, tried)


def put_back(store: Store, job: Job) -> None:
    """A job is what it was before it was to be submitted again."""
    with store._writing() as connection:
        _, before = _details(connection, job)
        _forget_new_claims(connection, job, before)
        _set(connection, job, {name: before[name] for name in _CHANGED})


def _details(connection: Connection, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    text = connection.execute(select(jobs.c.details).where(jobs.c.key == job.key)).scalar_one()
    details = json.loads(text)
    return details, details.pop(BEFORE)


def _set(connection: Connection, job: Job, values: dict[str, Any]) -> None:
    connection.execute(update(jobs).where(jobs.c.key == job.key).values(values))


def _forget_new_claims(connection: Connection, job: Job, before: dict[str, Any]) -> None:
    new = (claims.c.job == job.key, claims.c.key > before[LAST_CLAIM])
    connection.execute(delete(claims).where(*new))
