"""What a planned job needs before it is submitted: inputs, writable outputs, folders of logs."""

from __future__ import annotations

import os
import posixpath
from dataclasses import replace
from pathlib import Path

from datalad_hpc.claims import CoveredFiles
from datalad_hpc.commit import preparing
from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import top_of
from datalad_hpc.job import ClaimKind, ClaimRole, Job
from datalad_hpc.located import is_gits_own
from datalad_hpc.placeholders import expand_paths
from datalad_hpc.plans.filling import make_temporary
from datalad_hpc.plans.planning import Plan
from datalad_hpc.retrieving import get_extra_inputs, get_inputs, install_subdatasets
from datalad_hpc.schedulers.sbatch import work_folder
from datalad_hpc.staging import sending as staging
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace


def prepare(workplace: Workplace, plan: Plan, job: Job) -> None:
    """Get inputs, make existing outputs writable, make the folders of logs.

    Raises
    ------
    BadRequest
      An input cannot be had, or a folder cannot be made.
    """
    request = plan.request
    if request.assume_ready not in ("inputs", "both"):
        wanted = replace(request, inputs=plan.inputs) if request.sweep else request
        get_inputs(workplace, wanted, plan.waits.to_come)
    get_extra_inputs(workplace, request, plan.waits.to_come)
    make_temporary(request, plan.token)
    if request.alternative:
        _prepare_alternative(workplace, plan, job, Path(request.alternative))
    elif request.assume_ready not in ("outputs", "both"):
        install_subdatasets(workplace, plan.outputs)
        # With the logs: one of a fixed name is there from the last time.
        preparing.make_writable(workplace.root, job.claims, job.token)
    if not request.alternative:
        _make_log_folders(workplace.root, job)


def _prepare_alternative(workplace: Workplace, plan: Plan, job: Job, alternative: Path) -> None:
    here = workplace.root / plan.request.folder
    inputs = [os.path.relpath(here / path, workplace.root) for path in plan.inputs]
    found = expand_paths(plan.request.extra_inputs, here)
    extra_inputs = [os.path.relpath(here / path, workplace.root) for path in found]
    outside = [
        path
        for path in (*inputs, *extra_inputs)
        if f"{path}/".startswith("../") or is_gits_own(workplace.without_links(path))
    ]
    if outside:
        raise BadRequest(
            f"inputs outside of the dataset, or in Git's own folder, cannot be copied: "
            f"{some_of(outside)}"
        )
    staging.make_folders(alternative, plan.request.folder, job.claims)
    chdir = Path(os.path.normpath(work_folder(plan.batch, plan.folder)))
    if chdir.is_relative_to(alternative):
        staging.make_folder(alternative, str(chdir.relative_to(alternative)))
    made = CoveredFiles(plan.waits.made_there)
    staging.stage_inputs(workplace.root, alternative, inputs, made)
    staging.stage_inputs(workplace.root, alternative, extra_inputs, made, with_links=True)


def _make_log_folders(root: Path, job: Job) -> None:
    """A job whose log folder is missing fails without a word, and without a log."""
    for claim in job.claims:
        if claim.role is ClaimRole.LOG:
            folder = posixpath.dirname(claim.path)
            folder = top_of(folder) if claim.kind is ClaimKind.GLOB else folder
            try:
                (root / folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadRequest(
                    f"the folder {root / folder} for the job's log could not be made: "
                    f"{error.strerror}"
                ) from error
