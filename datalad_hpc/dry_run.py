"""What would be submitted."""

from __future__ import annotations

import shlex

from datalad_hpc.job import Request
from datalad_hpc.planned_logs import log_claims
from datalad_hpc.planning import make_plan
from datalad_hpc.results import Result, result
from datalad_hpc.workplace import Workplace


def dry_run(workplace: Workplace, request: Request, *, action: str) -> Result:
    """What would be submitted; changes nothing."""
    plan = make_plan(workplace, request)
    return result(
        action,
        workplace.root,
        "ok",
        "dry run: nothing was submitted",
        dry_run={
            "command": request.command,
            "argv": list(plan.batch.argv),
            "command_line": shlex.join(plan.batch.argv),
            "script": plan.batch.text,
            "folder": plan.folder,
            "inputs": list(plan.inputs),
            "extra_inputs": list(request.extra_inputs),
            "outputs": list(request.declared),
            "logs": [claim.path for claim in log_claims(workplace, plan, "JOBID")],
            "tasks": list(plan.tasks) if plan.tasks is not None else None,
        },
    )
