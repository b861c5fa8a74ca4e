"""Inputs out to an alternative directory.

Files keep their place: what is ``a/b`` in the dataset is ``a/b`` there. Nothing
is written behind a symbolic link that leads out of the alternative directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from datalad_hpc.beneath import READING, copy_file, free_name, opened
from datalad_hpc.claims import CoveredFiles
from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind
from datalad_hpc.located import is_gits_own


def check_alternative(path: str, root: Path) -> str:
    """The real path of an alternative directory.

    Raises
    ------
    BadRequest
      It does not exist, or lies in the dataset (or the dataset in it).
    """
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        raise BadRequest(f"the alternative directory {path} does not exist; make it first")
    if os.path.commonpath([real, root]) in (real, str(root)):
        raise BadRequest(
            f"the alternative directory {path} and the dataset at {root} lie in one another; "
            "choose a folder outside of the dataset"
        )
    return real


def stage_inputs(
    root: Path,
    alternative: Path,
    paths: Iterable[str],
    made: CoveredFiles | None = None,
    *,
    with_links: bool = False,
) -> None:
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
    made:
      Files that are not copied, since another job makes them there.
    with_links:
      Whether all links in such a folder are, but for git-annex's. The folder of a system has
      links that mean something else here, or nothing.

    Raises
    ------
    BadRequest
      A file cannot be copied.
    """
    for path in paths:
        files_of_it = _files_of(root, path, with_links)
        wanted = (file for file in files_of_it if not made or file not in made)
        for folder, group in groupby(wanted, os.path.dirname):
            files = list(group)
            with (
                _copying(files[0], alternative),
                opened(alternative, _inside(alternative, folder), make=True) as target,
            ):
                for file in files:
                    with _copying(file, alternative):
                        _stage(root / file, target, with_links and file != path)


def _copying(file: str, alternative: Path) -> contextlib.AbstractContextManager[None]:
    return _in_plain_words(f"the input {file} could not be copied to {alternative}")


def _inside(alternative: Path, folder: str) -> str:
    """A folder below the alternative directory, the links on the way resolved.

    Raises
    ------
    BadRequest
      One of them leads out.
    """
    real = os.path.realpath(alternative / folder)
    if not Path(real).is_relative_to(alternative):
        raise BadRequest(
            f"a symbolic link in {alternative / folder} leads out of the alternative directory, "
            f"to {real}, and is not followed; remove it"
        )
    return os.path.relpath(real, alternative)


def _stage(source: Path, target: int, with_links: bool) -> None:
    if os.path.isdir(source) or (with_links and _is_own_link(source)):
        _link_again(source, target)
    else:
        _copy(source, target)


def _is_own_link(path: str | Path) -> bool:
    """Whether it is a link, and none of git-annex's into Git's folder."""
    return os.path.islink(path) and not is_gits_own(os.readlink(path))


def _files_of(root: Path, path: str, with_links: bool) -> Iterator[str]:
    """Files with content at and below a path, and links to folders, or all, below it."""
    if not os.path.isdir(root / path):
        if os.path.exists(root / path):
            yield path
        return
    for folder, folders, files in os.walk(root / path):
        folders[:] = sorted(name for name in folders if name != ".git")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            full = os.path.join(folder, name)
            if name != ".git" and (os.path.exists(full) or (with_links and _is_own_link(full))):
                yield os.path.relpath(full, root)


def _link_again(source: Path, target: int) -> None:
    destination, name = os.readlink(source), source.name
    with contextlib.suppress(OSError):
        if os.readlink(name, dir_fd=target) == destination:
            return
    with free_name(target) as new:
        os.symlink(destination, new, dir_fd=target)
        os.replace(new, name, src_dir_fd=target, dst_dir_fd=target)


def _copy(source: Path, target: int) -> None:
    """Copy a file unless the same version is there already."""
    name = source.name
    with contextlib.suppress(FileNotFoundError):
        if _same_version(source.stat(), os.stat(name, dir_fd=target, follow_symlinks=False)):
            return
    with free_name(target) as new:
        copy_file(os.open(source, READING), new, target, also=stat.S_IWUSR)
        os.replace(new, name, src_dir_fd=target, dst_dir_fd=target)


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
        raise BadRequest(f"{sentence}: {error.strerror}") from error


def make_folders(alternative: Path, folder: str, claims: Iterable[Claim]) -> None:
    """Make the folder where a job runs, and those that its outputs go to.

    Raises
    ------
    BadRequest
      A folder cannot be made.
    """
    folders = [folder, *(_folder_for(claim) for claim in claims)]
    for path in dict.fromkeys(folders):
        make_folder(alternative, path)


def make_folder(alternative: Path, folder: str) -> None:
    """Make a folder, and those above it.

    Raises
    ------
    BadRequest
      It cannot be made.
    """
    with (
        _in_plain_words(f"the folder {alternative / folder} could not be made"),
        opened(alternative, _inside(alternative, folder), make=True),
    ):
        pass


def _folder_for(claim: Claim) -> str:
    if claim.kind is ClaimKind.FOLDER:
        return claim.path
    folder = os.path.dirname(claim.path)
    return top_of(folder) if claim.kind is ClaimKind.GLOB else folder
