"""Writing commits with one ``git fast-import``, and moving refs by compare-and-swap."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.signing import SIGNS, write_signed
from datalad_hpc.commit.stream import FAST_IMPORT, SCRATCH_REF, NewCommit, stream_of_commits
from datalad_hpc.errors import CommitFailed


def write_commits(repository: Repository, commits: Sequence[NewCommit]) -> list[str]:
    """Write commits; no branch is touched.

    Returns
    -------
    list
      Their ids, in the order given.

    Raises
    ------
    CommitFailed
      Git refused them, could not sign them though it is to, or the user has no
      name or e-mail address configured.
    """
    author, committer = identities(repository)
    if repository.settings.is_on(SIGNS):
        return write_signed(repository, commits, author, committer)
    stream = stream_of_commits(commits, author, committer)
    return repository.git(*FAST_IMPORT, stdin=stream).text.split()


def identities(repository: Repository) -> tuple[bytes, bytes]:
    """Author and committer as they stand in a commit of this moment.

    Raises
    ------
    CommitFailed
      The user has no name or e-mail address configured.
    """
    committer = _identity(repository, "COMMITTER")
    told_apart = _are_told_apart(repository)
    return _identity(repository, "AUTHOR") if told_apart else committer, committer


def _are_told_apart(repository: Repository) -> bool:
    """Whether author and committer may differ; if not, Git need not be asked twice."""
    named = any(name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_")) for name in os.environ)
    return named or any(map(repository.settings.has_any, ("author", "committer")))


def _identity(repository: Repository, role: str) -> bytes:
    ended = repository.asks("var", f"GIT_{role}_IDENT")
    if ended.code:
        raise CommitFailed(
            f"Git does not know who commits in {repository.path}: set `git config --global "
            "user.name` and `user.email` and run `datalad finish` again; no output was lost"
        )
    return ended.output.strip()


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
    arguments = ("update-ref", "-m", reason, "-z", "--stdin")
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


def contained(repository: Repository, planned: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of some commits are in the history of their ref, in few questions for all.

    Parameters
    ----------
    planned:
      Refs, each with a commit that may have got there; both may be gone.
    """
    names = dict.fromkeys(name for each in planned for name in each)
    ids = _commits(repository, list(names))
    of_tip: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for ref, commit in planned:
        if ids[ref] and ids[commit]:
            of_tip[ids[ref]].add((ref, commit))
    return {
        (ref, commit)
        for tip, pairs in of_tip.items()
        for ref, commit in pairs - _outside(repository, tip, pairs)
    }


def _commits(repository: Repository, names: Sequence[str]) -> dict[str, str]:
    """Commits by name; empty where there is none."""
    asked = "".join(f"{name}^{{commit}}\n" for name in names)
    lines = repository.git("cat-file", "--batch-check", stdin=os.fsencode(asked)).text.splitlines()
    told = (line.split(" ") for line in lines)
    return {
        name: words[0] if words[1:2] == ["commit"] else ""
        for name, words in zip(names, told, strict=True)
    }


def _outside(
    repository: Repository, tip: str, pairs: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of which the commit is not in the history of a tip."""
    if all(commit == tip for _, commit in pairs):
        return set()
    asked = "".join(f"{line}\n" for line in (f"^{tip}", *(commit for _, commit in pairs)))
    listed = repository.git("rev-list", "--stdin", stdin=asked.encode()).text.split()
    outside = set(listed)
    return {(ref, commit) for ref, commit in pairs if commit in outside}
