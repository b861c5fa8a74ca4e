"""Pure: what a job reads, and whether another one makes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

from datalad_hpc.claims import ClaimedPaths, matches
from datalad_hpc.globs import Names, names_of, top_of
from datalad_hpc.job import Claim, ClaimKind, ClaimRole

AFTER_ALL = "afterok"
"""Slurm's word for a job that waits until all of another has succeeded."""
AFTER_SAME_TASK = "aftercorr"
"""And for an array each task of which waits for the other's task with the same index."""

_SEVERAL = -1
"""In the place of a task's index: it is not one task alone."""


class Reads:
    """Paths that a job reads, quick to ask for also where they, or the claims, are thousands."""

    def __init__(self, paths: Iterable[Claim]) -> None:
        """Take what the inputs would be as claims."""
        paths = tuple(paths)
        files = [path for path in paths if path.kind is ClaimKind.FILE]
        self._all = ClaimedPaths((path, path.path) for path in paths)
        self._files = {names_of(path.path): path.path for path in files}
        self._tree = ClaimedPaths((path, path.path) for path in files)

    def meets(self, claim: Claim) -> bool:
        """Whether a claim covers something that is read.

        A log does only if an input names it: folders of code get logs of all jobs that are
        submitted there, and whoever reads such a folder, or ``*.json``, does not mean these.
        """
        if claim.role is ClaimRole.OUTPUT:
            return self._all.holder(claim) is not None
        if claim.kind is not ClaimKind.GLOB:
            return names_of(claim.path) in self._files
        near = self._tree.holder(claim) is not None
        return near and any(matches(claim, path) for path in self._files.values())


class Nearby:
    """Finds those of many paths that could meet a claim without a look at all of them."""

    def __init__(self, paths: Iterable[Claim]) -> None:
        """Take the paths; they are known by their position."""
        self._at: dict[Names, list[int]] = defaultdict(list)
        self._at_or_below: dict[Names, list[int]] = defaultdict(list)
        for position, path in enumerate(paths):
            names = _top(path)
            self._at[names].append(position)
            for length in range(len(names) + 1):
                self._at_or_below[names[:length]].append(position)

    def near(self, claim: Claim) -> set[int]:
        """Paths at, above and below the claim, as far as its text and theirs are no globs."""
        names = _top(claim)
        above = (self._at.get(names[:length], ()) for length in range(len(names)))
        return {*self._at_or_below.get(names, ()), *chain(*above)}


def tasks_read(reads: Reads, claims: Iterable[Claim]) -> frozenset[int] | None:
    """Tasks that make what is read; ``None`` if it may be any, or the job has no tasks."""
    tasks = {claim.task for claim in claims if reads.meets(claim)}
    indices = frozenset(task for task in tasks if task is not None)
    return indices if len(indices) == len(tasks) else None


def kind_of(read: Mapping[int, Iterable[Claim]], made: Iterable[Claim]) -> str:
    """How an array has to wait for a job that makes its inputs.

    Parameters
    ----------
    read:
      What each task reads, by its index.
    made:
      The other job's claims.

    Returns
    -------
    str
      :data:`AFTER_SAME_TASK` if each task certainly reads only what the task with its own index
      makes, else :data:`AFTER_ALL`.
    """
    at: dict[Names, int] = {}
    at_or_below: dict[Names, int] = {}
    for claim in made:
        names = _top(claim)
        task = _SEVERAL if claim.task is None else claim.task
        _note(at, names, task)
        for length in range(len(names) + 1):
            _note(at_or_below, names[:length], task)
    alone = all(
        _met(at, at_or_below, _top(path)) <= {index}
        for index, paths in read.items()
        for path in paths
    )
    return AFTER_SAME_TASK if alone else AFTER_ALL


def _top(claim: Claim) -> Names:
    """The path itself, or the folder that all matches of a glob lie below."""
    return names_of(top_of(claim.path) if claim.kind is ClaimKind.GLOB else claim.path)


def _note(tasks: dict[Names, int], names: Names, task: int) -> None:
    tasks[names] = task if tasks.get(names, task) == task else _SEVERAL


def _met(at: Mapping[Names, int], at_or_below: Mapping[Names, int], names: Names) -> set[int]:
    found = {at[names[:length]] for length in range(len(names)) if names[:length] in at}
    return found | ({at_or_below[names]} if names in at_or_below else set())
