"""Which repositories hold outputs of which jobs, opened and compared with their tips."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datalad_hpc.commit.changes import Found
from datalad_hpc.commit.checkout import Checkout, checked_out
from datalad_hpc.errors import CommitFailed
from datalad_hpc.job import Claim, Unit
from datalad_hpc.located import Listing, Locator, Place
from datalad_hpc.wording import some_of

_ByRepository = defaultdict[str, defaultdict[Unit, list[Found]]]


@dataclass(frozen=True)
class Work:
    """One job's outputs, or those of one task of a sweep, to be committed."""

    key: Unit
    """Tells it apart from the others."""
    label: str
    claims: tuple[Claim, ...]
    message: Callable[[Sequence[str]], str]
    """Makes the commit message from the job's files that are there, relative to the root."""
    listing: Listing | None = None
    """What there is below the claims, where that is known already."""

    @property
    def branch(self) -> str:
        """The job's own branch, in full."""
        return own_branch(self.label)


def own_branch(label: str) -> str:
    """The branch for the job of a label, in full."""
    return f"refs/heads/job-{label}"


@dataclass
class Gathered:
    """All repositories with outputs, the deepest first, and what is wrong with which job."""

    checkouts: list[Checkout]
    problems: dict[Unit, str] = field(default_factory=dict)
    notes: dict[Unit, list[str]] = field(default_factory=lambda: defaultdict(list))

    def good(self, works: Sequence[Work]) -> list[Work]:
        """The jobs that nothing is wrong with."""
        return [work for work in works if work.key not in self.problems]

    def refuse(self, keys: Iterable[Unit], problem: str) -> None:
        """Say what is wrong with jobs; what was said first counts."""
        self.problems = {**dict.fromkeys(keys, problem), **self.problems}

    def files(self, key: Unit) -> list[str]:
        """Files that a job's commits change, relative to the dataset's root."""
        return sorted(
            Place(checkout.name, path).full
            for checkout in self.checkouts
            for path in checkout.entries.get(key, {})
        )

    def present(self, key: Unit) -> list[str]:
        """Files of a job that are there, changed or not, relative to the dataset's root."""
        return sorted(
            Place(checkout.name, path).full
            for checkout in self.checkouts
            if key in checkout.changes
            for path in checkout.changes[key].present
        )


@contextlib.contextmanager
def gathered(root: Path, works: Sequence[Work]) -> Iterator[Gathered]:
    """Find the outputs of jobs in a dataset and its subdatasets."""
    locator = Locator(root)
    result = Gathered([])
    found = _found(works, locator, result)
    names = _with_parents(found, locator) | {""}
    with contextlib.ExitStack() as stack:
        opened: dict[str, Checkout] = {}
        for name in sorted(names, key=_depth):
            parent = locator.place(os.path.dirname(name)).repository if name else ""
            try:
                opened[name] = _opened(stack, root, name, opened.get(parent), parent)
            except CommitFailed as error:
                if not name:
                    raise
                result.refuse(_with_files(found[name]), str(error))
                continue
            _compare_all(works, opened[name], found[name], locator, result)
        result.checkouts += reversed(opened.values())
        yield result


def _found(works: Sequence[Work], locator: Locator, result: Gathered) -> _ByRepository:
    found: _ByRepository = defaultdict(lambda: defaultdict(list))
    for work in works:
        try:
            listing = work.listing or locator.listing(work.claims)
            for place, status in listing.files.items():
                found[place.repository][work.key].append(Found(place, status))
        except OSError as error:
            result.refuse(
                [work.key],
                f"{error.filename} cannot be read: {error.strerror}; put that right and run "
                "`datalad finish` again",
            )
    return found


def _opened(
    stack: contextlib.ExitStack, root: Path, name: str, around: Checkout | None, parent: str
) -> Checkout:
    """Open a repository of the hierarchy.

    In any other one no Git is started: a job may have unpacked it from anywhere, and its
    settings name commands.
    """
    if not name:
        return stack.enter_context(checked_out(name, root))
    linked = around.link_of(os.path.relpath(name, around.name or ".")) if around else ""
    if not linked:
        # What it is in does not know it: its files would be lost to every clone.
        stranger = name if around else parent
        raise CommitFailed(
            f"{stranger} is a Git repository but not a subdataset; register it with "
            f"`datalad save -d . {shlex.quote(stranger)}` at the top of the dataset, or remove its "
            ".git, and run `datalad finish` again"
        )
    checkout = stack.enter_context(checked_out(name, root / name))
    checkout.linked = linked
    return checkout


def _with_files(found: Mapping[Unit, Sequence[Found]]) -> list[Unit]:
    return [key for key, files in found.items() if any(file.status for file in files)]


def _with_parents(names: Mapping[str, object], locator: Locator) -> set[str]:
    """Names of repositories, and of all that contain them."""
    complete: set[str] = set()
    for name in names:
        while name:
            complete.add(name)
            name = locator.place(os.path.dirname(name)).repository
    return complete


def _depth(name: str) -> tuple[int, str]:
    return (name.count("/") + 1 if name else 0, name)


def _compare_all(
    works: Sequence[Work],
    checkout: Checkout,
    found: Mapping[Unit, list[Found]],
    locator: Locator,
    result: Gathered,
) -> None:
    for work in works:
        changes = checkout.compare(work.key, work.claims, list(found.get(work.key, ())), locator)
        for path, target in changes.removed.items():
            link = checkout.repository.path / path
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(target)
        if changes.special:
            named = some_of(sorted(changes.special))
            result.notes[work.key].append(f"neither a file nor a link, and so left out: {named}")
        if changes.problems:
            result.refuse([work.key], some_of(sorted(changes.problems), "; "))
        if changes.any and (reason := _unfit(checkout)):
            result.refuse([work.key], reason)


def _unfit(checkout: Checkout) -> str:
    """Why nothing can be committed in a repository; empty if it can."""
    if checkout.repository.is_adjusted:
        return (
            f"{checkout.repository.path} is on git-annex's adjusted branch "
            f"{checkout.repository.ref}, which only git-annex can write; check out the branch "
            "that it was made from (`git checkout`) and run `datalad finish` again"
        )
    return ""
