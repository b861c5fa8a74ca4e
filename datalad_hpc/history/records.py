"""Records in a range of commits."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import BadRequest, BrokenRecord
from datalad_hpc.record import Record, read_record

SIDECARS = ".datalad/runinfo/"
"""Where core's ``run`` keeps records that it does not write into the commit message."""
LONGEST_SIDECAR = 2**20
"""Bytes; a file of a few of them can unpack to any number."""


@dataclass(frozen=True)
class RecordedCommit:
    """A commit with a record, or with one that is broken."""

    commit: str
    record: Record | None
    problem: str = ""
    """What is wrong with the record, if it is broken."""


def records(
    repository: Repository, revision: str | None, since: str | None
) -> Iterator[RecordedCommit]:
    """The records of a commit, or of a range as ``datalad rerun`` takes it, oldest first.

    Parameters
    ----------
    revision:
      A commit; what is checked out if not given.
    since:
      Not given: only the commit itself. A commit: all that ``revision`` has
      and ``since`` has not. Empty: all that ``revision`` has.

    Raises
    ------
    BadRequest
      A revision does not exist.
    """
    tip = _commit(repository, revision or "HEAD")
    limits = ["-1", tip] if since is None else [tip]
    if since:
        limits.append(f"^{_commit(repository, since)}")
    return logged(repository, *limits)


def logged(repository: Repository, *limits: str) -> Iterator[RecordedCommit]:
    """The records of the commits that ``git log`` lists, oldest first.

    Parameters
    ----------
    limits:
      What it lists, in its own words.
    """
    # Against settings that would add lines, or another encoding.
    plain = ("--no-show-signature", "--no-color", "--encoding=UTF-8")
    order = ("--reverse", "--topo-order")
    arguments = ("log", "-z", *plain, *order, "--format=%H%n%B", *limits, "--")
    for entry in repository.git(*arguments).text.split("\0"):
        commit, _, message = entry.partition("\n")
        found = _read(repository, commit, message)
        if found:
            yield found


def made_by(repository: Repository, commit: str) -> list[str]:
    """Files that a commit added or changed, seen from its first parent; one call of Git.

    They stand for the outputs where a record of core's ``run`` names none.
    """
    names = ("-r", "-z", "--root", "--no-commit-id", "--no-renames", "--name-only")
    asked = ("diff-tree", *names, "-m", "--first-parent", "--diff-filter=d", commit, "--")
    made = repository.git(*asked).text.split("\0")[:-1]
    return [path for path in made if not path.startswith(SIDECARS)]


def _commit(repository: Repository, revision: str) -> str:
    asked = ("rev-parse", "-q", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    commit = repository.asks(*asked).text.strip()
    if not commit:
        raise BadRequest(f"there is no commit {revision!r} in {repository.path}")
    return commit


def _read(repository: Repository, commit: str, message: str) -> RecordedCommit | None:
    try:
        record = read_record(message, partial(_sidecar, repository))
    except BrokenRecord as error:
        return RecordedCommit(commit, None, str(error))
    return RecordedCommit(commit, record) if record else None


def _sidecar(repository: Repository, name: str) -> str:
    """A record that core's ``run`` has put into a file (``--sidecar``), one line of JSON."""
    path = f"{SIDECARS}{name}"
    try:
        with lzma.open(repository.path / path) as file:
            return file.readline(LONGEST_SIDECAR).decode()
    except FileNotFoundError:
        raise BrokenRecord(f"it is in {path}, which is not here (`datalad get`)") from None
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise BrokenRecord(f"it is in {path}, which cannot be read ({error})") from None
