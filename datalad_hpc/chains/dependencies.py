"""What a new job has to wait for: the jobs that make its inputs, and those that the user names.

The store tells which open jobs these are, and their scheduler, asked once, how they are. A job
that may still run is waited for, one that has succeeded need not be, and one that has failed
makes no inputs any more.
"""

from __future__ import annotations

import glob
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from datalad_hpc.chains.awaited import Earlier, by_name, conditions_of, foreign_conditions
from datalad_hpc.claims import ClaimedPaths
from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import has_magic, split_glob
from datalad_hpc.job import Claim, Job, JobState, Request
from datalad_hpc.polling import ask
from datalad_hpc.reads import AFTER_ALL, Nearby, Reads, kind_of, tasks_read
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.schedulers.dependency import dependency_options
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.store import Store
from datalad_hpc.submissions import settled
from datalad_hpc.sweeps import task_request
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

FRESH = 60.0
"""Seconds for which an answer is relied on. By default Slurm forgets ended jobs after 300, and to
wait for a job that it has forgotten is to wait for nothing, however that one has ended."""


@dataclass(frozen=True)
class Waits:
    """What a job waits for, and what that means for its inputs."""

    read: tuple[Claim, ...] = ()
    """Its inputs, as they would be claimed."""
    earlier: tuple[Earlier, ...] = ()
    """Jobs that it depends on, as they were when they were asked for; some have succeeded."""
    conditions: tuple[str, ...] = ()
    """The others, as sbatch's ``--dependency`` names them."""
    foreign: tuple[str, ...] = ()
    """Ids that the user named and that are no jobs of this dataset."""
    to_come: frozenset[str] = frozenset()
    """Inputs, as they were given, of which there is nothing yet."""
    globs: frozenset[str] = frozenset()
    """Those of the inputs of which nobody can tell yet what they match."""
    made_there: tuple[Claim, ...] = ()
    """What is made in the alternative directory itself."""
    until: float = float("inf")
    """When it should be looked again, by the clock of :func:`time.monotonic`."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the jobs that it depends on."""
        return tuple(sorted(each.job.key for each in self.earlier))

    @property
    def live(self) -> tuple[Earlier, ...]:
        """The jobs that may still run."""
        return tuple(each for each in self.earlier if each.is_live)

    @property
    def named(self) -> str:
        """What is waited for, to be shown."""
        names = [*(each.shown for each in self.live), *(f"job {name}" for name in self.foreign)]
        return some_of(names)

    @property
    def told(self) -> str:
        """The same behind a sentence."""
        return f"; it waits for {self.named}" if self.named else ""


NOTHING = Waits()


@dataclass(frozen=True)
class Input:
    """An input that an output could be."""

    path: str
    """As it was given."""
    claim: Claim
    """As it would be claimed."""
    task: int
    """Which task of a sweep reads it; 0 for all other jobs."""


def look(
    workplace: Workplace,
    store: Store,
    scheduler_named: Callable[[str], Scheduler],
    request: Request,
    among: Collection[int] | None = None,
) -> Waits:
    """Find out what a job waits for.

    Parameters
    ----------
    among:
      Rows of the jobs that make its inputs if it was submitted before: later ones do not count,
      and it does not wait for itself.

    Raises
    ------
    BadRequest
      A job that it would wait for has failed, or it cannot be told whether it has; or its outputs
      are made elsewhere.
    """
    inputs = tuple(inputs_of(workplace, request))
    if not inputs and not request.after:
        return NOTHING
    read = tuple(each.claim for each in inputs)
    makers = settled(workplace, lambda: store.makers(read, workplace.worktree))
    makers = [job for job in makers if among is None or job.key in among]
    named, foreign = by_name(store.jobs_named, request.after)
    earlier = _together(*_makers(makers, inputs, request), *named)
    waits = _judged(Waits(read, earlier, foreign=foreign), scheduler_named, request)
    return _with_inputs(waits, workplace.root / request.folder, request)


def look_again(waits: Waits, store: Store, scheduler: Scheduler, request: Request) -> Waits:
    """The same some time later: a job that was live may have failed meanwhile.

    Raises
    ------
    BadRequest
      As in :func:`look`.
    """
    live = {job.key: job for job in store.jobs_of(each.job.key for each in waits.live)}
    now = tuple(replace(each, job=live[each.job.key]) for each in waits.live)
    again = _judged(replace(waits, earlier=now), lambda _name: scheduler, request)
    over = tuple(each for each in waits.earlier if not each.is_live)
    return replace(again, earlier=(*over, *again.earlier))


def agreed(waits: Waits, scheduler: Scheduler, batch: BatchCommand) -> Waits:
    """The same with all conditions, after a check that the scheduler can wait for them.

    Raises
    ------
    BadRequest
      It cannot.
    """
    cluster = scheduler.cluster_for(batch.options)
    for each in waits.live:
        each.refuse_other_cluster(scheduler, cluster)
    foreign = foreign_conditions(scheduler, cluster, waits.foreign)
    conditions = (*waits.conditions, *foreign)
    dependency_options(batch, conditions)
    return replace(waits, conditions=conditions)


def inputs_of(workplace: Workplace, request: Request) -> Iterator[Input]:
    """Inputs that an output could be; none if they are to be taken as they are."""
    if request.assume_ready in ("inputs", "both"):
        return
    here = workplace.root / request.folder
    for task, values in enumerate(request.sweep or ({},)):
        if request.sweep and request.only_tasks and task not in request.only_tasks:
            continue
        filled = task_request(request, values) if request.sweep else request
        for path in (*filled.inputs, *filled.extra_inputs):
            for spelling in (path, *_targets(here / path)):
                # What lies outside of the dataset, or in Git's own folder, is nobody's output.
                with suppress(BadRequest):
                    claim = workplace.claim(_without_way_up(spelling), base=here)
                    yield Input(path, claim, task)


def _targets(path: Path) -> Iterator[str]:
    """Where a link leads, which is what is read."""
    if path.is_symlink():
        yield os.path.realpath(path)


def _without_way_up(path: str) -> str:
    """A path; the folder in front of a glob where ``..`` behind it could lead anywhere."""
    literal, pattern = split_glob(path)
    return f"{literal or '.'}/" if ".." in pattern.split("/") else path


def _makers(jobs: Sequence[Job], inputs: Sequence[Input], request: Request) -> Iterator[Earlier]:
    reads = Reads(each.claim for each in inputs)
    nearby = Nearby(each.claim for each in inputs)
    for job in jobs:
        over = {part.index for part in job.parts if part.state is not JobState.OPEN}
        claims = [claim for claim in job.claims if claim.task is None or claim.task not in over]
        read = [claim for claim in claims if reads.meets(claim)]
        made = ClaimedPaths((claim, job.label) for claim in read)
        near = sorted({position for claim in read for position in nearby.near(claim)})
        met = [inputs[position] for position in near if made.holder(inputs[position].claim)]
        paths = tuple(dict.fromkeys(each.path for each in met))
        by_task = request.sweep and job.tasks and not job.attempts
        kind = _kind(met, claims) if by_task else AFTER_ALL
        yield Earlier(job, paths, tasks_read(reads, claims), kind=kind)


def _kind(met: Sequence[Input], claims: Sequence[Claim]) -> str:
    read: dict[int, list[Claim]] = defaultdict(list)
    for each in met:
        read[each.task].append(each.claim)
    return kind_of(read, claims)


def _together(*all_of_them: Earlier) -> tuple[Earlier, ...]:
    """Each job once."""
    found: dict[int, Earlier] = {}
    for each in all_of_them:
        key = each.job.key
        found[key] = found[key].and_also(each) if key in found else each
    return tuple(found.values())


def _judged(waits: Waits, scheduler_named: Callable[[str], Scheduler], request: Request) -> Waits:
    """What there still is to wait for."""
    answers = ask([each.job for each in waits.earlier], scheduler_named, facts=False)
    of_kind: dict[str, list[str]] = defaultdict(list)
    earlier = []
    for each in waits.earlier:
        ids = conditions_of(each, answers)
        of_kind[each.kind] += ids
        earlier.append(replace(each, is_live=bool(ids)))
        earlier[-1].refuse_other_place(request.alternative)
    conditions = (f"{kind}:{':'.join(ids)}" for kind, ids in of_kind.items() if ids)
    # Who finishes a job takes its outputs away from there, but not from under the feet of an open
    # one: the job is to be live still when the new one is in the store.
    soon = request.alternative is not None and any(each.is_live for each in earlier)
    return replace(
        waits,
        earlier=tuple(earlier),
        conditions=tuple(conditions),
        until=time.monotonic() + (0 if soon else FRESH),
    )


def _with_inputs(waits: Waits, here: Path, request: Request) -> Waits:
    """The same, with what the jobs mean for the inputs of the new one."""
    paths = {path for each in waits.live for path in each.inputs}
    made = [claim for each in waits.live if each.inputs for claim in each.job.claims]
    return replace(
        waits,
        to_come=frozenset(path for path in paths if not _is_here(here, path)),
        globs=frozenset(path for path in paths if _is_glob(here, path)),
        made_there=tuple(made) if request.alternative else (),
    )


def _is_glob(here: Path, path: str) -> bool:
    return has_magic(path) and not os.path.lexists(here / path)


def _is_here(here: Path, path: str) -> bool:
    """Whether there is something of an input that could be retrieved."""
    if _is_glob(here, path):
        return bool(glob.glob(path, root_dir=here, recursive=True))
    return os.path.lexists(here / path)
