"""The plan of a job together with what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from datalad_hpc.chains.dependencies import agreed, look, look_again
from datalad_hpc.errors import ContentMissing
from datalad_hpc.job import Request
from datalad_hpc.plans.planning import Plan, make_plan
from datalad_hpc.retrieving import retrieve
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.store import Store
from datalad_hpc.workplace import Workplace

SchedulerNamed = Callable[[str], Scheduler]
"""Gives a scheduler by its name."""


def planned(
    workplace: Workplace,
    store: Store,
    scheduler: Scheduler,
    scheduler_named: SchedulerNamed,
    request: Request,
    among: Collection[int] | None = None,
) -> Plan:
    """The plan of a job.

    Parameters
    ----------
    scheduler_named:
      Schedulers of the jobs that it may wait for.
    among:
      As :func:`.look` takes it.

    Raises
    ------
    BadRequest
      Something is wrong with it, or it cannot wait for what makes its inputs.
    """
    waits = look(workplace, store, scheduler_named, request, among)
    try:
        plan = make_plan(workplace, request, waits)
    except ContentMissing as missing:
        # In a fresh clone the batch script itself may still have to be retrieved.
        retrieve(workplace, request, [missing.path])
        plan = make_plan(workplace, request, waits)
    return replace(plan, waits=agreed(waits, scheduler, plan.batch))


def looked_at_again(store: Store, scheduler: Scheduler, plan: Plan) -> Plan:
    """The same, if a preparation has taken long, with what there is to wait for now.

    Raises
    ------
    BadRequest
      A job that it was to wait for has failed.
    """
    if time.monotonic() < plan.waits.until:
        return plan
    waits = look_again(plan.waits, store, scheduler, plan.request)
    return replace(plan, waits=agreed(waits, scheduler, plan.batch))
