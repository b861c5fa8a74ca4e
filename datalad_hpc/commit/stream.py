"""What ``git fast-import`` is told: commits, or the trees of commits that others will write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from datalad_hpc.commit.trees import TREE, Entry

FAST_IMPORT = ("fast-import", "--quiet", "--done", "--force", "--date-format=raw")

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


def stream_of_commits(commits: Sequence[NewCommit], author: bytes, committer: bytes) -> bytes:
    """All of some commits; fast-import answers with an id a line."""
    stream: list[bytes] = []
    for number, commit in enumerate(commits, start=1):
        stream += _commit_lines(number, commit, author, committer)
    stream += [b"get-mark :%d\n" % number for number in range(1, len(commits) + 1)]
    return b"".join((*stream, b"done\n"))


def stream_of_trees(
    commits: Sequence[NewCommit], committer: bytes, tree_of: Mapping[str, str]
) -> bytes:
    """Only the trees of some commits; fast-import answers with ``MODE tree ID`` a line.

    A tree comes into being when its folder is listed (``ls``). So one commit that
    nobody keeps goes through the states of all.

    Parameters
    ----------
    tree_of:
      The tree of each parent that exists already.
    """
    ref = SCRATCH_REF.encode()
    stream = [b"reset %s\ncommit %s\ncommitter %s\ndata 0\n" % (ref, ref, committer)]
    for number, commit in enumerate(commits, start=1):
        if _continues(number, commit):
            stream += _change_lines(commit)
        else:
            stream += _state_lines(commits, number, tree_of)
        stream.append(b'ls ""\n')
    return b"".join((*stream, b"\ndone\n"))


def _state_lines(
    commits: Sequence[NewCommit], number: int, tree_of: Mapping[str, str]
) -> Iterator[bytes]:
    """What leads to the tree of a commit from any other."""
    commit = commits[number - 1]
    parent = commit.parents[0] if commit.parents else ""
    if parent.startswith(":"):
        yield from _state_lines(commits, int(parent[1:]), tree_of)
    elif parent:
        yield b'M %s %s ""\n' % (TREE.encode(), tree_of[parent].encode())
    else:
        yield b"deleteall\n"
    yield from _change_lines(commit)


def _continues(number: int, commit: NewCommit) -> bool:
    return number > 1 and list(commit.parents) == [f":{number - 1}"]


def _commit_lines(
    number: int, commit: NewCommit, author: bytes, committer: bytes
) -> Iterator[bytes]:
    message = os.fsencode(commit.message)
    # Without "from" a commit continues the one before, whose tree need not be read again.
    continues = _continues(number, commit)
    if not continues:
        yield b"reset %s\n" % SCRATCH_REF.encode()
    yield b"commit %s\nmark :%d\n" % (SCRATCH_REF.encode(), number)
    yield b"author %s\ncommitter %s\n" % (author, committer)
    yield b"data %d\n%s\n" % (len(message), message)
    for position, parent in enumerate(() if continues else commit.parents):
        yield b"%s %s\n" % (b"merge" if position else b"from", parent.encode())
    yield from _change_lines(commit)
    yield b"\n"


def _change_lines(commit: NewCommit) -> Iterator[bytes]:
    for path, entry in commit.entries.items():
        yield _change_line(path, entry)


def _change_line(path: str, entry: Entry | None) -> bytes:
    quoted = os.fsencode(path)
    for char, escape in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        quoted = quoted.replace(char, escape)
    if entry is None:
        return b'D "%s"\n' % quoted
    return b'M %s %s "%s"\n' % (entry.mode.encode(), entry.oid.encode(), quoted)
