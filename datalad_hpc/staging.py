"""Inputs out to, and outputs back from, an alternative directory.

Files keep their place: what is ``a/b`` in the dataset is ``a/b`` there. No
symbolic link is followed on the way back, so nothing from outside of the
alternative directory can get into the dataset.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from datalad_hpc.claims import matches
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.globs import split_glob
from datalad_hpc.job import Claim, ClaimKind


def check_alternative(path: str, root: Path) -> str:
    """The real path of an alternative directory.

    Raises
    ------
    BadRequest
      It does not exist, or lies in the dataset (or the dataset in it).
    """
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        raise BadRequest(f"The alternative directory {path} does not exist; nothing was changed")
    if os.path.commonpath([real, root]) in (real, str(root)):
        raise BadRequest(
            f"The alternative directory {path} and the dataset at {root} lie in one another; "
            "nothing was changed, choose a folder outside of the dataset"
        )
    return real


def stage_inputs(root: Path, alternative: Path, paths: Iterable[str]) -> None:
    """Copy inputs, the content of annexed files in place of their links.

    Parameters
    ----------
    root:
      The dataset's root.
    alternative:
      Where the copies go.
    paths:
      Files and folders relative to the root.
    """
    for path in paths:
        for file in _files_of(root, path):
            _copy(root / file, alternative / file)


def _files_of(root: Path, path: str) -> Iterator[str]:
    if not (root / path).is_dir():
        if (root / path).exists():
            yield path
        return
    for folder, folders, files in os.walk(root / path):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            if name != ".git" and os.path.exists(os.path.join(folder, name)):
                yield os.path.relpath(os.path.join(folder, name), root)


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless the same version is there already."""
    status = source.stat()
    with contextlib.suppress(FileNotFoundError):
        there = target.stat()
        if (there.st_size, int(there.st_mtime)) == (status.st_size, int(status.st_mtime)):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as scratch:
        shutil.copyfile(source, scratch)
        os.utime(scratch, ns=(status.st_atime_ns, status.st_mtime_ns))
        scratch.chmod(stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
        os.replace(scratch, target)


def make_folders(alternative: Path, folder: str, claims: Iterable[Claim]) -> None:
    """Make the folder where a job runs, and those that its outputs go to."""
    (alternative / folder).mkdir(parents=True, exist_ok=True)
    for claim in claims:
        path = split_glob(claim.path)[0] if claim.kind is ClaimKind.GLOB else claim.path
        is_folder = claim.kind in (ClaimKind.FOLDER, ClaimKind.GLOB)
        wanted = alternative / path if is_folder else (alternative / path).parent
        wanted.mkdir(parents=True, exist_ok=True)


def bring_back(root: Path, alternative: Path, claims: Iterable[Claim], scratch: Path) -> list[str]:
    """Move a job's outputs from the alternative directory to their place in the dataset.

    Each file appears in the dataset whole or not at all; a second call goes on
    where the first was interrupted.

    Parameters
    ----------
    root:
      The dataset's root.
    alternative:
      Where the job ran.
    claims:
      The job's claims.
    scratch:
      Folder in the dataset's file system for half-copied files.

    Returns
    -------
    list
      The files that were moved, relative to the root.

    Raises
    ------
    HpcError
      A folder on the way is a symbolic link, which is not followed.
    """
    moved: dict[str, None] = {}
    for claim in claims:
        for path in _claimed_files(alternative, claim):
            if path not in moved:
                _move(alternative / path, root / path, root, scratch)
                moved[path] = None
    return list(moved)


def _claimed_files(alternative: Path, claim: Claim) -> Iterator[str]:
    starts = {claim.path}
    if claim.kind is ClaimKind.GLOB:
        starts.add(split_glob(claim.path)[0])
    for start in starts:
        _refuse_links(alternative, start)
        for path in _walk(alternative, start):
            if matches(claim, path):
                yield path


def _refuse_links(top: Path, path: str) -> None:
    for parent in Path(path).parents:
        if (top / parent).is_symlink() and parent != Path():
            raise HpcError(
                f"{top / parent} is a symbolic link and is not followed; the outputs were left "
                "where they are, put them into the dataset yourself and finish again"
            )


def _walk(top: Path, path: str) -> Iterator[str]:
    """Files and links at and below a path; nothing that Git could take for its own."""
    full = top / path
    if full.is_symlink() or full.is_file():
        yield path
    elif full.is_dir():
        for name in sorted(os.listdir(full)):
            if name != ".git":
                yield from _walk(top, f"{path}/{name}" if path else name)


def _move(source: Path, target: Path, root: Path, scratch: Path) -> None:
    if os.path.commonpath([os.path.realpath(target.parent), root]) != str(root):
        raise HpcError(
            f"{target.parent} leads out of the dataset; the outputs were left in "
            f"{source.parent}, put the folder right and finish again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError:
        # Another file system: copy to where the last step is a rename.
        _copy_over(source, target, scratch)
        source.unlink()


def _copy_over(source: Path, target: Path, scratch: Path) -> None:
    with _beside(scratch / "incoming") as half:
        half.unlink()
        shutil.copy2(source, half, follow_symlinks=False)
        os.replace(half, target)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".datalad-hpc-")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
