"""Batches, and whose turn it is to be at work on one.

Each job is marked with its batch and line in the transaction that claims its
outputs. A file of the batch's own says from which row on these marks count; it
is there for as long as a line has no job. So the same batch goes on after a
failure, and starts anew after it was complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.store import Store
from datalad_hpc.store.batches import newest_key
from datalad_hpc.submissions import is_still
from datalad_hpc.workplace import Workplace


@dataclass(frozen=True)
class Line:
    """One line, which asks for one job."""

    number: int
    """Counts from 1, empty lines included."""
    asked: Mapping[str, Any]
    """Parameters of ``schedule``."""


@dataclass(frozen=True)
class Batch:
    """Many jobs to be scheduled."""

    name: str
    """What the user calls it: the path of its file."""
    lines: tuple[Line, ...]

    def digest(self, workplace: Workplace) -> str:
        """Tells a batch from others: what is asked for, and the folder that paths start from."""
        lines = [[line.number, line.asked] for line in self.lines]
        text = json.dumps(
            [workplace.worktree, workplace.folder, lines], sort_keys=True, default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Turn:
    """The one process that is at work on a batch, and how far it is."""

    batch: Batch
    name: str
    """What jobs of the batch are marked with."""
    path: Path
    """The batch's own file."""
    since: int
    """Marks of jobs count whose row has a higher number."""
    left: set[int]
    """Lines that have no job for certain."""
    has_jobs: bool = False
    """Whether any line has, or may have, a job."""
    refused: int = 0
    """How many lines in a row the scheduler would not have."""


@contextlib.contextmanager
def taking_turn(workplace: Workplace, store: Store, batch: Batch) -> Iterator[Turn]:
    """Be the only process at work on a batch; the batch's file goes when no line is left."""
    name = batch.digest(workplace)
    path = workplace.local_state / "batches" / name
    descriptor = _locked(path, batch)
    try:
        since = _since(descriptor, store)
        turn = Turn(batch, name, path, since, {line.number for line in batch.lines})
        try:
            yield turn
        finally:
            if not turn.left or not turn.has_jobs:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            # Only the last one finds it empty.
            path.parent.rmdir()


def _locked(path: Path, batch: Batch) -> int:
    """A descriptor of the batch's file, which the kernel frees when this process is gone."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            # The folder goes with its last file.
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            break
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_still(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    raise BadRequest(
        f"another process is scheduling the lines of {batch.name}; when it has ended, the same "
        "command goes on with what it has left"
    )


def _since(descriptor: int, store: Store) -> int:
    """Which row was the newest when the batch was begun; kept before any line has a job."""
    kept = os.read(descriptor, 32)
    if kept.endswith(b"\n"):
        return int(kept)
    newest = newest_key(store)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % newest, 0)
    os.fsync(descriptor)
    return newest
