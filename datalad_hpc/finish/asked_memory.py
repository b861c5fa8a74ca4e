"""Pure: the memory that a job asked for, where its scheduler has not told (yet)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Job
from datalad_hpc.members import is_about
from datalad_hpc.plans.changing import asked_for
from datalad_hpc.requested import requested_by
from datalad_hpc.schedulers.batch_script import script_options
from datalad_hpc.status import JobStatus

MEMORY = "requested_memory"


def with_asked_memory(job: Job, status: JobStatus) -> JobStatus:
    """The status, with what the options asked for among its facts.

    Slurm's queue does not tell, and its accounting only a moment after the end. Of a submission
    program, and of a heterogeneous job, nothing is added.
    """
    job_id = job.job_id.partition("_")[0] if job.is_part else job.job_id
    if job.members or status.facts.get(MEMORY) or not is_about(status.facts, job_id):
        return status
    memory = _asked_memory(job.submit_line, job.script)
    return replace(status, facts={**status.facts, MEMORY: memory}) if memory else status


@lru_cache(maxsize=4)
def _asked_memory(submit_line: tuple[str, ...], script: str) -> str:
    """Kept, since all tasks of a sweep have the same script; empty if none was asked for."""
    try:
        if ":" in submit_line or script_options(script)[1] > 1:
            return ""
        return str(requested_by(asked_for(submit_line, script)).get(MEMORY, ""))
    except BadRequest:
        return ""
