"""Writing commits with one ``git fast-import``, and moving refs by compare-and-swap."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.trees import Entry
from datalad_hpc.errors import CommitFailed

SCRATCH_REF = "refs/worktree/datalad-hpc/finish"
"""Keeps new commits alive until a branch has them, and goes in the same step.

What is below ``refs/worktree`` each worktree has for itself (git-worktree(1)).
"""


@dataclass(frozen=True)
class NewCommit:
    """A commit to be written: what it changes against its first parent."""

    message: str
    entries: Mapping[str, Entry | None]
    parents: Sequence[str] = field(default_factory=tuple)
    """Commits, or ``:N`` for the N-th new commit of the same call, counted from 1."""


def write_commits(repository: Repository, commits: Sequence[NewCommit]) -> list[str]:
    """Write commits; no branch is touched.

    Returns
    -------
    list
      Their ids, in the order given.

    Raises
    ------
    CommitFailed
      Git refused them, or the user has no name or e-mail address configured.
    """
    author, committer = identities(repository)
    stream: list[bytes] = []
    for number, commit in enumerate(commits, start=1):
        stream += _commit_lines(number, commit, author, committer)
    stream += [b"get-mark :%d\n" % number for number in range(1, len(commits) + 1)]
    stream.append(b"done\n")
    arguments = ("fast-import", "--quiet", "--done", "--force", "--date-format=raw")
    return repository.git(*arguments, stdin=b"".join(stream)).text.split()


def identities(repository: Repository) -> tuple[bytes, bytes]:
    """Author and committer as they stand in a commit of this moment.

    Raises
    ------
    CommitFailed
      The user has no name or e-mail address configured.
    """
    return _identity(repository, "AUTHOR"), _identity(repository, "COMMITTER")


def _identity(repository: Repository, role: str) -> bytes:
    ended = repository.asks("var", f"GIT_{role}_IDENT")
    if ended.code:
        raise CommitFailed(
            f"Git does not know who commits in {repository.path}: set `git config --global "
            "user.name` and `user.email` and run `datalad finish` again; no output was lost"
        )
    return ended.output.strip()


def _commit_lines(
    number: int, commit: NewCommit, author: bytes, committer: bytes
) -> Iterator[bytes]:
    message = os.fsencode(commit.message)
    # Without "from" a commit continues the one before, whose tree need not be read again.
    continues = number > 1 and list(commit.parents) == [f":{number - 1}"]
    if not continues:
        yield b"reset %s\n" % SCRATCH_REF.encode()
    yield b"commit %s\nmark :%d\n" % (SCRATCH_REF.encode(), number)
    yield b"author %s\ncommitter %s\n" % (author, committer)
    yield b"data %d\n%s\n" % (len(message), message)
    for position, parent in enumerate(() if continues else commit.parents):
        yield b"%s %s\n" % (b"merge" if position else b"from", parent.encode())
    for path, entry in commit.entries.items():
        yield _change_line(path, entry)
    yield b"\n"


def _change_line(path: str, entry: Entry | None) -> bytes:
    quoted = os.fsencode(path)
    for char, escape in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        quoted = quoted.replace(char, escape)
    if entry is None:
        return b'D "%s"\n' % quoted
    return b'M %s %s "%s"\n' % (entry.mode.encode(), entry.oid.encode(), quoted)


def move_refs(repository: Repository, moves: Mapping[str, tuple[str, str]], reason: str) -> bool:
    """Move refs together, if each still is where it was.

    Parameters
    ----------
    moves:
      New and old commit by ref; no old commit means that the ref must not exist.
    reason:
      For the reflog.

    Returns
    -------
    bool
      False if a ref was moved by somebody else; then none has been moved.

    Raises
    ------
    CommitFailed
      Git refused for another reason.
    """
    nothing = "0" * len(repository.empty_tree)
    lines = [f"update {ref}\0{new}\0{old or nothing}\0" for ref, (new, old) in moves.items()]
    arguments = ("update-ref", "-m", reason, "--create-reflog", "-z", "--stdin")
    stdin = os.fsencode("".join([*lines, f"delete {SCRATCH_REF}\0\0"]))
    try:
        repository.git(*arguments, stdin=stdin)
    except CommitFailed:
        if all(current_commit(repository, ref) == old for ref, (_, old) in moves.items()):
            raise
        return False
    return True


def forget_scratch(repository: Repository) -> None:
    """Let go of commits that were written for a move that never came."""
    repository.git("update-ref", "-d", SCRATCH_REF)


def existing(repository: Repository, refs: Sequence[str]) -> dict[str, str]:
    """Which of some branches exist, with their commits, in one question."""
    if not refs:
        return {}
    asked = ("for-each-ref", "--format=%(objectname) %(refname)", *refs)
    lines = repository.git(*asked).text.splitlines()
    found = {ref: commit for commit, _, ref in (line.partition(" ") for line in lines)}
    return {ref: found[ref] for ref in refs if ref in found}


def current_commit(repository: Repository, ref: str) -> str:
    """Where a ref stands now; empty if it does not exist."""
    return repository.asks("rev-parse", "-q", "--verify", f"{ref}^{{commit}}").text.strip()


def contains(repository: Repository, ref: str, commit: str) -> bool:
    """Whether a ref's history has a commit."""
    if not current_commit(repository, ref):
        return False
    return repository.asks("merge-base", "--is-ancestor", commit, ref).code == 0
