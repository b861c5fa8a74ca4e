"""What a job needs before it is submitted, by DataLad's own means: inputs, and subdatasets."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from datalad_hpc.commit import preparing
from datalad_hpc.commit.trees import ANNEX_OBJECTS, ANNEX_POINTER
from datalad_hpc.errors import BadRequest
from datalad_hpc.interruption import ending_with_us
from datalad_hpc.job import Claim, Request
from datalad_hpc.placeholders import expand_paths
from datalad_hpc.results import message_text
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace


def get_inputs(workplace: Workplace, request: Request, to_come: Collection[str] = ()) -> None:
    """Retrieve the content of inputs.

    Parameters
    ----------
    to_come:
      Inputs that another job makes, and of which there is nothing yet.

    Raises
    ------
    BadRequest
      An input cannot be had.
    """
    here = workplace.root / request.folder
    wanted = [path for path in request.inputs if not _is_here(here / path)]
    if wanted := [path for path in wanted if path not in to_come]:
        retrieve(workplace, request, wanted)


def get_extra_inputs(workplace: Workplace, request: Request, to_come: Collection[str] = ()) -> None:
    """Retrieve what is no input of the command itself, such as the image of its container.

    Parameters
    ----------
    to_come:
      As in :func:`get_inputs`.

    Raises
    ------
    BadRequest
      It cannot be had.
    """
    here = workplace.root / request.folder
    wanted = [path for path in request.extra_inputs if not _is_whole(here / path)]
    wanted = [path for path in wanted if path not in to_come]
    if not wanted:
        return
    try:
        retrieve(workplace, request, wanted)
    except BadRequest as error:
        if not request.container:
            raise
        raise BadRequest(
            f"the container {request.container!r} is not complete here: {error}; see where its "
            "image can be had (`git annex whereis`), make that place known or reachable, and run "
            "the command again"
        ) from error


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

    class Wanted(GlobbedPaths):
        def expand_strict(self) -> list[str]:
            # Subdatasets are installed by now. DataLad would go on with an empty list, and get
            # the content of the whole dataset.
            _refuse_absent(wanted, Path(folder))
            return list(super().expand_strict())

    with chpwd(folder), ending_with_us():
        paths = Wanted(wanted, pwd=folder)
        results = list(prepare_inputs(str(workplace.root), paths, jobs=request.jobs))
    failed = [found for found in results if found["status"] in ("error", "impossible")]
    if failed:
        reasons = [f"{found['path']}: {message_text(found)}" for found in failed]
        raise BadRequest(f"not all inputs could be retrieved: {some_of(reasons)}")


def _refuse_absent(wanted: Sequence[str], folder: Path) -> None:
    absent = [
        f"{path}: there is no such file"
        for path in wanted
        if not any(os.path.lexists(folder / found) for found in expand_paths([path], folder))
    ]
    if absent:
        raise BadRequest(f"not all inputs could be retrieved: {some_of(absent)}")


def _is_here(path: Path) -> bool:
    """Whether an input is a file with its content, so that nobody has to be asked for it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.is_symlink() or file.read(len(ANNEX_POINTER)) != ANNEX_POINTER


def _is_whole(path: Path) -> bool:
    """The same of a folder, too: an image may be one, and many jobs may need it."""
    if not path.is_dir():
        return _is_here(path)
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    return bool(files) and not any(map(_is_missing, files))


def _is_missing(path: Path) -> bool:
    if path.is_symlink():
        # Links that are broken by nature, as in the folder of a system, are nothing to retrieve.
        return ANNEX_OBJECTS in os.readlink(path) and not path.exists()
    return path.is_file() and not _is_here(path)


def install_subdatasets(workplace: Workplace, outputs: Sequence[Claim]) -> None:
    """Install the subdatasets that outputs lie in, without their content."""
    missing = preparing.subdatasets_to_install(workplace.root, outputs)
    if missing:
        install(workplace, missing)


def install(workplace: Workplace, subdatasets: Sequence[str]) -> None:
    """Install subdatasets as far as they can be had, without their content."""
    from datalad.distribution.get import Get

    with ending_with_us():
        Get()(
            dataset=str(workplace.root),
            path=[str(workplace.root / path) for path in subdatasets],
            get_data=False,
            on_failure="ignore",
            result_renderer="disabled",
        )
