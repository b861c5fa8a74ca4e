"""From what a user typed to a request, its paths made relative to the dataset's root."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from datalad_hpc.claims import shown
from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.placeholders import fill_paths, one_line, recordable
from datalad_hpc.plans.containers import contained
from datalad_hpc.plans.resource_templates import wanted
from datalad_hpc.plans.sweep_tables import table_of, used
from datalad_hpc.staging.sending import check_alternative
from datalad_hpc.templates import TASK, refuse_variants, template_of
from datalad_hpc.workplace import Workplace

SUBSTITUTIONS = "datalad.run.substitutions."


def make_request(
    workplace: Workplace,
    cmd: str | Sequence[str] | None = None,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    alt_dir: str | None = None,
    message: str = "",
    container: str | None = None,
    foreach: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    foreach_file: str | None = None,
    resources: Sequence[str] = (),
    template: str | None = None,
    **options: Any,
) -> Request:
    """What a user wants, with the placeholders in its paths filled in.

    Raises
    ------
    BadRequest
      It has no command or no output, a path that cannot be one, a text that no commit can
      hold, or needs that cannot be understood; or it cannot run in its container.
    """
    if not cmd or not one_line(cmd):
        raise BadRequest("no command is given; it follows the options of `datalad schedule`")
    if not outputs:
        raise BadRequest(
            "at least one output is needed (-o PATH), which the job reserves and `datalad finish` "
            "commits"
        )
    values = {**substitutions(workplace), "inputs": list(inputs), "outputs": list(outputs)}
    command = one_line(cmd)
    declared: tuple[str, ...] = ()
    sweep = table_of(workplace.here, foreach, foreach_file)
    if sweep:
        sweep = used(sweep, [command, message, *inputs, *outputs])
        # Paths are made relative to the root before a task's values are put in.
        marks = {name: secrets.token_hex(8) for name in sweep[0]}
        values |= marks
        task_outputs = _templates(workplace, outputs, values, marks)
        paths = tuple(template_of(path, marks) for path in fill_paths(inputs, values))
    else:
        declared, task_outputs = _declared(workplace, outputs, values)
        paths = fill_paths(inputs, values)
    request = Request(
        command=command,
        message=recordable("the message", message),
        folder=workplace.folder,
        inputs=paths,
        outputs=declared,
        task_outputs=task_outputs,
        alternative=check_alternative(alt_dir, workplace.root) if alt_dir else None,
        sweep=sweep,
        resources=wanted(workplace, resources, template),
        **options,
    )
    return request if container is None else contained(workplace, request, container)


def _declared(
    workplace: Workplace, outputs: Sequence[str], values: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Outputs of the whole job, and templates for those of each task."""
    if TASK not in values:
        for path in outputs:
            refuse_variants(path)
    mark = secrets.token_hex(8)
    filled = fill_paths(outputs, {TASK: mark, **values})
    paths = [shown(workplace.claim(path)) for path in filled]
    templates = tuple(template_of(path, {TASK: mark}) for path in paths if mark in path)
    return tuple(path for path in paths if mark not in path), templates


def _templates(
    workplace: Workplace,
    outputs: Sequence[str],
    values: Mapping[str, Any],
    marks: Mapping[str, str],
) -> tuple[str, ...]:
    """Templates for the outputs of each task of a sweep.

    Raises
    ------
    BadRequest
      An output has no placeholder of the sweep, and so would be that of all tasks.
    """
    paths = [shown(workplace.claim(path)) for path in fill_paths(outputs, values)]
    for path in paths:
        if not any(mark in path for mark in marks.values()):
            raise BadRequest(
                f"the output {path} would be that of all tasks of the sweep; have "
                f"{{{next(iter(marks))}}} in it, so that each task has its own"
            )
    return tuple(template_of(path, marks) for path in paths)


def substitutions(workplace: Workplace) -> dict[str, Any]:
    """Placeholders of the user's own, configured as for ``datalad run``."""
    return {
        name[len(SUBSTITUTIONS) :]: value
        for name, value in workplace.config.items()
        if name.startswith(SUBSTITUTIONS)
    }
