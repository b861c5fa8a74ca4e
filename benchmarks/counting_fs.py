"""A file system that passes everything through to a folder and counts metadata operations.

On a parallel file system it is these that take long, not the reading and writing of
data; their number does not depend on the machine. Started by :func:`counted_mount` as
``python -m benchmarks.counting_fs SOURCE MOUNTPOINT COUNTS``.

It needs the Python package mfusepy, libfuse 3, ``/dev/fuse`` and ``fusermount3``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError, Unavailable
from benchmarks.toolbox import Toolbox
from datalad_hpc import process

PATIENCE = 20
"""Seconds for the file system to come and to go."""

STAT_FIELDS = ("mode", "nlink", "uid", "gid", "rdev", "size", "ino", "blocks")
TIME_FIELDS = ("atime", "mtime", "ctime")
Operation = Callable[..., Any]

VOLUME_FIELDS = (
    "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag",
    "f_frsize", "f_namemax",
)  # fmt: skip


@contextlib.contextmanager
def counted_mount(tools: Toolbox, source: Path, target: Path) -> Iterator[Counter[str]]:
    """Show a folder at a second place for as long as the context lasts.

    Yields
    ------
    Counter
      Operations by name, filled in at the end.

    Raises
    ------
    Unavailable
      There is no FUSE here.
    """
    _require_fuse()
    target.mkdir(exist_ok=True)
    record = target.with_suffix(".json")
    argv = [sys.executable, "-m", "benchmarks.counting_fs", str(source), str(target), str(record)]
    environment = {**tools.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    log = target.with_suffix(".log")
    with log.open("wb") as words:
        server = process.detach(argv, folder=target.parent, environment=environment, errors=words)
    counts: Counter[str] = Counter()
    try:
        _wait(lambda: os.path.ismount(target) or server.poll() is not None, log)
        yield counts
    finally:
        if os.path.ismount(target):
            tools.run("fusermount3", "-u", str(target), folder=target.parent)
        _wait(lambda: server.poll() is not None, log)
    counts.update(json.loads(record.read_text()))


def _require_fuse() -> None:
    if not os.path.exists("/dev/fuse") or not shutil.which("fusermount3"):
        raise Unavailable("there is no FUSE here (apt-get install fuse3)")
    if not importlib.util.find_spec("mfusepy"):
        raise Unavailable("the Python package mfusepy is not installed")


def _wait(condition: Any, log: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise BenchmarkError(f"the counting file system does not answer: {log.read_text()}")
        time.sleep(0.02)


def counted(operation: Operation) -> Operation:
    """Mark an operation as one on metadata."""

    @functools.wraps(operation)
    def counting(self: CountingFileSystem, *arguments: Any) -> Any:
        self.counts[operation.__name__] += 1
        return operation(self, *arguments)

    return counting


class CountingFileSystem:
    """The operations that FUSE asks for; names and arguments are those of mfusepy.

    A file handle is the number of the file that is open behind it.
    """

    use_ns = True
    """Times are nanoseconds."""

    def __init__(self, source: str, record: str) -> None:
        """Take the folder that is shown, and the file for the counts."""
        self._source = source
        self._record = Path(record)
        self.counts: Counter[str] = Counter()

    def _at(self, path: str) -> str:
        return self._source + path

    def destroy(self, _path: str) -> None:
        """Leave the counts when the file system goes."""
        self._record.write_text(json.dumps(self.counts))

    @counted
    def getattr(self, path: str, handle: int | None = None) -> dict[str, int]:
        status = os.lstat(self._at(path)) if handle is None else os.fstat(handle)
        fields = {f"st_{name}": getattr(status, f"st_{name}") for name in STAT_FIELDS}
        times = {f"st_{name}": getattr(status, f"st_{name}_ns") for name in TIME_FIELDS}
        return {**fields, **times}

    @counted
    def access(self, path: str, mode: int) -> int:
        if not os.access(self._at(path), mode):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return 0

    @counted
    def readdir(self, path: str, _handle: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    @counted
    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    @counted
    def statfs(self, path: str) -> dict[str, int]:
        volume = os.statvfs(self._at(path))
        return {name: getattr(volume, name) for name in VOLUME_FIELDS}

    @counted
    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags)

    @counted
    def create(self, path: str, mode: int, _info: Any = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    @counted
    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        os.truncate(self._at(path) if handle is None else handle, length)

    @counted
    def fsync(self, _path: str, _only_data: int, _handle: int) -> int:
        """It is the wish that is counted; nothing here has to survive a power cut."""
        return 0

    @counted
    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._at(path), mode)

    @counted
    def chown(self, path: str, user: int, group: int) -> None:
        os.lchown(self._at(path), user, group)

    @counted
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        present = (time.time_ns(), time.time_ns())
        os.utime(self._at(path), ns=times or present, follow_symlinks=False)

    @counted
    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)

    @counted
    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    @counted
    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    @counted
    def rename(self, old: str, new: str, _flags: int = 0) -> None:
        os.rename(self._at(old), self._at(new))

    @counted
    def link(self, target: str, source: str) -> None:
        os.link(self._at(source), self._at(target))

    @counted
    def symlink(self, target: str, source: str) -> None:
        os.symlink(source, self._at(target))

    @counted
    def mknod(self, path: str, mode: int, device: int) -> None:
        os.mknod(self._at(path), mode, device)

    # What touches data is not counted.

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        return os.pread(handle, size, offset)

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        return os.pwrite(handle, data, offset)

    def flush(self, _path: str, _handle: int) -> int:
        """All was written at once."""
        return 0

    def release(self, _path: str, handle: int) -> None:
        os.close(handle)


def serve(source: str, target: str, record: str) -> None:
    """Show a folder until it is unmounted."""
    from mfusepy import FUSE

    system = CountingFileSystem(os.path.realpath(source), record)
    FUSE(system, target, foreground=True, nothreads=False, attr_timeout=0, entry_timeout=0)


if __name__ == "__main__":
    serve(*sys.argv[1:])
