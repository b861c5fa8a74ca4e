"""What the store keeps of the jobs that a submission program has made."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, update

from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import Claim, ClaimRole, Job, JobState
from datalad_hpc.store import rows
from datalad_hpc.store.held import refuse_claimed
from datalad_hpc.store.jobs import Store
from datalad_hpc.store.tables import claims, jobs


def opened_all(store: Store, job: Job, logs: Sequence[Claim]) -> list[Claim]:
    """The scheduler has all members of a job: keep them, and claim their logs.

    Returns
    -------
    list
      Logs that are not claimed, since another open job holds them: nobody could know of them
      before the submission.
    """
    first = job.members[0]
    now_open = {
        "state": JobState.OPEN.value,
        "job_id": first.job_id,
        "cluster": first.cluster,
        "submitted": rows.now().isoformat(),
        "details": rows.job_row(job, store._scope)["details"],
    }
    of_log = (claims.c.job == job.key, claims.c.role == ClaimRole.LOG.value)
    with store._writing() as connection:
        free = [claim for claim in logs if _is_free(connection, store, job, claim)]
        connection.execute(update(jobs).where(jobs.c.key == job.key).values(now_open))
        connection.execute(delete(claims).where(*of_log))
        connection.execute(insert(claims), [rows.claim_row(job.key, claim) for claim in free])
    return [claim for claim in logs if claim not in free]


def _is_free(connection: Connection, store: Store, job: Job, claim: Claim) -> bool:
    try:
        refuse_claimed(connection, store._scope, [claim], but=job.unit)
    except OutputsClaimed:
        return False
    return True
