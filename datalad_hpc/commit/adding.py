"""Hashing files into a copy of the index, by the dataset's own rules of what is annexed."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import FILE, Entry
from datalad_hpc.errors import CommitFailed


class Locking(Enum):
    """How an annexed file is kept in Git; the value is git-annex's own setting for it."""

    AS_CONFIGURED = ""
    LOCKED = "annex.addunlocked=false"
    UNLOCKED = "annex.addunlocked=true"


def add(
    repository: Repository,
    index: Path,
    files: Sequence[str],
    locking: Locking,
    jobs: int | None,
) -> dict[str, str]:
    """Hash files and enter them in an index.

    What is declared as an output is wanted, so ``.gitignore`` is not asked.

    Parameters
    ----------
    index:
      A copy of the repository's index.
    files:
      Paths relative to the repository's top.
    locking:
      How annexed files are kept in Git.
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
    if not repository.is_annex:
        return _add_to_git(repository, index, files)
    return _add_to_annex(repository, index, files, locking, jobs)


def mend_modes(repository: Repository, index: Path, added: Mapping[str, Entry | None]) -> bool:
    """Make executable in an index what is executable in the work tree.

    git-annex forgets it of files that it keeps unlocked.

    Returns
    -------
    bool
      Whether there was any.
    """
    lost = [
        path
        for path, entry in added.items()
        if entry and entry.mode == FILE and _is_executable(repository.path / path)
    ]
    if not lost or repository.asks("config", "--type=bool", "core.fileMode").text == "false\n":
        return False
    arguments = ("update-index", "--chmod=+x", "-z", "--stdin")
    repository.git(*arguments, stdin=_listed(lost), index=index)
    return True


def _is_executable(path: Path) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IXUSR)


def _add_to_git(repository: Repository, index: Path, files: Sequence[str]) -> dict[str, str]:
    """Enter files, halving the list where Git refuses one: it then takes none of them."""
    arguments = ("update-index", "--add", "--replace", "-z", "--stdin")
    try:
        repository.git(*arguments, stdin=_listed(files), index=index)
    except CommitFailed as error:
        if len(files) == 1:
            return {files[0]: str(error)}
        half = len(files) // 2
        first = _add_to_git(repository, index, files[:half])
        return first | _add_to_git(repository, index, files[half:])
    return {}


def _add_to_annex(
    repository: Repository,
    index: Path,
    files: Sequence[str],
    locking: Locking,
    jobs: int | None,
) -> dict[str, str]:
    environment = repository.environment(index)
    _require_annex(repository, environment)
    argv = ["git", "-c", "annex.dotfiles=true", "-c", "gc.auto=0"]
    argv += ["-c", locking.value] if locking.value else []
    argv += ["annex", "add", "--batch", "-z", "--json", "--json-error-messages"]
    argv += ["--no-check-gitignore", *([f"-J{jobs}"] if jobs else [])]
    ended = process.run(argv, folder=repository.path, stdin=_listed(files), environment=environment)
    failures = _failures(repository, files, dict(_answers(ended.output)))
    if ended.code and not failures:
        raise CommitFailed(
            f"git-annex could not add outputs in {repository.path}: {ended.complaint}"
        )
    return failures


def _require_annex(repository: Repository, environment: Mapping[str, str]) -> None:
    if not shutil.which("git-annex", path=environment.get("PATH")):
        raise CommitFailed(
            f"git-annex is not on PATH, so that nothing could be committed in {repository.path}; "
            "install it (for instance `pip install git-annex`) and run `datalad finish` again"
        )


def _failures(
    repository: Repository, files: Iterable[str], answers: Mapping[str, str]
) -> dict[str, str]:
    """A reason for each file that git-annex failed to add, or passed over in silence."""
    failures: dict[str, str] = {}
    for path in files:
        reason = answers.get(_as_told(path))
        if reason is None and not os.path.lexists(repository.path / path):
            reason = "it was gone before it could be hashed"
        if reason:
            failures[path] = reason
    return failures


def _answers(output: bytes) -> Iterator[tuple[str, str]]:
    """What git-annex said: files as it writes them, and why they failed (empty: they did not)."""
    for line in output.splitlines():
        # An empty line stands for a file that there was nothing to do for.
        if not line.startswith(b"{"):
            continue
        answer = json.loads(line)
        words = "; ".join(answer.get("error-messages") or ()) or "git-annex gave no reason"
        yield answer.get("file") or "", "" if answer.get("success", True) else words


def _as_told(path: str) -> str:
    """A path as git-annex writes it in JSON: what is not UTF-8 is replaced."""
    return os.fsencode(path).decode(errors="replace")


def _listed(files: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in files)
