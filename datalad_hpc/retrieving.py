"""What a job needs before it is submitted, by DataLad's own means: inputs, and subdatasets."""

from __future__ import annotations

from collections.abc import Sequence

from datalad_hpc.commit import preparing
from datalad_hpc.commit.trees import ANNEX_POINTER
from datalad_hpc.errors import BadRequest
from datalad_hpc.interruption import ending_with_us
from datalad_hpc.job import Claim, Request
from datalad_hpc.results import message_text
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace


def get_inputs(workplace: Workplace, request: Request) -> None:
    """Retrieve the content of inputs.

    Raises
    ------
    BadRequest
      An input cannot be had.
    """
    wanted = [path for path in request.inputs if not _is_here(workplace, request.folder, path)]
    wanted += request.extra_inputs
    if wanted:
        retrieve(workplace, request, wanted)


def retrieve(workplace: Workplace, request: Request, wanted: Sequence[str]) -> None:
    """Retrieve the content of files.

    Raises
    ------
    BadRequest
      It cannot be had.
    """
    from datalad.core.local.run import prepare_inputs
    from datalad.support.globbedpaths import GlobbedPaths
    from datalad.utils import chpwd

    folder = str(workplace.root / request.folder)
    with chpwd(folder), ending_with_us():
        paths = GlobbedPaths(wanted, pwd=folder)
        results = list(prepare_inputs(str(workplace.root), paths, jobs=request.jobs))
    failed = [found for found in results if found["status"] in ("error", "impossible")]
    if failed:
        reasons = [f"{found['path']}: {message_text(found)}" for found in failed]
        raise BadRequest(f"not all inputs could be retrieved: {some_of(reasons)}")


def _is_here(workplace: Workplace, folder: str, path: str) -> bool:
    """Whether an input is a file with its content, so that nobody has to be asked for it."""
    full = workplace.root / folder / path
    if not full.is_file():
        return False
    with full.open("rb") as file:
        return full.is_symlink() or file.read(len(ANNEX_POINTER)) != ANNEX_POINTER


def install_subdatasets(workplace: Workplace, outputs: Sequence[Claim]) -> None:
    """Install the subdatasets that outputs lie in, without their content."""
    missing = preparing.subdatasets_to_install(workplace.root, outputs)
    if not missing:
        return
    from datalad.distribution.get import Get

    with ending_with_us():
        Get()(
            dataset=str(workplace.root),
            path=[str(workplace.root / path) for path in missing],
            get_data=False,
            on_failure="ignore",
            result_renderer="disabled",
        )
