"""Ids of jobs for the shell's completion: read from the job store, no scheduler is asked.

DataLad has its command line completed by argcomplete, which asks an argument's ``completer``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datalad_hpc.job import Job
    from datalad_hpc.workplace import Workplace

NEWEST = 500
"""How many jobs are offered beside the open ones where those that are over are meant too."""


class OpenJobIds(argparse.Action):
    """Takes ids of open jobs, for ``action=`` of a Parameter."""

    with_history = False
    """Whether jobs that are over are offered too, and tasks of every array."""
    only_with = ""
    """An option without which something else than ids is meant."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store what was typed, as an argument without an action does."""
        setattr(namespace, self.dest, values)

    @classmethod
    def completer(cls, prefix: str, parsed_args: argparse.Namespace, **_more: Any) -> list[str]:
        """The ids that begin like this; none where anything is amiss."""
        from datalad.support.exceptions import NoDatasetFound

        from datalad_hpc.errors import HpcError

        if cls.only_with and not getattr(parsed_args, cls.only_with, None):
            return []
        try:
            return job_ids(_workplace(parsed_args), prefix, with_history=cls.with_history)
        except (HpcError, NoDatasetFound, OSError, ValueError):
            return []


class AllJobIds(OpenJobIds):
    """The same for commands that know the history too."""

    with_history = True


class FailedJobIds(OpenJobIds):
    """The same where the option ``--failed`` makes them ids of open jobs."""

    only_with = "failed"


class FurtherJobIds(OpenJobIds):
    """The same for an option that can be given more than once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add to what was typed before, as the action "append" does."""
        before = getattr(namespace, self.dest, None) or ()
        setattr(namespace, self.dest, [*before, values])


def _workplace(parsed_args: argparse.Namespace) -> Workplace:
    """The dataset of the line that is typed, which may name it, and a folder to work in."""
    from datalad.distribution.dataset import get_dataset_root

    from datalad_hpc.workplace import Workplace

    folder = os.path.join(os.getcwd(), *(getattr(parsed_args, "change_path", None) or ()))
    given = getattr(parsed_args, "dataset", None)
    path = os.path.join(folder, getattr(given, "path", given)) if given else folder
    return Workplace.of(path if given else get_dataset_root(path), "complete ids of jobs")


def job_ids(workplace: Workplace, prefix: str, *, with_history: bool) -> list[str]:
    """Ids of a dataset's jobs that begin with a prefix, in the order of their submission.

    Tasks (``123_4``) are offered once their job's id is typed.
    """
    from datalad_hpc.store.peeking import newest_jobs, peeked

    with peeked(workplace.store_url, workplace.store_scope) as store:
        if store is None:
            return []
        jobs = {job.key: job for job in store.open_jobs()}
        if with_history:
            jobs |= {job.key: job for job in newest_jobs(store, NEWEST)}
    names = _names([jobs[key] for key in sorted(jobs)], prefix, with_history)
    return [name for name in dict.fromkeys(names) if name.startswith(prefix)]


def _names(jobs: Iterable[Job], prefix: str, with_history: bool) -> Iterator[str]:
    from datalad_hpc.members import all_names

    for job in jobs:
        yield from sorted(all_names(job))
        if prefix.startswith(f"{job.label}_"):
            parts = job.parts if with_history else job.open_parts
            tasks = [part.index for part in parts] or (job.tasks or ()) * with_history
            yield from (f"{job.label}_{task}" for task in tasks)
