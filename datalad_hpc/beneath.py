"""Folders that are opened name by name, so that no symbolic link is followed on the way.

To look first and to go afterwards would not do: a job that still runs, or
whoever else may write there, can put a link in the place of a folder meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from datalad_hpc.errors import HpcError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_PERMISSIONS = 0o777
"""Not those bits with which a program runs as its owner: a copy has another owner."""


class LinkInTheWay(HpcError):
    """A folder on the way is a symbolic link."""


@contextlib.contextmanager
def opened(top: Path, folder: str = "", *, make: bool = False) -> Iterator[int]:
    """A folder as a descriptor, for as long as the context lasts.

    Parameters
    ----------
    top:
      Where the way begins; links above it are followed.
    folder:
      Relative to ``top``, POSIX, without ``..``.
    make:
      Whether folders that are not there are made.

    Raises
    ------
    LinkInTheWay
      A part of ``folder`` is a symbolic link.
    OSError
      There is no such folder.
    """
    descriptor = os.open(top, _FOLDER)
    try:
        for name in filter(None, folder.split("/")):
            below = _opened_in(descriptor, name, top / folder, make)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_in(above: int, name: str, whole: Path, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                raise LinkInTheWay(f"{name!r} in {whole} is a symbolic link") from None
        raise


@contextlib.contextmanager
def free_name(folder: int) -> Iterator[str]:
    """A name for work in progress in an opened folder; what has it at the end is removed."""
    name = f".datalad-hpc-{secrets.token_hex(8)}"
    try:
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def copy_entry(name: str, source: int, new: str, target: int) -> None:
    """Copy a file or a link from one opened folder to a free name in another.

    Raises
    ------
    OSError
      It is neither, or cannot be copied.
    """
    if stat.S_ISLNK(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
        os.symlink(os.readlink(name, dir_fd=source), new, dir_fd=target)
    else:
        copy_file(os.open(name, READING | os.O_NOFOLLOW, dir_fd=source), new, target)


READING = os.O_RDONLY | os.O_NONBLOCK
"""Opens a pipe as well without waiting for who writes into it."""


def copy_file(source: int, new: str, target: int, *, also: int = 0) -> None:
    """Copy an open file, its times and its permissions to a free name in an opened folder.

    Parameters
    ----------
    source:
      Descriptor of the file, which is closed.
    also:
      Permissions that the copy has besides.

    Raises
    ------
    OSError
      It is no ordinary file, or cannot be copied.
    """
    with open(source, "rb") as reading:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise shutil.SpecialFileError(0, "it is no ordinary file")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=target)
        with open(descriptor, "wb") as writing:
            shutil.copyfileobj(reading, writing, 2**20)
            writing.flush()
            os.fchmod(descriptor, status.st_mode & _PERMISSIONS | also)
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
