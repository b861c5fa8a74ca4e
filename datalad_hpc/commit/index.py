"""Git's index: how it is read, set and replaced, always by Git's own protocol.

Whoever creates ``index.lock`` may replace the index, and every Git command that
commits needs it: while we hold it nobody can commit from an index that lacks
what a branch has just been given.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import Entry
from datalad_hpc.errors import CommitFailed

LOCK_PATIENCE = 30.0
"""Seconds to wait for a Git command of the user's that holds the index."""

_OURS = "held-by-datalad-hpc"
"""Where our own ``index.lock`` points to, being a link.

A link is made with its content in one step, so that one which is left behind
when we are killed can always be told from that of another program.
"""

_NO_FILE = "0"
"""Mode that ``git update-index --index-info`` takes as "delete", and ``git diff-index`` prints
for a side that lacks the path (with five more zeros)."""


@dataclass(frozen=True)
class Signature:
    """Tells one version of the index file from another."""

    modified: int
    size: int
    inode: int

    @classmethod
    def of(cls, index: Path) -> Signature | None:
        """The signature of a file, ``None`` where there is none."""
        try:
            status = os.stat(index)
        except FileNotFoundError:
            return None
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)


def index_of(repository: Repository) -> Path:
    """The user's own index file."""
    return repository.git_dir / "index"


def differences(repository: Repository, index: Path | None = None) -> dict[str, Entry | None]:
    """How an index differs from the tip: paths with the entry of the index."""
    against = repository.tip or repository.empty_tree
    asked = ("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=none")
    return parse_raw(repository.git("diff-index", *asked, against, "--", index=index).output)


def parse_raw(output: bytes) -> dict[str, Entry | None]:
    """Paths and their new entries from the output of ``git diff-* --raw -z --no-renames``."""
    fields = output.split(b"\0")
    found: dict[str, Entry | None] = {}
    for header, path in zip(fields[0::2], fields[1::2], strict=False):
        _, mode, _, oid, _ = header.decode().split(" ")
        found[os.fsdecode(path)] = None if mode.strip("0") == "" else Entry(mode, oid)
    return found


def enter(repository: Repository, entries: Mapping[str, Entry | None], index: Path) -> None:
    """Set entries of an index as they are told, ``None`` taking the path out."""
    if not entries:
        return
    nothing = "0" * len(repository.empty_tree)
    lines = (
        f"{entry.mode} {entry.oid}\t{path}\0" if entry else f"{_NO_FILE} {nothing}\t{path}\0"
        for path, entry in entries.items()
    )
    stdin = b"".join(os.fsencode(line) for line in lines)
    repository.git("update-index", "--replace", "-z", "--index-info", stdin=stdin, index=index)


@contextlib.contextmanager
def index_lock(repository: Repository) -> Iterator[None]:
    """Keep everybody else from changing the index, waiting for a command that holds it.

    Raises
    ------
    CommitFailed
      It stayed locked.
    """
    lock = _lock_of(repository)
    give_up = time.monotonic() + LOCK_PATIENCE
    while not _created(lock):
        if time.monotonic() > give_up:
            raise CommitFailed(
                f"{lock} exists: a Git command is at work in {repository.path}, or one was "
                "interrupted; no output was lost: wait for it, or remove that file if no Git "
                "command runs there, and run `datalad finish` again"
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def remove_stale_lock(repository: Repository) -> None:
    """Remove ``index.lock`` if it is ours; for callers that hold the save lock."""
    lock = _lock_of(repository)
    if lock.is_symlink() and os.readlink(lock) == _OURS:
        lock.unlink()


def _lock_of(repository: Repository) -> Path:
    return repository.git_dir / "index.lock"


def _created(lock: Path) -> bool:
    try:
        os.symlink(_OURS, lock)
    except FileExistsError:
        return False
    return True
