"""Inputs out to, and outputs back from, an alternative directory.

Files keep their place: what is ``a/b`` in the dataset is ``a/b`` there. No
symbolic link is followed on the way back, so nothing from outside of the
alternative directory can get into the dataset.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from datalad_hpc.claims import matches, reaches
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.globs import top_of
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
      Files and folders relative to the root. Links to folders that lie in such
      a folder are made anew.

    Raises
    ------
    BadRequest
      A file cannot be copied.
    """
    for path in paths:
        for file in _files_of(root, path):
            with _in_plain_words(f"The input {file} could not be copied to {alternative}"):
                if os.path.isdir(root / file):
                    _link_again(root / file, alternative / file)
                else:
                    _copy(root / file, alternative / file)


def _files_of(root: Path, path: str) -> Iterator[str]:
    """Files with content at and below a path, and links to folders below it."""
    if not os.path.isdir(root / path):
        if os.path.exists(root / path):
            yield path
        return
    for folder, folders, files in os.walk(root / path):
        folders[:] = sorted(name for name in folders if name != ".git")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            if name != ".git" and os.path.exists(os.path.join(folder, name)):
                yield os.path.relpath(os.path.join(folder, name), root)


def _link_again(source: Path, target: Path) -> None:
    destination = os.readlink(source)
    if target.is_symlink() and os.readlink(target) == destination:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as scratch:
        scratch.unlink()
        scratch.symlink_to(destination)
        os.replace(scratch, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless the same version is there already."""
    status = source.stat()
    with contextlib.suppress(FileNotFoundError):
        if _same_version(status, target.lstat()):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as scratch:
        shutil.copyfile(source, scratch)
        os.utime(scratch, ns=(status.st_atime_ns, status.st_mtime_ns))
        scratch.chmod(stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
        os.replace(scratch, target)


def _same_version(status: os.stat_result, there: os.stat_result) -> bool:
    # Some file systems keep times in whole seconds, or in microseconds.
    times = [status.st_mtime_ns // unit * unit for unit in (1, 10**3, 10**9)]
    size = status.st_size
    return stat.S_ISREG(there.st_mode) and there.st_size == size and there.st_mtime_ns in times


@contextlib.contextmanager
def _in_plain_words(sentence: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadRequest(f"{sentence}: {error.strerror}; nothing was submitted") from error


def make_folders(alternative: Path, folder: str, claims: Iterable[Claim]) -> None:
    """Make the folder where a job runs, and those that its outputs go to.

    Raises
    ------
    BadRequest
      A folder cannot be made.
    """
    folders = [folder, *(_folder_for(claim) for claim in claims)]
    for path in dict.fromkeys(folders):
        with _in_plain_words(f"The folder {alternative / path} could not be made"):
            (alternative / path).mkdir(parents=True, exist_ok=True)


def _folder_for(claim: Claim) -> str:
    if claim.kind is ClaimKind.FOLDER:
        return claim.path
    folder = os.path.dirname(claim.path)
    return top_of(folder) if claim.kind is ClaimKind.GLOB else folder


def bring_back(root: Path, alternative: Path, claims: Iterable[Claim], scratch: Path) -> list[str]:
    """Move a job's outputs from the alternative directory to their place in the dataset.

    Each file appears in the dataset whole or not at all; a second call goes on
    where the first was interrupted.

    Parameters
    ----------
    root:
      The dataset's root, symbolic links resolved.
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
      A folder on the way is a symbolic link, which is not followed, or a file cannot be moved.
    """
    moved: dict[str, None] = {}
    for claim in claims:
        for path in _claimed_files(alternative, claim):
            if path not in moved:
                _move(alternative / path, root / path, scratch)
                moved[path] = None
    return list(moved)


def _claimed_files(alternative: Path, claim: Claim) -> Iterator[str]:
    starts = {claim.path}
    if claim.kind is ClaimKind.GLOB:
        starts.add(top_of(claim.path))
    for start in sorted(starts):
        _refuse_links(alternative, start)
        for path in _walk(alternative, start, claim):
            if matches(claim, path):
                yield path


def _refuse_links(top: Path, path: str) -> None:
    for parent in Path(path).parents:
        if (top / parent).is_symlink() and parent != Path():
            raise HpcError(
                f"{top / parent} is a symbolic link and is not followed; the outputs were left "
                "where they are, put them into the dataset yourself and finish again"
            )


def _walk(top: Path, path: str, claim: Claim) -> Iterator[str]:
    """Files and links at and below a path; nothing that Git could take for its own."""
    full = top / path
    if os.path.islink(full) or os.path.isfile(full):
        yield path
    elif os.path.isdir(full) and reaches(claim, path):
        for name in sorted(os.listdir(full)):
            if name != ".git":
                yield from _walk(top, f"{path}/{name}" if path else name, claim)


def _move(source: Path, target: Path, scratch: Path) -> None:
    if os.path.realpath(target.parent) != str(target.parent):
        # Be it out of the dataset, or to where Git keeps its hooks.
        raise HpcError(
            f"{target.parent} has become a symbolic link, or lies behind one, which is not "
            f"followed; the outputs were left in {source.parent}, put the folder right and "
            "finish again"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(source, target, scratch)
    except OSError as error:
        raise HpcError(
            f"{source} could not be moved to {target}: {error.strerror}; it was left where it is"
        ) from error


def _replace(source: Path, target: Path, scratch: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system: copy to where the last step is a rename.
        _copy_over(source, target, scratch)
        source.unlink()


def _copy_over(source: Path, target: Path, scratch: Path) -> None:
    # A worktree may lie on another file system than Git's folder.
    near = scratch.stat().st_dev == target.parent.stat().st_dev
    with _beside(scratch / "incoming" if near else target) as half:
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
