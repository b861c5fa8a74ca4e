"""What would be submitted."""

from __future__ import annotations

import shlex
from typing import Any

from datalad_hpc.job import Request
from datalad_hpc.placeholders import is_submission
from datalad_hpc.plans.logs import log_claims
from datalad_hpc.plans.planning import Plan, make_plan
from datalad_hpc.results import Result, result
from datalad_hpc.schedulers.base import Estimate, Scheduler
from datalad_hpc.submitting.auto_finish import auto_finish_command
from datalad_hpc.workplace import Workplace


def dry_run(
    workplace: Workplace, request: Request, *, action: str, scheduler: Scheduler | None = None
) -> Result:
    """What would be submitted; changes nothing.

    Parameters
    ----------
    scheduler:
      Who is asked what would become of the job, if anybody is.
    """
    plan = make_plan(workplace, request)
    # Of the jobs of a program of the site's nothing is known before it has run.
    asked = None if request.submits else scheduler
    estimate = asked.estimate(plan.batch, plan.folder) if asked else None
    return result(
        action,
        workplace.root,
        "ok",
        "dry run: nothing was submitted",
        dry_run={
            "command": request.command,
            "argv": list(plan.batch.argv),
            "command_line": shlex.join(plan.batch.argv),
            "script": None if is_submission(request.command) else plan.batch.text,
            "folder": plan.folder,
            "inputs": list(plan.inputs),
            "extra_inputs": list(request.extra_inputs),
            "outputs": list(request.declared),
            "logs": [claim.path for claim in log_claims(workplace, plan, "JOBID")],
            "tasks": list(plan.tasks) if plan.tasks is not None else None,
            "auto_finish": _auto_finish(workplace, plan),
            "estimate": _told(asked, estimate) if asked and estimate else None,
        },
    )


def _auto_finish(workplace: Workplace, plan: Plan) -> str | None:
    if not plan.request.auto_finish:
        return None
    return shlex.join(auto_finish_command(workplace, plan, ["JOBID"]))


def _told(scheduler: Scheduler, estimate: Estimate) -> dict[str, Any]:
    start = estimate.start
    return {
        "scheduler": scheduler.name,
        "accepted": estimate.accepted,
        "start": start.isoformat() if start else None,
        "words": estimate.words,
    }
