"""Finished jobs become commits: in subdatasets first, then in what contains them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

from datalad_hpc.commit.branches import refuse_taken_branches, withdraw, withdraw_committed
from datalad_hpc.commit.checkout import Checkout, Entries, catch_up
from datalad_hpc.commit.gathering import Gathered, Work, gathered
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.stream import NewCommit
from datalad_hpc.commit.trees import SUBDATASET, Entry
from datalad_hpc.commit.writing import (
    contained,
    forget_scratch,
    identities,
    move_refs,
    write_commits,
)
from datalad_hpc.errors import CommitFailed
from datalad_hpc.interruption import uncut
from datalad_hpc.job import Unit

_TRIES = 50
"""How often a branch may be moved under our hands before we give up."""


class Layout(Enum):
    """Where the commits go."""

    LINEAR = "one after another on the branch that is checked out"
    BRANCHES = "each on a branch of its own"
    OCTOPUS = "side by side, merged into the branch that is checked out"


@dataclass(frozen=True)
class Recorded:
    """What became of one job."""

    key: Unit
    commit: str = ""
    files: tuple[str, ...] = ()
    """What the commit changes, relative to the dataset's root."""
    problem: str = ""
    """Why there is no commit; empty where there is one."""
    notes: tuple[str, ...] = ()


BeforeMove = Callable[[Mapping[Unit, tuple[str, str]]], None]
"""Is told the planned commit and ref of each job before the dataset's branch is moved."""


@dataclass
class Recorder:
    """Writes the commits of one batch of jobs."""

    root: Path
    layout: Layout = Layout.LINEAR
    jobs: int | None = None
    hashed: Callable[[], None] = lambda: None
    """Called after each file that was hashed, from any thread."""
    written: dict[Path, Repository] = field(default_factory=dict)
    """Repositories that have got commits, by their top."""
    _links: dict[Unit, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """New commits of subdatasets, by job and by the subdataset's top."""
    _merged: dict[str, str] = field(default_factory=dict)
    """New merge commits, by the subdataset's top."""
    _commits: dict[Unit, str] = field(default_factory=dict)

    def record(self, works: Sequence[Work], before_move: BeforeMove) -> list[Recorded]:
        """Commit the outputs of jobs.

        Returns
        -------
        list
          What became of each job, in the order given. A job whose files cannot
          be hashed has a problem in the place of a commit and stops no other.

        Raises
        ------
        CommitFailed
          Git could not go on; the jobs stay open and nothing of theirs is lost.
        """
        with gathered(self.root, works) as found:
            for checkout in found.checkouts:
                checkout.clear()
                self._hash(checkout, works, found)
            if self.layout is Layout.BRANCHES:
                refuse_taken_branches(found, works)
            messages = {
                work.key: work.message(found.present(work.key)) for work in found.good(works)
            }
            for checkout in found.checkouts:
                self._commit_or_refuse(checkout, works, messages, before_move, found)
            if self.layout is Layout.BRANCHES:
                withdraw(found, works)
            return [self._outcome(work, found) for work in works]

    def held(self, planned: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of some commits that were planned earlier are in their branch."""
        return contained(Repository.find(self.root), planned) if planned else set()

    def catch_up(self, works: Sequence[Work]) -> None:
        """Do what follows the move of the branch, for commits made before an interruption."""
        with gathered(self.root, works) as found:
            names = {checkout.name for checkout in found.checkouts}
            for checkout in found.checkouts:
                checkout.clear()
                if self.layout is not Layout.BRANCHES:
                    catch_up(checkout, [work.claims for work in works], names)
            if self.layout is Layout.BRANCHES:
                withdraw_committed(found, works, self.jobs, self.hashed)

    def _hash(self, checkout: Checkout, works: Sequence[Work], found: Gathered) -> None:
        good = [work.key for work in found.good(works)]
        keys = [key for key in good if checkout.changes[key].any]
        with _refusing(found, checkout, keys):
            # git-annex commits as well while it hashes, and says it less clearly.
            identities(checkout.repository)
            found.problems.update(checkout.hash_all(keys, self.jobs, self.hashed))

    def _commit_or_refuse(
        self,
        checkout: Checkout,
        works: Sequence[Work],
        messages: Mapping[Unit, str],
        before_move: BeforeMove,
        found: Gathered,
    ) -> None:
        chosen = [work for work in found.good(works) if self._concerns(checkout, work)]
        with _refusing(found, checkout, [work.key for work in chosen]):
            if chosen:
                clean = not found.problems
                self._commit_in(checkout, chosen, messages, before_move, clean=clean)
            elif self.layout is not Layout.BRANCHES:
                checkout.follow(checkout.stale)

    def _commit_in(
        self,
        checkout: Checkout,
        works: Sequence[Work],
        messages: Mapping[Unit, str],
        before_move: BeforeMove,
        *,
        clean: bool,
    ) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(forget_scratch, checkout.repository)
            for _ in range(_TRIES):
                commits = self._new_commits(checkout, works, messages)
                written = write_commits(checkout.repository, commits)
                moves = self._moves(checkout, works, written)
                if not checkout.name:
                    before_move(_planned(works, written, moves))
                if self._publish(checkout, works, moves, clean=clean):
                    self._remember(checkout, works, written)
                    self.written[checkout.repository.path] = checkout.repository
                    undo.pop_all()
                    return
                checkout.repository = checkout.repository.refreshed()
        raise CommitFailed(
            f"The branch {checkout.repository.ref} in {checkout.repository.path} was moved by "
            "others again and again; nothing was lost, run `datalad finish` again"
        )

    def _publish(
        self,
        checkout: Checkout,
        works: Sequence[Work],
        moves: Mapping[str, tuple[str, str]],
        *,
        clean: bool,
    ) -> bool:
        reason = f"datalad finish: {len(works)} job(s)"
        move = partial(move_refs, checkout.repository, moves, reason)
        if self.layout is Layout.BRANCHES:
            with uncut():
                return move()
        committed: Entries = {}
        for work in works:
            committed |= self._entries(checkout, work)
        committed |= _as_entries(self._nested(checkout, self._merged))
        with uncut():
            return checkout.publish(move, committed, whole=clean)

    def _concerns(self, checkout: Checkout, work: Work) -> bool:
        """Whether a job gets a commit here: always in the dataset, else where it has something."""
        if not checkout.name or checkout.entries.get(work.key):
            return True
        if self._nested(checkout, self._links[work.key]):
            return True
        if checkout.is_ahead_for(work.key):
            # Committed here before an interruption; what contains it does not know yet.
            self._links[work.key][checkout.name] = checkout.repository.tip
        return False

    def _new_commits(
        self, checkout: Checkout, works: Sequence[Work], messages: Mapping[Unit, str]
    ) -> list[NewCommit]:
        tip = [checkout.repository.tip] if checkout.repository.tip else []
        commits: list[NewCommit] = []
        for number, work in enumerate(works):
            chained = self.layout is Layout.LINEAR and number > 0
            parents = [f":{number}"] if chained else tip
            commits.append(NewCommit(messages[work.key], self._entries(checkout, work), parents))
        if self.layout is Layout.OCTOPUS:
            commits.append(self._merge(checkout, works, commits, tip))
        return commits

    def _merge(
        self,
        checkout: Checkout,
        works: Sequence[Work],
        commits: Sequence[NewCommit],
        tip: list[str],
    ) -> NewCommit:
        labels = ", ".join(work.label for work in works)
        entries = {path: entry for commit in commits for path, entry in commit.entries.items()}
        entries |= _as_entries(self._nested(checkout, self._merged))
        parents = [*tip, *(f":{number}" for number in range(1, len(commits) + 1))]
        return NewCommit(f"Merge the results of jobs {labels}\n", entries, parents)

    def _entries(self, checkout: Checkout, work: Work) -> Entries:
        links = _as_entries(self._nested(checkout, self._links[work.key]))
        return {**checkout.entries.get(work.key, {}), **links}

    @staticmethod
    def _nested(checkout: Checkout, links: Mapping[str, str]) -> dict[str, str]:
        """New commits of the subdatasets directly below a repository, by path in it."""
        prefix = f"{checkout.name}/" if checkout.name else ""
        inner = {
            name.removeprefix(prefix): commit
            for name, commit in links.items()
            if name != checkout.name and name.startswith(prefix)
        }
        return {
            path: commit
            for path, commit in inner.items()
            if checkout.link_of(path) not in ("", commit)
        }

    def _moves(
        self, checkout: Checkout, works: Sequence[Work], written: Sequence[str]
    ) -> dict[str, tuple[str, str]]:
        repository = checkout.repository
        if self.layout is not Layout.BRANCHES:
            return {repository.ref: (written[-1], repository.tip)}
        return {
            work.branch: (commit, checkout.own_branches.get(work.branch, ""))
            for work, commit in zip(works, written, strict=True)
        }

    def _remember(self, checkout: Checkout, works: Sequence[Work], written: Sequence[str]) -> None:
        for work, commit in zip(works, written, strict=False):
            self._links[work.key][checkout.name] = commit
            if not checkout.name:
                self._commits[work.key] = commit
        if self.layout is Layout.OCTOPUS:
            self._merged[checkout.name] = written[-1]

    def _outcome(self, work: Work, found: Gathered) -> Recorded:
        notes = tuple(found.notes[work.key])
        if work.key in found.problems:
            return Recorded(work.key, problem=found.problems[work.key], notes=notes)
        files = tuple(found.files(work.key))
        return Recorded(work.key, self._commits[work.key], files, notes=notes)


def _planned(
    works: Sequence[Work], written: Sequence[str], moves: Mapping[str, tuple[str, str]]
) -> dict[Unit, tuple[str, str]]:
    refs = list(moves) if len(moves) == len(works) else list(moves) * len(works)
    return {
        work.key: (commit, ref) for work, commit, ref in zip(works, written, refs, strict=False)
    }


def _as_entries(links: Mapping[str, str]) -> Entries:
    return {path: Entry(SUBDATASET, commit) for path, commit in links.items()}


@contextlib.contextmanager
def _refusing(found: Gathered, checkout: Checkout, keys: Sequence[Unit]) -> Iterator[None]:
    """A subdataset in which Git cannot go on stops the jobs with outputs there, and no other."""
    try:
        yield
    except CommitFailed as error:
        if not checkout.name:
            raise
        found.refuse(keys, str(error))
