"""Slurm: jobs go to sbatch; sacct, or squeue where that is better, tells what became of them.

Beside this class stand slurm_inquiry (what became of jobs), slurm_search (where
a job is whose id was lost), and the pure functions: slurm_submit (sbatch),
slurm_accounting (sacct), slurm_queue (squeue, scontrol), slurm_rows (what
their answers mean together) and slurm_states (Slurm's words).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from datalad_hpc import process
from datalad_hpc.errors import (
    ProcessFailed,
    ProcessTimedOut,
    SchedulerUnreachable,
    SubmissionRefused,
    SubmissionUncertain,
)
from datalad_hpc.job import JobKey, JobStatus, Submission
from datalad_hpc.schedulers.base import Handover, Scheduler, number_setting
from datalad_hpc.schedulers.slurm_inquiry import Inquiry
from datalad_hpc.schedulers.slurm_search import Search
from datalad_hpc.schedulers.slurm_submit import (
    failure,
    query_environment,
    several_submissions,
    submission_environment,
    submissions_in,
)

lgr = logging.getLogger("datalad.hpc.slurm")


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
        self._inquiry = Inquiry(self.ask)

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
        self._inquiry.expect(number)

    def status(
        self, jobs: Sequence[JobKey], *, facts: bool = False
    ) -> Mapping[str, JobStatus | None]:
        """Ask sacct, and squeue for what sacct does not know; see :meth:`.Scheduler.status`."""
        return self._inquiry.statuses(jobs, facts)

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
