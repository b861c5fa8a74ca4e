"""A copy of the index in which outputs are hashed, so that nobody else sees them half done.

While outputs of hours are being hashed, the user may well commit something
else; were the outputs staged in the user's own index, that commit would carry
them away. Git and git-annex take the copy's name from ``GIT_INDEX_FILE``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import Entry
from datalad_hpc.errors import CommitFailed

LOCK_PATIENCE = 30.0
"""Seconds to wait for a Git command of the user's that holds the index."""

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


class ScratchIndex:
    """A private copy of a repository's index; made by :func:`scratch_index`."""

    def __init__(self, repository: Repository, path: Path, copied: Signature | None) -> None:
        """Take the copy and the signature of what it was copied from."""
        self._repository = repository
        self._path = path
        self._copied = copied

    def add(self, files: Sequence[str], *, keep_unlocked: bool, jobs: int | None) -> dict[str, str]:
        """Hash files and enter them, by the dataset's own rules of what is annexed.

        Parameters
        ----------
        files:
          Paths relative to the repository's top.
        keep_unlocked:
          Whether annexed files stay unlocked in Git.
        jobs:
          How many files git-annex handles at once.

        Returns
        -------
        dict
          The files that failed, with the reason.

        Raises
        ------
        CommitFailed
          Git or git-annex ended with an error of its own.
        """
        if not files:
            return {}
        if not self._repository.is_annex:
            return self._add_to_git(files)
        return self._add_to_annex(files, keep_unlocked, jobs)

    def _add_to_git(self, files: Sequence[str]) -> dict[str, str]:
        self._update("--add", "--replace", "-z", "--stdin", stdin=_listed(files))
        return {}

    def _add_to_annex(
        self, files: Sequence[str], keep_unlocked: bool, jobs: int | None
    ) -> dict[str, str]:
        argv = ["git", "-c", "annex.dotfiles=true", "-c", "gc.auto=0"]
        if keep_unlocked:
            # git-annex would lock what it adds anew, whatever it was before.
            argv += ["-c", "annex.addunlocked=true"]
        # What is declared as an output is wanted, ignored or not.
        argv += ["annex", "add", "--batch", "-z", "--json", "--json-error-messages"]
        argv += ["--no-check-gitignore", *([f"-J{jobs}"] if jobs else [])]
        ended = process.run(
            argv,
            folder=self._repository.path,
            stdin=_listed(files),
            environment=self._repository.environment(self._path),
        )
        failures = dict(_failures(ended.output))
        if ended.code and not failures:
            raise CommitFailed(
                f"git-annex could not add outputs in {self._repository.path}: {ended.complaint}"
            )
        return failures

    def enter(self, entries: Mapping[str, Entry | None]) -> None:
        """Set entries as they are told, ``None`` taking the path out."""
        _enter(self._repository, entries, self._path)

    def differences(self, wanted: set[str]) -> dict[str, Entry | None]:
        """Entries of the wanted paths that differ from the tip; ``None`` where there is none."""
        return {
            path: entry
            for path, entry in index_differences(self._repository, self._path)
            if path in wanted
        }

    def take_over(self) -> bool:
        """Put the copy in the place of the index, if nobody has changed that since.

        Git's own protocol: whoever creates ``index.lock`` may replace the index.
        """
        index = self._repository.git_dir / "index"
        with _index_lock(index) as locked:
            if not locked or Signature.of(index) != self._copied:
                return False
            os.replace(self._path, index)
            return True

    def _update(self, *arguments: str, stdin: bytes) -> None:
        self._repository.git("update-index", *arguments, stdin=stdin, index=self._path)


@contextlib.contextmanager
def scratch_index(repository: Repository) -> Iterator[ScratchIndex]:
    """Copy the index; the copy is gone at the end unless it was taken over."""
    index = repository.git_dir / "index"
    copy = repository.scratch_dir / "index"
    copied = Signature.of(index)
    copy.unlink(missing_ok=True)
    if copied:
        shutil.copyfile(index, copy)
    try:
        yield ScratchIndex(repository, copy, copied)
    finally:
        for path in (copy, copy.with_suffix(".lock")):
            path.unlink(missing_ok=True)


def index_differences(
    repository: Repository, index: Path | None = None
) -> Iterator[tuple[str, Entry | None]]:
    """How an index differs from the tip: paths with the entry of the index."""
    against = repository.tip or repository.empty_tree
    asked = ("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=none")
    fields = repository.git("diff-index", *asked, against, "--", index=index).output.split(b"\0")
    for header, path in zip(fields[0::2], fields[1::2], strict=False):
        _, mode, _, oid, _ = header.decode().split(" ")
        entry = None if mode.strip("0") == "" else Entry(mode, oid)
        yield os.fsdecode(path), entry


def enter_in_index(repository: Repository, entries: Mapping[str, Entry | None]) -> None:
    """Set entries of the user's own index, waiting for a Git command that holds it.

    Raises
    ------
    CommitFailed
      The index stayed locked.
    """
    give_up = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return _enter(repository, entries, None)
        except CommitFailed:
            lock = repository.git_dir / "index.lock"
            if not lock.exists() or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _enter(repository: Repository, entries: Mapping[str, Entry | None], index: Path | None) -> None:
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
def _index_lock(index: Path) -> Iterator[bool]:
    lock = index.with_name("index.lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)


def _listed(files: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in files)


def _failures(output: bytes) -> Iterator[tuple[str, str]]:
    """What ``--json-error-messages`` says of files that could not be added."""
    for line in output.splitlines():
        if not line.startswith(b"{"):
            continue
        answer = json.loads(line)
        if not answer.get("success", True):
            words = "; ".join(answer.get("error-messages") or ()) or "git-annex gave no reason"
            yield answer.get("file") or "", words
