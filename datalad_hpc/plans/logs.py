"""Where the logs of a planned job go, and the file with the scheduler's facts."""

from __future__ import annotations

import getpass
import glob
import os
from collections.abc import Iterable, Iterator

from datalad_hpc.errors import BadRequest
from datalad_hpc.facts import facts_path
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind, ClaimRole
from datalad_hpc.plans.planning import Plan
from datalad_hpc.schedulers.logs import LogFile, log_files
from datalad_hpc.workplace import Workplace


def log_claims(workplace: Workplace, plan: Plan, job_id: str) -> tuple[Claim, ...]:
    """Claims of a job's log files in the dataset, and of the file with the scheduler's facts.

    Parameters
    ----------
    job_id:
      The scheduler's id, or a stand-in that is unique before there is one.

    Raises
    ------
    BadRequest
      A log has a name that no file in a commit can have, or that tasks of a sweep share.
    """
    if plan.request.sweep:
        # What became of each task stands in its record.
        return tuple(_logs_of_tasks(workplace, plan, job_id))
    logs = []
    for log in log_files(plan.batch, plan.folder, job_id, getpass.getuser()):
        path = _in_dataset(workplace, plan, log)
        if path is not None:
            workplace.refuse_unfit(path)
            kind = ClaimKind.GLOB if log.is_glob else ClaimKind.FILE
            logs.append(Claim(path, kind, ClaimRole.LOG))
    facts = facts_path(plan.request.folder, logs, job_id)
    return (*logs, Claim(facts, ClaimKind.FILE, ClaimRole.LOG))


def _logs_of_tasks(workplace: Workplace, plan: Plan, job_id: str) -> Iterator[Claim]:
    user = getpass.getuser()
    places: dict[str, str | None] = {}
    claimed: set[str] = set()
    for task in plan.tasks or ():
        for log in log_files(plan.batch, plan.folder, job_id, user, task):
            if log.is_glob or log.path in claimed:
                raise BadRequest(
                    f"the tasks of the sweep would share the log {log.path}, or it cannot be told "
                    "whose it is; have %A and %a in the log's name"
                )
            claimed.add(log.path)
            folder, name = os.path.split(log.path)
            if folder not in places:
                # To look at each log of thousands would take seconds.
                places[folder] = _in_dataset(workplace, plan, log)
            if (known := places[folder]) is not None:
                path = os.path.join(os.path.dirname(known), name)
                workplace.refuse_unfit(path)
                yield Claim(path, ClaimKind.FILE, ClaimRole.LOG, task)


def _in_dataset(workplace: Workplace, plan: Plan, log: LogFile) -> str | None:
    return place_below((plan.base, str(workplace.root)), log)


def place_below(roots: Iterable[str], log: LogFile) -> str | None:
    """A log's place in the dataset; ``None`` where it does not get there.

    Parameters
    ----------
    roots:
      Absolute paths of what is the dataset's root to the job, and to us.
    """
    folder = top_of(log.path) if log.is_glob else os.path.dirname(log.path)
    rest = log.path.split("/")[len(folder.split("/")) :]
    folder = os.path.realpath(folder)
    path = "/".join([glob.escape(folder) if log.is_glob else folder, *rest])
    for base in map(os.path.realpath, roots):
        start = f"{glob.escape(base) if log.is_glob else base}/"
        if path.startswith(start):
            return path[len(start) :]
    return None


def logs_outside(workplace: Workplace, plan: Plan, job_id: str) -> list[str]:
    """Logs that cannot be committed, since they lie outside of the dataset."""
    logs = log_files(plan.batch, plan.folder, job_id, getpass.getuser())
    return [log.path for log in logs if _in_dataset(workplace, plan, log) is None]
