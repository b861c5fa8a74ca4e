"""What is kept of a submission program while it runs: a folder, and a file for each call of sbatch.

::

    bin/sbatch         what the program finds first on PATH; see :mod:`.noting_sbatch`
    settings.json      what that needs to know (:class:`Settings`)
    output             what the program printed
    open/TIME-TOKEN    one call of sbatch; "closed" once no further call is let in

A call has a file of its own, which it holds a lock on until it is over, so that many may go on at
a time. The first line says what is to be submitted (:class:`Attempt`), the second, which comes
after the submission, what came of it. Whoever was killed between the two leaves a file without a
second line and without a lock, and the token in it is what the job is looked for by.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datalad_hpc.schedulers.base import Answer
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.status import Submission

_OPEN, _CLOSED = "open", "closed"


@dataclass(frozen=True)
class Settings:
    """What sbatch needs to know of the submission that it is a part of."""

    token: str
    scheduler: str
    configuration: Mapping[str, str]
    """The scheduler's settings by name."""
    conditions: Sequence[str] = ()
    """What every job is to wait for, as ``--dependency`` takes it."""


@dataclass(frozen=True)
class Attempt:
    """One call of sbatch."""

    token: str
    folder: str
    """Absolute path of the folder where it was called."""
    batch: BatchCommand
    submission: Submission | None = None
    refused: bool = False
    """Whether it is certain that there is no job. If neither, nobody knows yet."""


@dataclass(frozen=True)
class Notes:
    """The folder of one submission program."""

    place: Path

    def create(self, settings: Settings) -> None:
        """Make the folder, for our user only."""
        for folder in (self.place, self.bin, self.place / _OPEN):
            folder.mkdir(mode=0o700)
        (self.place / "settings.json").write_text(json.dumps(asdict(settings)))

    @property
    def bin(self) -> Path:
        """The folder that comes first on PATH."""
        return self.place / "bin"

    @property
    def output(self) -> Path:
        """What the program printed."""
        return self.place / "output"

    def settings(self) -> Settings:
        """What sbatch needs to know."""
        return Settings(**json.loads((self.place / "settings.json").read_text()))

    @contextlib.contextmanager
    def attempt(self, folder: str, batch: BatchCommand, token: str) -> Iterator[Entry]:
        """Note that sbatch is called, before it is.

        Raises
        ------
        OSError
          No call is let in any more, or it cannot be noted.
        """
        name = f"{time.time_ns():020d}-{token}"
        draft = self.place / name
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            entry = Entry(descriptor)
            entry.write({"token": token, "folder": folder, "batch": asdict(batch)})
            # In its place it is there as a whole, and locked.
            draft.rename(self.place / _OPEN / name)
            yield entry
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let no further call in."""
        with contextlib.suppress(FileNotFoundError):
            (self.place / _OPEN).rename(self.place / _CLOSED)

    def attempts(self, *, wait: bool) -> list[Attempt] | None:
        """All calls, oldest first, after :meth:`close`.

        Parameters
        ----------
        wait:
          Whether to wait for calls that go on; else the answer is None while one does.

        Raises
        ------
        OSError
          The folder cannot be read.
        """
        found = []
        for path in sorted((self.place / _CLOSED).iterdir()):
            with path.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    return None
                found.append(_attempt(stream.read()))
        return found


@dataclass(frozen=True)
class Entry:
    """The file of a call of sbatch that goes on."""

    descriptor: int
    """Carries the lock; sbatch itself inherits it."""

    def answered(self, answer: Answer) -> None:
        """Note what came of it."""
        told = answer.submission
        self.write(
            {"submission": asdict(told) if told else None, "refused": answer.refused},
        )

    def write(self, values: Mapping[str, Any]) -> None:
        """Append a line."""
        line = json.dumps(values).encode("ascii") + b"\n"
        while line:
            line = line[os.write(self.descriptor, line) :]


def new_token(program: str) -> str:
    """The token of one job of a program; that of the program is its beginning."""
    return program + secrets.token_hex(4)


def _attempt(text: bytes) -> Attempt:
    asked, _, answer = text.partition(b"\n")
    values = json.loads(asked)
    batch = values["batch"]
    batch |= {"argv": tuple(batch["argv"]), "arguments": tuple(batch["arguments"])}
    # A line that was cut off by the end of its writer does not count.
    told: dict[str, Any] = json.loads(answer) if answer.endswith(b"\n") else {}
    return Attempt(
        token=values["token"],
        folder=values["folder"],
        batch=BatchCommand(**batch),
        submission=Submission(**told["submission"]) if told.get("submission") else None,
        refused=bool(told.get("refused")),
    )
