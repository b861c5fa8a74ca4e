"""Hashing files by the dataset's own rules of what is annexed: by git-annex itself.

One git-annex uses one processor, and most of its time goes by in talk with its
own helpers. So several share the files of many jobs, each with a copy of the
index of its own, since only one may write an index at a time. What they keep in
common, the annex and its journal, git-annex locks itself.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.room import given_up_without_room, lacks_room
from datalad_hpc.errors import CommitFailed, ProcessFailed
from datalad_hpc.wording import shortened

FILES_EACH = 100
BYTES_EACH = 512 * 2**20
"""What makes another git-annex worth its start, which takes as long as hashing some dozen files."""

MOST = 4
"""Processes of git-annex where nobody has said how many: the login node is not ours alone."""

AHEAD = 8
"""Files that a git-annex is told of before it has answered for the first of them."""


ONE_AT_A_TIME = "annex.pidlock"
"""Setting for file systems without locks (git-annex(1)): a second process would wait for the first,
and give up after five minutes."""


class Locking(Enum):
    """How an annexed file is kept in Git; the value is git-annex's own setting for it."""

    AS_CONFIGURED = ""
    LOCKED = "annex.addunlocked=false"
    UNLOCKED = "annex.addunlocked=true"


def processes_for(files: int, size: int, jobs: int | None) -> int:
    """How many git-annex processes share some files.

    Parameters
    ----------
    files, size:
      Their number, and their bytes in all.
    jobs:
      How many the user allows; ``None`` for our own judgement.
    """
    allowed = jobs or min(MOST, _processors())
    return max(1, min(allowed, files, files // FILES_EACH + size // BYTES_EACH))


def _processors() -> int:
    """How many processors are ours to use; only Linux tells them from all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class AnnexAdder:
    """Has files of one repository hashed."""

    repository: Repository
    locking: Locking
    hashed: Callable[[], None]
    """Called after each file, from any thread."""
    _waiting: deque[str] = field(default_factory=deque)
    _running: list[process.Conversation] = field(default_factory=list)
    _answered: int = 0

    def add(self, indexes: Sequence[Path], files: Sequence[str]) -> dict[str, str]:
        """Hash files and enter each of them in one of several indexes.

        What is declared as an output is wanted, so ``.gitignore`` is not asked.

        Parameters
        ----------
        indexes:
          Copies of the repository's index: one for each git-annex to be started.
        files:
          Paths relative to the repository's top.

        Returns
        -------
        dict
          The files that failed, with the reason.

        Raises
        ------
        CommitFailed
          git-annex is not there, or ended with an error of its own.
        """
        if not files:
            return {}
        _require_annex(self.repository)
        self._waiting.extend(files)
        answers: dict[str, str] = {}
        folder = self.repository.scratch_dir
        with (
            ThreadPoolExecutor(len(indexes)) as pool,
            given_up_without_room(folder, lambda: self._answered, self._stop),
        ):
            try:
                for told in pool.map(self._add_some, indexes):
                    answers |= told
            except KeyboardInterrupt:
                self._stop()
                raise
            finally:
                # Where one of them failed nobody need go on.
                self._waiting.clear()
        return self._failures(files, answers)

    def _add_some(self, index: Path) -> dict[str, str]:
        """Be one of those who take files as they get done with them."""
        answers: dict[str, str] = {}
        with tempfile.TemporaryFile() as errors:
            try:
                with self._annex(index, errors) as annex:
                    self._running.append(annex)
                    for line in self._conversation(annex):
                        answers |= _answer(line)
                        self._answered += 1
                if annex.code and not any(answers.values()):
                    raise ProcessFailed(f"it ended with exit code {annex.code}")
            except ProcessFailed as error:
                # The others need not go on.
                self._waiting.clear()
                raise self._failed(errors, error) from error
        return answers

    def _stop(self) -> None:
        self._waiting.clear()
        for annex in self._running:
            annex.stop()

    def _failed(self, errors: IO[bytes], error: ProcessFailed) -> CommitFailed:
        errors.seek(0)
        complaint = errors.read().decode(errors="replace").strip() or error
        reason = lacks_room(self.repository.scratch_dir)
        return CommitFailed(
            f"git-annex could not add outputs in {self.repository.path}: "
            f"{f'nothing can be written there ({reason})' if reason else complaint}; no output was "
            "lost: put that right and run `datalad finish` again"
        )

    def _annex(self, index: Path, errors: IO[bytes]) -> process.Talk:
        argv = ["git", "-c", "annex.dotfiles=true", "-c", "gc.auto=0"]
        argv += ["-c", self.locking.value] if self.locking.value else []
        argv += ["annex", "add", "--batch", "-z", "--json", "--json-error-messages"]
        argv += ["--no-check-gitignore"]
        environment = self.repository.environment(index)
        folder = self.repository.path
        return process.talking(argv, folder=folder, environment=environment, errors=errors)

    def _conversation(self, annex: process.Conversation) -> Iterator[bytes]:
        """All that git-annex answers: a line for each file, an empty one if nothing was to do.

        It may read a file's successor before it answers for the file.
        """
        ahead = self._tell(annex, AHEAD)
        while self._waiting and (line := annex.stdout.readline()):
            self.hashed()
            yield line
            ahead += self._tell(annex, 1) - 1
        annex.stdin.close()
        for line in annex.stdout:
            ahead -= 1
            self.hashed()
            yield line
        if ahead > 0:
            raise ProcessFailed("git-annex ended before it had answered")

    def _tell(self, annex: process.Conversation, number: int) -> int:
        """Tell git-annex of at most so many of the files that wait."""
        told = 0
        while told < number and (path := _taken(self._waiting)) is not None:
            annex.stdin.write(os.fsencode(path) + b"\0")
            told += 1
        annex.stdin.flush()
        return told

    def _failures(self, files: Sequence[str], answers: Mapping[str, str]) -> dict[str, str]:
        """A reason for each file that git-annex failed to add, or passed over in silence."""
        failures: dict[str, str] = {}
        for path in files:
            reason = answers.get(_as_told(path))
            if reason is None and not os.path.lexists(self.repository.path / path):
                reason = "it was gone before it could be hashed"
            if reason:
                failures[path] = reason
        return failures


def _taken(waiting: deque[str]) -> str | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _require_annex(repository: Repository) -> None:
    if not shutil.which("git-annex", path=repository.environment().get("PATH")):
        raise CommitFailed(
            f"git-annex is not on PATH, so that nothing could be committed in {repository.path}; "
            "install it (for instance `pip install git-annex`) and run `datalad finish` again"
        )


def _answer(line: bytes) -> dict[str, str]:
    """A file as git-annex writes it, and why it failed (empty: it did not)."""
    if not line.startswith(b"{"):
        return {}
    answer = json.loads(line)
    words = "; ".join(answer.get("error-messages") or ()) or "git-annex gave no reason"
    words = shortened(words)
    return {answer.get("file") or "": "" if answer.get("success", True) else words}


def _as_told(path: str) -> str:
    """A path as git-annex writes it in JSON: what is not UTF-8 is replaced."""
    return os.fsencode(path).decode(errors="replace")
