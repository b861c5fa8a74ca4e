"""Slurm's scancel: how it is called, and what its complaints mean. See scancel(1)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.schedulers.slurm_submit import may_have_been_accepted
from datalad_hpc.wording import ranges

IDS_PER_CALL = 500
"""Each is a request of its own to the controller, which scancel sends a few at a time."""

RANGES_PER_ID = 100
"""How many ranges of tasks stand in one pair of brackets."""

NOT_LIVE = ("already completing or completed", "invalid job id")
"""Words about jobs that have ended: while the controller remembers them, and later."""

NO_CONTACT = "unable to contact"

_COMPLAINT = re.compile(r"Kill job error on job id (\d+)\S*: *(.*)")


def cancel_commands(wanted: Sequence[Cancellation]) -> Iterator[list[str]]:
    """The scancel calls that end jobs: for each cluster its own, since ids are not shared."""
    of_cluster: dict[str, list[str]] = defaultdict(list)
    for each in wanted:
        of_cluster[each.key.cluster] += _names(each)
    for cluster, names in of_cluster.items():
        where = [f"--clusters={cluster}"] if cluster else []
        for start in range(0, len(names), IDS_PER_CALL):
            yield ["scancel", *where, *names[start : start + IDS_PER_CALL]]


def _names(wanted: Cancellation) -> Iterator[str]:
    """A job's id, or tasks of it such as ``7_[0-4,9]``."""
    if wanted.tasks is None:
        yield wanted.key.job_id
        return
    spans = ranges(wanted.tasks).split(",") if wanted.tasks else []
    for start in range(0, len(spans), RANGES_PER_ID):
        yield f"{wanted.key.job_id}_[{','.join(spans[start : start + RANGES_PER_ID])}]"


def refusals_in(code: int, complaint: str) -> dict[str, str]:
    """What scancel was refused, by job id, in its own words.

    Parameters
    ----------
    code:
      Its exit code, which says little: with Slurm 22.05 it is 0 for jobs that are not there.
    complaint:
      Its standard error.

    Raises
    ------
    SchedulerUnreachable
      It did not reach the controller, or failed in a way that says nothing about single jobs.
    """
    told = _COMPLAINT.findall(complaint)
    for _, words in told:
        if NO_CONTACT in words.lower() or may_have_been_accepted(words):
            raise SchedulerUnreachable(f"scancel failed: {words}")
    refused = {
        job_id: words
        for job_id, words in told
        if not any(phrase in words.lower() for phrase in NOT_LIVE)
    }
    if code and not told:
        raise SchedulerUnreachable(
            f"scancel failed (exit code {code}): {complaint or 'without a word'}"
        )
    return refused
