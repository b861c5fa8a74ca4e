"""Which repositories hold outputs of which jobs, opened and compared with their tips."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datalad_hpc.commit.changes import Found
from datalad_hpc.commit.checkout import Checkout, checked_out
from datalad_hpc.job import Claim
from datalad_hpc.located import Locator, Place


@dataclass(frozen=True)
class Work:
    """One job's outputs to be committed."""

    key: int
    """Number of the job's row."""
    label: str
    claims: tuple[Claim, ...]
    message: Callable[[Sequence[str]], str]
    """Makes the commit message from the files that are committed, relative to the root."""

    @property
    def branch(self) -> str:
        """The job's own branch, in full."""
        return f"refs/heads/job-{self.label}"


@dataclass
class Gathered:
    """All repositories with outputs, the deepest first, and what is wrong with which job."""

    checkouts: list[Checkout]
    problems: dict[int, str] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def files(self, key: int) -> list[str]:
        """Files that a job's commits change, relative to the dataset's root."""
        return sorted(
            Place(checkout.name, path).full
            for checkout in self.checkouts
            for path in checkout.entries.get(key, {})
        )


@contextlib.contextmanager
def gathered(root: Path, works: Sequence[Work]) -> Iterator[Gathered]:
    """Find the outputs of jobs in a dataset and its subdatasets."""
    locator = Locator(root)
    found: dict[str, dict[int, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for work in works:
        for place, status in _files(locator, work.claims):
            found[place.repository][work.key].append(Found(place, status))
    names = _with_parents(found, locator) | {""}
    with contextlib.ExitStack() as stack:
        checkouts = {name: stack.enter_context(checked_out(name, root / name)) for name in names}
        result = Gathered([checkouts[name] for name in sorted(names, key=_depth, reverse=True)])
        for name, checkout in checkouts.items():
            for work in works:
                _compare(work, checkout, found[name][work.key], locator, result)
            _refuse_strangers(checkout, checkouts, locator, result)
        yield result


def _files(locator: Locator, claims: Sequence[Claim]) -> list[tuple[Place, os.stat_result | None]]:
    """Each file once, though several claims may cover it; repositories without files as well."""
    seen: dict[Place, os.stat_result | None] = {}
    for claim in claims:
        for start in locator.starts(claim):
            seen.setdefault(Place(start.repository, ""), None)
        for place, status in locator.files(claim):
            if seen.get(place) is None:
                seen[place] = status
    return list(seen.items())


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


def _compare(
    work: Work, checkout: Checkout, found: list[Found], locator: Locator, result: Gathered
) -> None:
    changes = checkout.compare(work.key, work.claims, found, locator)
    for path, target in changes.removed.items():
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.symlink(target, checkout.repository.path / path)
    result.notes[work.key] += [
        f"{path} is neither a file nor a link and was left out" for path in sorted(changes.special)
    ]


def _refuse_strangers(
    checkout: Checkout, checkouts: Mapping[str, Checkout], locator: Locator, result: Gathered
) -> None:
    """Files in a repository that its parent does not know would be lost to every clone."""
    if not checkout.name:
        return
    parent = locator.place(os.path.dirname(checkout.name)).repository
    inner = os.path.relpath(checkout.name, parent or ".")
    if checkouts[parent].link_of(inner):
        return
    for key, changes in checkout.changes.items():
        if changes.present:
            result.problems[key] = (
                f"{checkout.name} is a Git repository but not a subdataset; register it with "
                f"`datalad save -d . {checkout.name}` and finish again"
            )
