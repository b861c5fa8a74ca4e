"""A small job that runs ``datalad finish`` for another one when that is over.

It is no job of the dataset: nobody tracks it, and it reserves nothing. Where it is missing,
``datalad finish`` by hand does the same.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datalad_hpc.errors import HpcError, SubmissionUncertain
from datalad_hpc.job import Job, Request
from datalad_hpc.plans.planning import Plan
from datalad_hpc.plans.resources import as_arguments, merged, read_resources
from datalad_hpc.results import Result, message_text, visible
from datalad_hpc.schedulers.base import Handover, Scheduler
from datalad_hpc.schedulers.sbatch import comment_with_token, read_batch_command
from datalad_hpc.sizes import limit_of
from datalad_hpc.store import Store
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.auto_finish")

SETTING = "datalad.hpc.auto-finish"

LIKE_THE_JOB = ("account", "clusters", "partition", "qos", "reservation", "wckey")
"""Options with which the site has accepted the job, and so accepts this one."""

LONGEST = 60
"""Minutes that it asks for at most, if the job has asked for a time."""

PATIENCE = "15m"
"""How long it waits, right after the end of the job, for accounting to say so."""

MAIN = "from datalad.cli.main import main; main()"
"""The program ``datalad`` for the Python that runs us."""

FOLDER = "/"
"""Where it runs: Python would take modules for its own that lie in the dataset."""


def check_auto_finish(workplace: Workplace, request: Request) -> None:
    """Refuse a setting that cannot be understood before the job is submitted.

    Raises
    ------
    BadRequest
      It cannot.
    """
    if request.auto_finish:
        own_options(workplace)


def own_options(workplace: Workplace) -> dict[str, str]:
    """What the user's configuration has it ask for.

    Raises
    ------
    BadRequest
      It cannot be understood.
    """
    text = workplace.setting(SETTING)
    return read_resources([text], f"the setting {SETTING}") if text else {}


def auto_finish_command(
    workplace: Workplace, plan: Plan, ids: Sequence[str], also: Sequence[str] = ()
) -> tuple[str, ...]:
    """The submission, ``sbatch`` first.

    Parameters
    ----------
    ids:
      The job's ids at its scheduler; the first is its name.
    also:
      Names of jobs that are to be finished before.

    Raises
    ------
    BadRequest
      The user's configuration cannot be understood.
    """
    log = str(_log_folder(workplace) / f"{ids[0]}.log").replace("%", "%%")
    return (
        "sbatch",
        f"--job-name=finish-{ids[0]}",
        f"--dependency=afterany:{':'.join(ids)}",
        f"--output={log}",
        *as_arguments(merged(_like(plan.batch.options), own_options(workplace))),
        f"--wrap={_script(workplace, [*also, ids[0]])}",
    )


def with_auto_finish(
    workplace: Workplace, store: Store, scheduler: Scheduler, plan: Plan, submitted: Result
) -> Result:
    """Submit it for a job that the scheduler has got, if that was asked for.

    Whatever becomes of it, the job is tracked and can be finished by hand.

    Parameters
    ----------
    submitted:
      The result of the job.

    Returns
    -------
    dict
      The same that also tells of this: its id is in ``auto_finish``.
    """
    if not plan.request.auto_finish:
        return submitted
    name = str(submitted["slurm_job_id"])
    ids = [str(job_id) for job_id in submitted.get("slurm_job_ids", [name])]
    try:
        also = [job.label for job in _before(store, plan.waits.rows)]
        job_id = _submit(workplace, scheduler, auto_finish_command(workplace, plan, ids, also))
        told = f"; job {job_id} finishes it when it is over"
    except (HpcError, OSError) as error:
        job_id = ""
        doubt = isinstance(error, SubmissionUncertain)
        what = "may not have been submitted" if doubt else "could not be submitted"
        why = str(error).rstrip(".")
        told = f"; its automatic finish {what} ({why}): run `datalad finish {name}` when it is over"
        lgr.warning("The automatic finish of job %s %s", name, what)
    text = ("%s", message_text(submitted) + visible(told))
    return type(submitted)({**submitted, "message": text, "auto_finish": job_id})


def _submit(workplace: Workplace, scheduler: Scheduler, argv: Sequence[str]) -> str:
    _log_folder(workplace).mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(8)
    marked = comment_with_token(read_batch_command(argv, FOLDER, os.environ), token)
    return scheduler.submit(Handover(marked, FOLDER, token)).job_id


def _log_folder(workplace: Workplace) -> Path:
    return workplace.local_state / "auto-finish"


def _like(options: Mapping[str, str]) -> dict[str, str]:
    """What the job asks for that this one needs as well, and no more time than it."""
    found = {name: options[name] for name in LIKE_THE_JOB if options.get(name)}
    if limit := limit_of(options.get("time", "")):
        # At least one minute.
        found["time"] = str(min(max(1, limit // 60), LONGEST))
    return found


def _script(workplace: Workplace, names: Sequence[str]) -> str:
    """What it runs: this program, which finds what it needs as we do."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)])
    variables = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    given = [f"{name}={value}" for name, value in variables.items() if value]
    finish = [sys.executable, "-c", MAIN, "finish", "-d", str(workplace.root)]
    return shlex.join(["exec", "env", *given, *finish, "--wait", "--timeout", PATIENCE, *names])


def _before(store: Store, rows: Iterable[int]) -> list[Job]:
    """Open jobs that are to be committed before and have an automatic finish: it may be late."""
    found: dict[int, Job] = {}
    wanted = set(rows)
    while wanted:
        jobs = [job for job in store.jobs_of(wanted) if job.state.holds_claims]
        found |= {job.key: job for job in jobs if job.request.auto_finish}
        wanted = {row for job in jobs for row in job.depends_on} - found.keys()
    return [found[row] for row in sorted(found)]
