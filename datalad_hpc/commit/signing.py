"""Signed commits: ``git fast-import`` writes the trees, and ``git commit-tree`` the commits.

The former cannot sign. Git itself signs, with whatever it was configured for (``gpg.format``,
``user.signingKey``, ``gpg.program`` and the like).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.stream import FAST_IMPORT, SCRATCH_REF, NewCommit, stream_of_trees
from datalad_hpc.errors import CommitFailed

SIGNS = "commit.gpgsign"
"""The switch by which users have their commits signed (git-config(1))."""


def write_signed(
    repository: Repository, commits: Sequence[NewCommit], author: bytes, committer: bytes
) -> list[str]:
    """Write signed commits; no branch is touched.

    Parameters
    ----------
    author, committer:
      As they stand in a commit: name, address, seconds and zone.

    Returns
    -------
    list
      Their ids, in the order given.

    Raises
    ------
    CommitFailed
      Git could not sign, for instance because there is no such key.
    """
    who = {**_as_variables("AUTHOR", author), **_as_variables("COMMITTER", committer)}
    environment = {**repository.environment(), **who}
    written: list[str] = []
    for commit, tree in zip(commits, _trees(repository, commits, committer), strict=True):
        parents = [written[int(name[1:]) - 1] if name[0] == ":" else name
                   for name in commit.parents]  # fmt: skip
        written.append(_signed(repository, commit.message, tree, parents, environment))
    repository.git("update-ref", SCRATCH_REF, written[-1])
    return written


def _trees(repository: Repository, commits: Sequence[NewCommit], committer: bytes) -> Sequence[str]:
    known = {name for commit in commits for name in commit.parents[:1] if name[0] != ":"}
    tree_of = {name: repository.git("rev-parse", f"{name}^{{tree}}").text.strip() for name in known}
    stream = stream_of_trees(commits, committer, tree_of)
    listed = repository.git(*FAST_IMPORT, stdin=stream).text.splitlines()
    return [line.split()[2] for line in listed]


def _signed(
    repository: Repository,
    message: str,
    tree: str,
    parents: Sequence[str],
    environment: Mapping[str, str],
) -> str:
    # Our messages are UTF-8, whatever the user's own are.
    argv = ["git", "-c", "i18n.commitEncoding=UTF-8", "commit-tree", "-S", tree]
    argv += [word for parent in parents for word in ("-p", parent)]
    ended = process.run(
        argv, folder=repository.path, stdin=os.fsencode(message), environment=environment
    )
    if ended.code:
        raise CommitFailed(
            f"Commits in {repository.path} are to be signed (commit.gpgSign) and could not be "
            f"signed: {ended.complaint}; nothing was committed there and no output was lost, make "
            "the key available (a key with a passphrase needs its agent) and run `datalad finish` "
            "again"
        )
    return ended.text.strip()


def _as_variables(role: str, identity: bytes) -> dict[str, str]:
    """An identity in the words of the environment; see git-commit-tree(1)."""
    name, _, rest = os.fsdecode(identity).rpartition(" <")
    address, _, moment = rest.rpartition("> ")
    return {
        f"GIT_{role}_NAME": name,
        f"GIT_{role}_EMAIL": address,
        # With "@" even a small number is taken for seconds.
        f"GIT_{role}_DATE": f"@{moment}",
    }
