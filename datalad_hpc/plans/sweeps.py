"""The submission of a sweep: a command, inputs and claims for each of its tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from datalad_hpc.claims import ClaimedPaths, shown
from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import names_of
from datalad_hpc.job import Claim, ClaimKind, Request
from datalad_hpc.placeholders import expand_paths, fill_shell_text, is_submission
from datalad_hpc.plans.filling import fixed_values, made_into_script, values_of_paths
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.sweeps import Values, batch_script_body, task_request
from datalad_hpc.wording import ranges
from datalad_hpc.workplace import Workplace


@dataclass(frozen=True)
class _Task:
    """One task, worked out."""

    command: str
    inputs: tuple[str, ...]
    claims: tuple[Claim, ...]


def plan_sweep(
    workplace: Workplace,
    request: Request,
    folder: str,
    token: str,
    later: Collection[str] = (),
) -> tuple[BatchCommand, tuple[Claim, ...], tuple[str, ...]]:
    """What is submitted for a sweep, what its tasks claim, and their inputs.

    Parameters
    ----------
    later:
      Inputs that are globs and stay so.

    Raises
    ------
    BadRequest
      It is no plain command, or two tasks would write the same.
    """
    if is_submission(request.command) or request.submits:
        raise BadRequest(
            "a sweep (--foreach) runs a command for each task; the command starts with sbatch or "
            "submits jobs itself, so give what its script runs, or ask sbatch for an --array"
        )
    if request.expand in ("inputs", "both"):
        raise BadRequest("inputs of a sweep (--foreach) are recorded as given; leave --expand out")
    fixed = fixed_values(workplace, request, folder, token)
    wanted = request.only_tasks or range(len(request.sweep))
    of_tasks = {
        index: _planned(workplace, request, fixed, index, request.sweep[index], later)
        for index in wanted
    }
    planned = of_tasks.values()
    claims = tuple(claim for task in planned for claim in task.claims)
    _refuse_shared(claims, request.sweep)
    inputs = tuple(dict.fromkeys(path for task in planned for path in task.inputs))
    first = next(iter(planned)).command
    limit = f"%{request.max_concurrent}" if request.max_concurrent else ""
    indices = ranges(request.only_tasks) if request.only_tasks else f"0-{len(of_tasks) - 1}"
    array = {"array": f"{indices}{limit}"}
    body = batch_script_body([_command(of_tasks.get(at)) for at in range(len(request.sweep))])
    return made_into_script(workplace, request, first, body, folder, array), claims, inputs


def _command(task: _Task | None) -> str:
    """What a task runs; nothing if the array is without it."""
    return task.command if task else ":"


def _planned(
    workplace: Workplace,
    request: Request,
    fixed: Values,
    index: int,
    values: Values,
    later: Collection[str],
) -> _Task:
    task = task_request(request, values)
    paths = (template.format(**values) for template in request.task_outputs)
    claims = tuple(
        replace(workplace.claim(path, base=workplace.root), task=index) for path in paths
    )
    inputs = tuple(expand_paths(task.inputs, workplace.root / request.folder, later))
    declared = [shown(claim) for claim in claims]
    filled = {**fixed, **values_of_paths(workplace, request.folder, inputs, declared)}
    return _Task(fill_shell_text(task.command, filled), inputs, claims)


def _refuse_shared(claims: Sequence[Claim], sweep: Sequence[Values]) -> None:
    """Refuse outputs that more than one task would write.

    Raises
    ------
    BadRequest
      There is one.
    """
    for one, other in _shared(claims):
        assert one.task is not None
        assert other.task is not None
        raise BadRequest(
            f"the output {shown(other)} of the task with {_told(sweep[other.task])} would also be "
            f"that of the one with {_told(sweep[one.task])}; have enough placeholders in -o for "
            "each task to have its own"
        )


def _told(values: Values) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _shared(claims: Sequence[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Two claims of different tasks that could cover a common path, if there are any."""
    literal = [claim for claim in claims if claim.kind is not ClaimKind.GLOB]
    # In this order a path comes right before what lies beneath it.
    ordered = sorted(literal, key=lambda claim: names_of(claim.path))
    above: list[Claim] = []
    for claim in ordered:
        names = names_of(claim.path)
        while above and names[: len(names_of(above[-1].path))] != names_of(above[-1].path):
            above.pop()
        if above and above[-1].task != claim.task:
            yield above[-1], claim
        above.append(claim)
    globs = [claim for claim in claims if claim.kind is ClaimKind.GLOB]
    if globs:
        yield from _shared_with_globs(list(claims))


def _shared_with_globs(claims: Sequence[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """The same by halves: each half of the tasks is asked for what the other one holds."""
    of_task = {task: list(group) for task, group in groupby(claims, key=lambda each: each.task)}
    tasks = sorted(task for task in of_task if task is not None)
    if len(tasks) < 2:
        return
    first, second = (
        [claim for task in half for claim in of_task[task]]
        for half in (tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :])
    )
    held = ClaimedPaths((claim, str(at)) for at, claim in enumerate(first))
    for claim in second:
        if (holder := held.holder(claim)) is not None:
            yield first[int(holder)], claim
    yield from _shared_with_globs(first)
    yield from _shared_with_globs(second)
