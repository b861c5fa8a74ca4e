"""Options and openings that the commands share; cheap to import."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from datalad.distribution.dataset import EnsureDataset
from datalad.support.constraints import EnsureChoice, EnsureInt, EnsureNone, EnsureRange
from datalad.support.param import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from datalad_hpc.schedulers.base import Scheduler
    from datalad_hpc.store import Store
    from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.commands")

dataset_option = Parameter(
    args=("-d", "--dataset"),
    doc="""dataset that the jobs belong to; by default the one around the
    current directory.""",
    constraints=EnsureDataset() | EnsureNone(),
)

alternative_option = Parameter(
    args=("-a", "--alt-dir"),
    dest="alt_dir",
    metavar="PATH",
    doc="""run the job in this directory instead of the dataset, for example on a
    parallel file system. It has to exist, outside of the dataset. Inputs are
    copied to the same relative place below it, the job starts there, and
    finish moves outputs and logs back when the job has ended.""",
)

assume_ready_option = Parameter(
    args=("--assume-ready",),
    constraints=EnsureChoice(None, "inputs", "outputs", "both"),
    doc="""assume that inputs need not be retrieved and/or existing outputs need
    not be made writable. This saves the time of these steps where you know that
    they are not necessary. Jobs that make an input are not waited for either.""",
)

auto_finish_option = Parameter(
    args=("--auto-finish",),
    action="store_true",
    doc="""for each job submit a second, small one that runs 'datalad finish'
    for it when it is over, however it ends. A finish by hand can run beside
    it.""",
)

jobs_option = Parameter(
    args=("-J", "--jobs"),
    metavar="NJOBS",
    constraints=EnsureNone() | (EnsureInt() & EnsureRange(min=1)),
    doc="""how many files are transferred or hashed at the same time. By default
    up to 4 git-annex processes hash the outputs where there are many.""",
)


@contextlib.contextmanager
def opened(workplace: Workplace) -> Iterator[tuple[Store, Callable[[str], Scheduler]]]:
    """The job store of a workplace, and its schedulers by name."""
    from datalad_hpc.schedulers import scheduler_loader
    from datalad_hpc.store import open_store

    timeout = workplace.seconds("datalad.hpc.store-timeout")
    with open_store(workplace.store_url, scope=workplace.store_scope, timeout=timeout) as store:
        yield store, scheduler_loader(workplace.setting)


@contextlib.contextmanager
def opened_if_there(workplace: Workplace) -> Iterator[Store | None]:
    """The job store of a workplace for those who change nothing: none is made."""
    from datalad_hpc.store import store_exists

    if not store_exists(workplace.store_url):
        yield None
        return
    with opened(workplace) as (store, _):
        yield store


def chosen_scheduler(workplace: Workplace, wanted: str | None) -> str:
    """The name of the scheduler to submit to; says in one line which and why."""
    from datalad_hpc.schedulers import choose

    name, reason = choose(wanted or workplace.setting("datalad.hpc.scheduler"))
    _say(reason)
    return name


@cache
def _say(reason: str) -> None:
    """Say why a scheduler was taken: once, also to who schedules a thousand jobs from Python."""
    lgr.info("%s", reason)


def as_tuple(values: Any) -> tuple[str, ...]:
    """One value or many, as DataLad's Python interface takes them."""
    if values is None:
        return ()
    return (str(values),) if isinstance(values, str | int) else tuple(map(str, values))
