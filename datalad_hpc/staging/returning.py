"""Outputs back from an alternative directory.

No symbolic link is followed on the way, so nothing from outside of the
alternative directory can get into the dataset, and nothing gets out of the dataset.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from datalad_hpc.beneath import LinkInTheWay, copy_entry, free_name, opened
from datalad_hpc.claims import matches, reaches
from datalad_hpc.errors import HpcError
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind
from datalad_hpc.located import is_gits_own


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
        for folder, names in _claimed(alternative, claim):
            paths = {os.path.join(folder, name): name for name in names}
            new = {path: name for path, name in paths.items() if path not in moved}
            if new:
                _move_all(root, alternative, folder, new.values(), scratch)
                moved.update(dict.fromkeys(new))
    return list(moved)


def _claimed(alternative: Path, claim: Claim) -> Iterator[tuple[str, list[str]]]:
    """Folders, and the names of a claim's files and links in them."""
    starts = {claim.path}
    if claim.kind is ClaimKind.GLOB:
        starts.add(top_of(claim.path))
    for start in sorted(starts):
        folder, name = os.path.split(start)
        for found, names in _walk(alternative, folder, claim, only=name):
            mine = [name for name in names if matches(claim, os.path.join(found, name))]
            if mine:
                yield found, mine


def _walk(
    top: Path, folder: str, claim: Claim, *, only: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Names of files and links in a folder and below it, but for those that are Git's own."""
    below, names = [], []
    try:
        with opened(top, folder) as descriptor, os.scandir(descriptor) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if only not in ("", entry.name) or entry.name == ".git":
                    continue
                if is_gits_own(entry.name):
                    _refuse_if_claimed(top, os.path.join(folder, entry.name), claim)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(os.path.join(folder, entry.name))
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
    except LinkInTheWay as error:
        raise HpcError(
            f"{error} and is not followed; the outputs were left where they are, put them into "
            "the dataset yourself and run `datalad finish` again"
        ) from error
    except (FileNotFoundError, NotADirectoryError):
        return
    yield folder, names
    for path in below:
        if reaches(claim, path):
            yield from _walk(top, path, claim)


def _refuse_if_claimed(top: Path, path: str, claim: Claim) -> None:
    if matches(claim, path):
        raise HpcError(
            f"{top / path} has a name that Git takes for its own and refuses; the outputs were "
            "left where they are, rename it, or move it away, and run `datalad finish` again"
        )


def _move_all(
    root: Path, alternative: Path, folder: str, names: Iterable[str], scratch: Path
) -> None:
    """Move files of one folder; nobody can put a link in its place meanwhile."""
    try:
        with (
            opened(alternative, folder) as source,
            opened(root, folder, make=True) as target,
        ):
            for name in names:
                with _naming(alternative / folder / name, root / folder / name):
                    move(name, source, target, scratch)
    except LinkInTheWay as error:
        # Be it out of the dataset, or to where Git keeps its hooks.
        raise HpcError(
            f"{error} and is not followed; the outputs were left in {alternative / folder}, put "
            "that right and run `datalad finish` again"
        ) from error
    except OSError as error:
        raise HpcError(
            f"{alternative / folder} could not be moved to {root / folder}: {error.strerror}; it "
            "was left where it is, put that right and run `datalad finish` again"
        ) from error


@contextlib.contextmanager
def _naming(source: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HpcError(
            f"{source} could not be moved to {target}: {error.strerror}; it was left where it is, "
            "put that right and run `datalad finish` again"
        ) from error


def move(name: str, source: int, target: int, scratch: Path) -> None:
    """Move a file or a link between opened folders, also to another file system.

    Parameters
    ----------
    scratch:
      Folder for a half copy, on the file system of one of them.

    Raises
    ------
    OSError
      It cannot be moved.
    """
    try:
        os.replace(name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system: copy to where the last step is a rename.
        _copy_over(name, source, target, scratch)
        os.unlink(name, dir_fd=source)


def _copy_over(name: str, source: int, target: int, scratch: Path) -> None:
    with contextlib.ExitStack() as stack:
        # A worktree may lie on another file system than Git's folder.
        near = scratch.stat().st_dev == os.fstat(target).st_dev
        folder = stack.enter_context(opened(scratch)) if near else target
        half = stack.enter_context(free_name(folder))
        copy_entry(name, source, half, folder)
        os.replace(half, name, src_dir_fd=folder, dst_dir_fd=target)
