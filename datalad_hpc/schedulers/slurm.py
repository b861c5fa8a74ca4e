"""Slurm: jobs go to sbatch; sacct, or squeue where that is better, tells what became of them.

Beside this class stand the pure functions: slurm_submit (sbatch),
slurm_accounting (sacct), slurm_queue (squeue, scontrol), slurm_rows (what
their answers mean together) and slurm_states (Slurm's words).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from datalad_hpc import process
from datalad_hpc.errors import (
    ProcessFailed,
    ProcessTimedOut,
    SchedulerUnreachable,
    SubmissionRefused,
    SubmissionUncertain,
)
from datalad_hpc.job import JobKey, JobStatus, Submission
from datalad_hpc.schedulers import slurm_accounting, slurm_queue
from datalad_hpc.schedulers.base import Handover, Scheduler, number_setting
from datalad_hpc.schedulers.slurm_rows import (
    Row,
    certainly_live,
    collect,
    is_doubtful,
    joined,
    stubs_of,
    unambiguous,
    with_usage,
)
from datalad_hpc.schedulers.slurm_search import Search
from datalad_hpc.schedulers.slurm_submit import (
    failure,
    query_environment,
    several_submissions,
    submission_environment,
    submissions_in,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

lgr = logging.getLogger("datalad.hpc.slurm")

IDS_PER_QUERY = 1000
"""sacct takes longer with each id, and an argument list has an end."""

SHOWN = 5
"""Ids that are named in the log, of any number."""

FEW = 50
"""For so many jobs sacct is not slower than for one. Of more, squeue first tells the live ones."""


class Slurm(Scheduler):
    """A cluster that Slurm runs.

    Parameters
    ----------
    timeout:
      Seconds that each query may take.
    submit_timeout:
      Seconds that sbatch may take; it tries again by itself while the
      controller is busy.
    """

    name = "slurm"

    def __init__(self, timeout: float = 60.0, submit_timeout: float = 300.0) -> None:
        self.timeout = timeout
        self.submit_timeout = submit_timeout
        self._told_of_accounting = False
        self._early: Future[str] | None = None

    @classmethod
    def configured(cls, setting: Callable[[str], str]) -> Slurm:
        """Take the patience with queries from ``datalad.hpc.scheduler-timeout``, in seconds."""
        return cls(number_setting(setting, "datalad.hpc.scheduler-timeout", 60.0))

    def submit(self, handover: Handover) -> Submission:
        """Run sbatch; see :meth:`.Scheduler.submit`."""
        since = datetime.now(timezone.utc)
        answer = self._run_sbatch(handover)
        submissions = submissions_in(answer.text)
        if len(submissions) > 1:
            raise several_submissions(submissions)
        if submissions:
            if answer.code:
                lgr.warning(
                    "sbatch ended with exit code %d, yet gave job id %s, which is trusted: %s",
                    answer.code,
                    submissions[0].job_id,
                    answer.complaint,
                )
            return submissions[0]
        if answer.code:
            raise failure(answer.code, answer.complaint or answer.text.strip())
        return self._submitted_silently(handover.token, since)

    def expect(self, number: int) -> None:
        """Ask squeue while the caller looks up many jobs; see :meth:`.Scheduler.expect`."""
        if number > FEW:
            from concurrent.futures import ThreadPoolExecutor

            background = ThreadPoolExecutor(1)
            self._early = background.submit(self.ask, slurm_queue.live_command())
            background.shutdown(wait=False)

    def status(self, jobs: Sequence[JobKey], *, facts: bool = False) -> Mapping[str, JobStatus]:
        """Ask sacct, and squeue for what sacct does not know; see :meth:`.Scheduler.status`.

        Of many jobs squeue is asked first: sacct need not be asked for those that are live. At
        most two squeue are run, and one sacct per 1000 jobs that are not.
        """
        keys, shared = unambiguous(jobs)
        if shared:
            lgr.warning("Several open jobs have the same id and are left out: %s", shared)
        live = self._live(keys) if len(keys) > FEW else {}
        others = [key for key in keys if key.job_id not in live]
        return {**live, **self._told(others, facts)} if others else live

    def find(self, token: str, since: datetime) -> Submission | None:
        """Look through squeue, then sacct; see :meth:`.Scheduler.find`."""
        search = Search(self.ask, token, since)
        found = search.in_queue() or search.in_accounting()
        if found is None:
            search.require_certainty()
        return found

    def ask(self, argv: Sequence[str]) -> str:
        """Standard output of a query.

        Raises
        ------
        SchedulerUnreachable
          It failed, took too long or is not installed; its own words are in the text.
        """
        environment = query_environment(os.environ)
        try:
            # The root folder is there whatever became of ours.
            ended = process.run(argv, folder="/", environment=environment, timeout=self.timeout)
        except (ProcessFailed, OSError) as error:
            raise SchedulerUnreachable(str(error)) from error
        text = ended.output.decode(errors="replace")
        if ended.code:
            words = ended.complaint or text.strip() or "without a word"
            raise SchedulerUnreachable(f"{argv[0]} failed (exit code {ended.code}): {words}")
        return text

    def _run_sbatch(self, handover: Handover) -> process.Ended:
        try:
            return process.run(
                handover.argv,
                folder=handover.folder,
                environment=submission_environment(os.environ),
                timeout=self.submit_timeout,
                inherit=handover.inherit,
            )
        except ProcessTimedOut as error:
            raise SubmissionUncertain(
                f"{error}; Slurm may have the job, so its outputs stay reserved until that is known"
            ) from error
        except (ProcessFailed, OSError) as error:
            raise SubmissionRefused(f"sbatch could not be started: {error}") from error

    def _submitted_silently(self, token: str, since: datetime) -> Submission:
        """The job of an sbatch that succeeded without naming an id (``--quiet`` does that)."""
        try:
            found = self.find(token, since)
        except SchedulerUnreachable as error:
            raise SubmissionUncertain(
                f"sbatch named no job id, and the job could not be looked for: {error}"
            ) from error
        if found is None:
            raise SubmissionUncertain(
                "sbatch succeeded, but named no job id, and Slurm has no such job (yet); the "
                "outputs stay reserved until that is known"
            )
        return found

    def _live(self, keys: Sequence[JobKey]) -> Mapping[str, JobStatus]:
        """The jobs that the queue knows to be live; none where it gives no answer."""
        try:
            answer = self._queue(_clusters_to_ask(keys))
            rows = slurm_queue.parse_live(answer, {key.job_id for key in keys})
        except SchedulerUnreachable as error:
            lgr.info("Slurm's queue gave no answer, accounting is asked for all jobs: %s", error)
            return {}
        return certainly_live(keys, rows)

    def _queue(self, clusters: set[str]) -> str:
        """What squeue says of live jobs, or has said already."""
        early, self._early = self._early, None
        if early and not clusters:
            return early.result()
        return self.ask(slurm_queue.live_command(clusters))

    def _told(self, keys: Sequence[JobKey], facts: bool) -> Mapping[str, JobStatus]:
        """What accounting, and the queue where that leaves doubts, tell of jobs."""
        try:
            rows = self._accounting_of(keys, facts)
        except SchedulerUnreachable as error:
            return self._status_without_accounting(keys, error)
        statuses = collect(keys, rows)
        doubtful = [key for key in keys if is_doubtful(key, statuses.get(key.job_id))]
        return self._settled(doubtful, statuses, rows) if doubtful else statuses

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
        self, keys: Sequence[JobKey], why: SchedulerUnreachable
    ) -> dict[str, JobStatus]:
        # Other clusters are found through accounting: only this one can be asked.
        try:
            rows = slurm_queue.parse(self.ask(slurm_queue.queue_command()))
        except SchedulerUnreachable as error:
            raise SchedulerUnreachable(
                f"Slurm gave no answer, so nothing was changed; try again later. {why}. {error}"
            ) from error
        if not self._told_of_accounting:
            self._told_of_accounting = True
            lgr.info("Slurm's accounting gave no answer, its queue is read instead: %s", why)
        return collect(keys, rows)

    def _settled(
        self,
        doubtful: Sequence[JobKey],
        statuses: Mapping[str, JobStatus],
        rows: Sequence[Row],
    ) -> dict[str, JobStatus]:
        """The statuses with squeue's answer on the doubtful jobs worked in.

        Where it gives none, nothing is said of them.
        """
        settled, stubs = dict(statuses), stubs_of(rows)
        told = {key.job_id: settled.pop(key.job_id, None) for key in doubtful}
        try:
            command = slurm_queue.queue_command(_clusters_to_ask(doubtful))
            queued = collect(doubtful, slurm_queue.parse(self.ask(command)))
        except SchedulerUnreachable as error:
            some = ", ".join(list(told)[:SHOWN])
            lgr.info("Nothing can be said of %d jobs for now (%s ...): %s", len(told), some, error)
            return settled
        for key in doubtful:
            status = joined(key, told[key.job_id], queued.get(key.job_id))
            if status is not None:
                settled[key.job_id] = with_usage(status, stubs.get(key.job_id))
        return settled


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
