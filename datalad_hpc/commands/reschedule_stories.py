"""What ``datalad reschedule`` was asked for, and which of its stories that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datalad_hpc import rescheduling, retrying
from datalad_hpc.commands.shared import as_tuple, chosen_scheduler, opened, opened_if_there
from datalad_hpc.errors import BadRequest
from datalad_hpc.finish.rounds import Round
from datalad_hpc.finish.rounds import Wishes as FinishWishes
from datalad_hpc.history.choosing import Selection
from datalad_hpc.plans.changing import Changes
from datalad_hpc.plans.resources import read_resources
from datalad_hpc.plans.scaling import read_factors
from datalad_hpc.results import Result
from datalad_hpc.retries.choosing import Wishes
from datalad_hpc.workplace import Workplace


@dataclass(frozen=True)
class Asked:
    """The parameters as they were given."""

    names: Any
    since: str | None
    message: str | None
    with_failed: bool
    failed_tasks: bool
    resources: Any
    scale: Any
    max_attempts: int | None
    assume_ready: str | None
    alternative: str | None
    scheduler: str | None
    jobs: int | None
    auto_finish: bool

    @property
    def words(self) -> list[str]:
        """All words behind ``--scale``, which takes as many as there are."""
        given = as_tuple(self.scale) if isinstance(self.scale, str) else self.scale or ()
        flat = [word for each in given for word in ([each] if isinstance(each, str) else each)]
        return " ".join(flat).split()

    @property
    def named(self) -> tuple[str, ...]:
        """Revisions or ids; also those that stood behind a factor."""
        return (*as_tuple(self.names), *(word for word in self.words if "=" not in word))

    @property
    def changes(self) -> Changes:
        """What is to be different.

        Raises
        ------
        BadRequest
          It cannot be understood.
        """
        factors = read_factors(word for word in self.words if "=" in word)
        return Changes(read_resources(as_tuple(self.resources)), factors)


FOR_RECORDS = {
    "since": "--since",
    "message": "-m",
    "with_failed": "--with-failed-jobs",
    "failed_tasks": "--failed-tasks",
    "alternative": "--alt-dir",
    "scheduler": "--scheduler",
    "auto_finish": "--auto-finish",
}
"""Parameters that say something about records, and how they are called."""


def _is_given(asked: Asked, name: str) -> bool:
    return getattr(asked, name) not in (None, False)


def of_open_jobs(
    workplace: Workplace, asked: Asked, *, report: bool, script: str | None
) -> Iterator[Result]:
    """Submit open jobs again.

    Raises
    ------
    BadRequest
      Something was asked for that belongs to records.
    """
    unsuited = [option for name, option in FOR_RECORDS.items() if _is_given(asked, name)]
    if unsuited or script:
        raise BadRequest(
            f"{(unsuited or ['--script'])[0]} does not go with --failed, which submits open jobs "
            "as they are; leave one of the two out"
        )
    wishes = Wishes(asked.named, asked.changes, asked.max_attempts, asked.assume_ready, asked.jobs)
    with opened(workplace) as (store, named):
        this = Round(workplace, store, named, FinishWishes(wishes.names))
        yield from retrying.report(this, wishes) if report else retrying.retry(this, wishes)


def of_records(
    workplace: Workplace, asked: Asked, *, report: bool, script: str | None
) -> Iterator[Result]:
    """Schedule the jobs of records.

    Raises
    ------
    BadRequest
      Something was asked for that belongs to open jobs.
    """
    selection, changes = _selection(asked), asked.changes
    if script or report:
        with opened_if_there(workplace) as known:
            if script:
                yield from rescheduling.write_script(workplace, known, selection, changes, script)
            else:
                yield from rescheduling.report(workplace, known, selection, changes)
        return
    name = chosen_scheduler(workplace, asked.scheduler)
    with opened(workplace) as (store, named):
        yield from rescheduling.reschedule(workplace, store, named(name), named, selection, changes)


def _selection(asked: Asked) -> Selection:
    if asked.max_attempts is not None:
        raise BadRequest("--max-attempts is about open jobs; give it together with --failed")
    if len(asked.named) > 1:
        raise BadRequest(
            f"{asked.named[1]} is one revision too many; a range begins with --since, and ids of "
            "open jobs belong to --failed"
        )
    return Selection(
        revision=next(iter(asked.named), None),
        since=asked.since,
        message=asked.message,
        with_failed=asked.with_failed,
        failed_tasks=asked.failed_tasks,
        assume_ready=asked.assume_ready,
        alternative=asked.alternative,
        auto_finish=asked.auto_finish,
        jobs=asked.jobs,
    )
