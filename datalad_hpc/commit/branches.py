"""Jobs whose commits go to branches of their own, the checkout being as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datalad_hpc.commit.checkout import Checkout, Entries
from datalad_hpc.commit.gathering import Gathered, Work
from datalad_hpc.commit.index import parse_raw
from datalad_hpc.commit.trees import SUBDATASET
from datalad_hpc.commit.writing import existing


def refuse_taken_branches(found: Gathered, works: Sequence[Work]) -> None:
    """Find out whose branches exist already; a job whose name is taken gets a problem.

    In a subdataset the branch may be our own, from before an interruption.
    """
    for checkout in found.checkouts:
        good = found.good(works)
        taken = existing(checkout.repository, [work.branch for work in good])
        for work in good:
            commit = taken.get(work.branch, "")
            if not commit or not _goes_to(work, checkout, found):
                continue
            if checkout.name and _is_own(checkout, work, commit):
                checkout.own_branches[work.branch] = commit
                continue
            found.problems[work.key] = (
                f"the branch job-{work.label} exists already in {checkout.repository.path}; "
                "rename or delete it (`git branch -m`, `git branch -D`) and run `datalad finish` "
                "again"
            )


def _goes_to(work: Work, checkout: Checkout, found: Gathered) -> bool:
    """Whether a job gets a commit in a repository: for what it holds, or what that contains."""
    prefix = f"{checkout.name}/"
    return not checkout.name or any(
        inner.entries.get(work.key)
        for inner in found.checkouts
        if inner is checkout or inner.name.startswith(prefix)
    )


def _is_own(checkout: Checkout, work: Work, commit: str) -> bool:
    repository = checkout.repository
    parents = repository.asks("rev-parse", f"{commit}^@").text.split()
    if parents != [repository.tip] * bool(repository.tip):
        return False
    against = repository.tip or repository.empty_tree
    asked = ("diff-tree", "-r", "--raw", "-z", "--no-renames", "--no-abbrev")
    changed = parse_raw(repository.git(*asked, against, commit, "--").output)
    files = {path: to for path, to in changed.items() if not (to and to.mode == SUBDATASET)}
    return files == checkout.entries.get(work.key, {})


def withdraw(found: Gathered, works: Sequence[Work]) -> None:
    """Outputs that went to branches leave the work tree as the branch here has it."""
    for checkout in found.checkouts:
        entries = (checkout.entries.get(work.key, {}) for work in found.good(works))
        checkout.withdraw({path: entry for each in entries for path, entry in each.items()})


def withdraw_committed(
    found: Gathered, works: Sequence[Work], jobs: int | None, hashed: Callable[[], None]
) -> None:
    """The same after an interruption, for what the branches hold exactly as it is here."""
    good = found.good(works)
    for checkout in found.checkouts:
        checkout.hash_all([work.key for work in good], jobs, hashed)
        commits = existing(checkout.repository, [work.branch for work in good])
        held: Entries = {}
        for work in good:
            if work.branch in commits:
                held |= _held(checkout, work, commits[work.branch])
        checkout.withdraw(held)


def _held(checkout: Checkout, work: Work, commit: str) -> Entries:
    branch = checkout.tree.of(commit)
    return {
        path: entry
        for path, entry in checkout.entries.get(work.key, {}).items()
        if (branch.entry(path) == entry if entry else not branch.has_file(path))
    }
