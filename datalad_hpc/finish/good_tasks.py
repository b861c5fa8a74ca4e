"""An array of which some tasks failed: what its commit leaves out, and what becomes of that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from datalad_hpc.commit.restoring import restore
from datalad_hpc.errors import HpcError
from datalad_hpc.job import Claim, Job
from datalad_hpc.status import JobStatus, Phase
from datalad_hpc.wording import some_of, some_tasks


@dataclass(frozen=True)
class LeftOut:
    """Tasks whose outputs the commit of their job does not hold."""

    tasks: frozenset[int] = frozenset()
    """Indices."""
    claims: tuple[Claim, ...] = ()
    """What only these tasks write."""


def is_partly_failed(job: Job, status: JobStatus) -> bool:
    """Whether an array is over that has tasks which completed, and others."""
    phases = {task.phase for task in status.tasks}
    return job.tasks is not None and phases == {Phase.COMPLETED, Phase.FAILED}


def failed_tasks(status: JobStatus) -> set[int]:
    """Indices of the tasks that did not complete."""
    failed = (task.index for task in status.tasks if task.phase is Phase.FAILED)
    return {index for index in failed if index is not None}


def without_tasks(job: Job, tasks: Collection[int]) -> tuple[Job, LeftOut]:
    """A job with the claims of the others only, and what is left out of it.

    Where no output belongs to a task, nobody can tell what to leave out, and nothing is.
    """
    claims = tuple(claim for claim in job.claims if claim.task in tasks)
    if not claims:
        return job, LeftOut()
    others = tuple(claim for claim in job.claims if claim.task not in tasks)
    return replace(job, claims=others), LeftOut(frozenset(tasks), claims)


def put_back(root: Path, job: Job, left: LeftOut) -> str:
    """Existing outputs of tasks that were left out are again what they were before the job.

    To do so twice does no harm.

    Returns
    -------
    str
      What there is to say of the tasks and of what they have written; empty if none was left out.
    """
    if not left.tasks:
        return ""
    text = f"the outputs of {some_tasks(left.tasks)} are not in it"
    if job.request.alternative:
        return f"{text} and stay in {job.request.alternative}"
    try:
        changed = restore(root, left.claims, job.token, since=job.created)
    except (OSError, HpcError) as error:
        # The commit is made; to keep the job open would make nothing better.
        return f"{text}; what they left alone could not be put back (`git checkout` does): {error}"
    written = f"; these files of theirs were left as they are: {some_of(changed)}"
    return text + written * bool(changed)
