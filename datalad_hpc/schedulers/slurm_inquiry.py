"""What became of jobs: accounting and the queue are asked, in as few queries as can be.

sacct remembers all, and lags; squeue knows at once, and forgets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers import slurm_accounting, slurm_queue
from datalad_hpc.schedulers.slurm_exactness import is_inexact, made_exact
from datalad_hpc.schedulers.slurm_rows import (
    Row,
    certainly_live,
    collect,
    is_doubtful,
    joined,
    missing_tasks,
    stubs_of,
    with_usage,
    without_trace,
)
from datalad_hpc.status import JobKey, JobStatus
from datalad_hpc.wording import some_of

if TYPE_CHECKING:
    from concurrent.futures import Future

lgr = logging.getLogger("datalad.hpc.slurm")

IDS_PER_QUERY = 1000
"""sacct takes longer with each id, and an argument list has an end."""

FEW = 50
"""For so many jobs sacct is not slower than for one. Of more, squeue first tells the live ones."""


class Inquiry:
    """Asks for jobs.

    Parameters
    ----------
    ask:
      Runs a query and returns what it printed; raises SchedulerUnreachable.
    """

    def __init__(self, ask: Callable[[Sequence[str]], str]) -> None:
        self.ask = ask
        self._told_of_accounting = False
        self._told_of: set[str] = set()
        self._early: Future[str] | None = None

    def expect(self, number: int) -> None:
        """Ask squeue while the caller looks up many jobs."""
        if number > FEW:
            from concurrent.futures import ThreadPoolExecutor

            background = ThreadPoolExecutor(1)
            self._early = background.submit(self.ask, slurm_queue.live_command())
            background.shutdown(wait=False)

    def statuses(self, keys: Sequence[JobKey], facts: bool) -> Mapping[str, JobStatus | None]:
        """Ask sacct, and squeue for what sacct does not know.

        Of many jobs squeue is asked first: sacct need not be asked for those that are live. At
        most two squeue are run, and one sacct per 1000 jobs that are not.
        """
        live = self._live(keys) if len(keys) > FEW else {}
        others = [key for key in keys if key.job_id not in live]
        return {**live, **self._told(others, facts)} if others else live

    def watched(self, keys: Sequence[JobKey]) -> Mapping[str, JobStatus | None]:
        """The same with facts, and with what the queue has to say of all that is live.

        One squeue is run, and one sacct per 1000 jobs that are not.
        """
        try:
            answer = self.ask(slurm_queue.watch_command(_clusters_to_ask(keys)))
            queue = slurm_queue.parse_watched(answer, {key.job_id for key in keys})
        except SchedulerUnreachable as error:
            _tell_no_queue(error)
            return self._told(keys, facts=True)
        rows = [row for row in queue if row.task.state != slurm_queue.ENDING]
        live = certainly_live(keys, rows)
        others = [key for key in keys if key.job_id not in live]
        told = self._told(others, facts=True, queue=queue) if others else {}
        partly = {name: joined(told.get(name), now) for name, now in collect(others, rows).items()}
        return {**live, **told, **partly}

    def _live(self, keys: Sequence[JobKey]) -> Mapping[str, JobStatus | None]:
        """The jobs that the queue knows to be live; none where it gives no answer."""
        try:
            answer = self._queue(_clusters_to_ask(keys))
            rows = slurm_queue.parse_live(answer, {key.job_id for key in keys})
        except SchedulerUnreachable as error:
            _tell_no_queue(error)
            return {}
        return certainly_live(keys, rows)

    def _queue(self, clusters: set[str]) -> str:
        """What squeue says of live jobs, or has said already."""
        early, self._early = self._early, None
        if early and not clusters:
            return early.result()
        return self.ask(slurm_queue.live_command(clusters))

    def _told(
        self, keys: Sequence[JobKey], facts: bool, queue: Sequence[Row] | None = None
    ) -> Mapping[str, JobStatus | None]:
        """What accounting, and the queue where that leaves doubts, tell of jobs.

        ``queue`` is what the queue has told already, if it was asked.
        """
        try:
            rows = self._accounting_of(keys, facts)
        except SchedulerUnreachable as error:
            return self._status_without_accounting(keys, error, queue)
        statuses = collect(keys, rows)
        doubtful = [key for key in keys if is_doubtful(key, statuses.get(key.job_id))]
        inexact = [key for key in keys if is_inexact(statuses.get(key.job_id))]
        if not (doubtful or inexact):
            return statuses
        return self._settled(doubtful, inexact, statuses, rows, queue)

    def _accounting_of(self, keys: Sequence[JobKey], facts: bool) -> list[Row]:
        rows: list[Row] = []
        for chunk, clusters in _chunks(keys):
            command = slurm_accounting.status_command(
                [key.job_id for key in chunk],
                min(key.submitted for key in chunk),
                clusters=clusters,
                facts=facts,
            )
            rows += slurm_accounting.parse(self.ask(command))
        return rows

    def _status_without_accounting(
        self, keys: Sequence[JobKey], why: SchedulerUnreachable, queue: Sequence[Row] | None
    ) -> dict[str, JobStatus | None]:
        # Other clusters are found through accounting: only this one can be asked.
        try:
            rows = self._all_queued(()) if queue is None else queue
        except SchedulerUnreachable as error:
            raise SchedulerUnreachable(
                f"Slurm gave no answer, so its jobs were left as they are; try again later. {why}. "
                f"{error}"
            ) from error
        if not self._told_of_accounting:
            self._told_of_accounting = True
            lgr.info("Slurm's accounting gave no answer, its queue is read instead: %s", why)
        found = collect(keys, rows)
        silent = [key for key in keys if key.job_id not in found]
        if not silent or self._is_all_there_is():
            return {**found}
        return {**found, **self._nothing_of(silent, why)}

    def _is_all_there_is(self) -> bool:
        """Whether this cluster's queue is all that could be asked: there is no accounting."""
        settings = self._settings()
        return settings is not None and settings.alone

    def _settled(
        self,
        doubtful: Sequence[JobKey],
        inexact: Sequence[JobKey],
        statuses: Mapping[str, JobStatus | None],
        rows: Sequence[Row],
        queue: Sequence[Row] | None,
    ) -> dict[str, JobStatus | None]:
        """The statuses with squeue's answer on the doubtful and inexact ones worked in.

        Where it gives none, nothing can be said of those that are doubtful.
        """
        settled, stubs = dict(statuses), stubs_of(rows)
        # Asked once for all jobs, and only where a task is missing.
        settings = cache(self._settings)
        told = {key.job_id: statuses.get(key.job_id) for key in doubtful}
        keys = [*doubtful, *inexact]
        try:
            queue = self._all_queued(_clusters_to_ask(keys)) if queue is None else queue
            queued = collect(keys, queue)
        except SchedulerUnreachable as error:
            return {**settled, **(self._nothing_of(doubtful, error) if doubtful else {})}
        for key in inexact:
            settled[key.job_id] = made_exact(settled[key.job_id], queued.get(key.job_id))
        for key in doubtful:
            status = joined(told[key.job_id], queued.get(key.job_id))
            if status is None:
                continue
            if missing_tasks(key, status) and _remembers(settings(), key):
                status = without_trace(key, status)
            settled[key.job_id] = with_usage(status, stubs.get(key.job_id))
        return settled

    def _all_queued(self, clusters: Iterable[str]) -> list[Row]:
        return slurm_queue.parse(self.ask(slurm_queue.queue_command(clusters)))

    def _nothing_of(self, keys: Sequence[JobKey], why: SchedulerUnreachable) -> dict[str, None]:
        """That nothing can be said of some jobs, which is logged once where it is asked often."""
        named = some_of([key.job_id for key in keys])
        if named not in self._told_of:
            self._told_of.add(named)
            lgr.warning("Slurm gave no answer about job %s: %s", named, why)
        return dict.fromkeys(key.job_id for key in keys)

    def _settings(self) -> slurm_queue.Settings | None:
        """What the controller is set to; ``None`` where it gives no answer."""
        try:
            return slurm_queue.parse_settings(self.ask(slurm_queue.settings_command()))
        except SchedulerUnreachable:
            return None


def _remembers(settings: slurm_queue.Settings | None, key: JobKey) -> bool:
    """Whether the queue has all of a job that was ever started; known of this cluster only."""
    return settings is not None and not key.cluster and settings.remembers(key.submitted)


def _tell_no_queue(why: SchedulerUnreachable) -> None:
    lgr.info("Slurm's queue gave no answer, accounting is asked for all jobs: %s", why)


def _chunks(keys: Sequence[JobKey]) -> Iterable[tuple[Sequence[JobKey], set[str]]]:
    """Jobs to ask for at a time, with the clusters to name: none for jobs of this one."""
    here = [key for key in keys if not key.cluster]
    elsewhere = [key for key in keys if key.cluster]
    clusters = {key.cluster for key in elsewhere}
    for group, named in ((here, set()), (elsewhere, clusters)):
        for start in range(0, len(group), IDS_PER_QUERY):
            yield group[start : start + IDS_PER_QUERY], named


def _clusters_to_ask(keys: Sequence[JobKey]) -> set[str]:
    """The clusters for one squeue call about the jobs: none is this cluster."""
    clusters = {key.cluster for key in keys}
    if "" not in clusters:
        return clusters
    return set() if clusters == {""} else {slurm_queue.EVERY_CLUSTER}
