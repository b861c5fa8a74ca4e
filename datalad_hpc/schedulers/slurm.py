"""Slurm: jobs go to sbatch; sacct, or squeue where that is better, tells what became of them.

Beside this class stand slurm_inquiry (what became of jobs), slurm_search (where
a job is whose id was lost), and the pure functions: slurm_submit (sbatch),
slurm_accounting (sacct), slurm_queue (squeue, scontrol), slurm_cancel (scancel), slurm_rows
(what answers mean together), slurm_states (their words) and slurm_reasons (why jobs wait).
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from datalad_hpc import process
from datalad_hpc.errors import (
    HpcError,
    ProcessFailed,
    ProcessTimedOut,
    SchedulerUnreachable,
    SubmissionRefused,
    SubmissionUncertain,
)
from datalad_hpc.finding import Inspection
from datalad_hpc.outlook import Outlook
from datalad_hpc.schedulers.base import (
    Answer,
    Cancellation,
    Estimate,
    Handover,
    Scheduler,
    number_setting,
)
from datalad_hpc.schedulers.sbatch import BatchCommand, read_batch_command
from datalad_hpc.schedulers.slurm_cancel import cancel_commands, refusals_in
from datalad_hpc.schedulers.slurm_checks import Check
from datalad_hpc.schedulers.slurm_estimate import check_command, check_environment, estimate_of
from datalad_hpc.schedulers.slurm_inquiry import Inquiry
from datalad_hpc.schedulers.slurm_reasons import outlook_of
from datalad_hpc.schedulers.slurm_search import Search
from datalad_hpc.schedulers.slurm_submit import (
    cluster_name_in,
    failure,
    is_certain,
    is_final,
    is_of_sbatch,
    largest_array_in,
    query_environment,
    several_submissions,
    submission_environment,
    submissions_in,
)
from datalad_hpc.status import JobKey, JobStatus, Submission

lgr = logging.getLogger("datalad.hpc.slurm")


CHECK_PATIENCE = 10.0
"""Seconds for each question of an inspection, for which somebody waits."""

SBATCH_SHARE = 5
"""How many times as long as a query sbatch may take."""

HUNG_FOR = 120.0
"""Seconds for which a program is left alone that gave no answer in time."""


class Slurm(Scheduler):
    """A cluster that Slurm runs.

    Parameters
    ----------
    timeout:
      Seconds that each query may take. sbatch, which tries again by itself
      while the controller is busy, may take :data:`SBATCH_SHARE` times as many.
    """

    name = "slurm"

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self._hung: dict[str, float] = {}
        self._inquiry = Inquiry(self.ask)

    @classmethod
    def configured(cls, setting: Callable[[str], str]) -> Slurm:
        """Take the patience with queries from ``datalad.hpc.scheduler-timeout``, in seconds."""
        return cls(number_setting(setting, "datalad.hpc.scheduler-timeout", 60.0))

    def submit(self, handover: Handover) -> Submission:
        """Run sbatch; see :meth:`.Scheduler.submit`."""
        since = datetime.now(timezone.utc)
        answer = self._run_sbatch(handover)
        told, words = submissions_in(answer.text), answer.complaint or answer.text.strip()
        if is_certain(answer.text, told):
            if answer.code:
                lgr.warning(
                    "sbatch ended with exit code %d, yet gave job id %s, which is trusted: %s",
                    answer.code,
                    told[0].job_id,
                    words,
                )
            return told[0]
        refusal = failure(answer.code, words) if answer.code else None
        if refusal and (isinstance(refusal, SubmissionUncertain) or is_final(words)):
            raise refusal
        return self._looked_for(handover.token, since, told, refusal)

    def answer(self, handover: Handover, *, parsable: bool) -> Answer:
        """What sbatch itself answers; see :meth:`.Scheduler.answer`."""
        said = self._run_sbatch(handover)
        told, words = submissions_in(said.text), said.complaint or said.text.strip()
        certain = is_certain(said.text, told) or (parsable and len(told) == 1 and not said.code)
        refused = not told and said.code > 0 and is_final(words)
        return Answer(said.code, said.output, said.errors, told[0] if certain else None, refused)

    def expect(self, number: int) -> None:
        """Ask squeue while the caller looks up many jobs; see :meth:`.Scheduler.expect`."""
        self._inquiry.expect(number)

    def estimate(self, batch: BatchCommand, folder: str) -> Estimate:
        """Run ``sbatch --test-only``; see :meth:`.Scheduler.estimate`."""
        try:
            ended = process.run(
                check_command(batch),
                folder=folder if os.path.isdir(folder) else "/",
                stdin=batch.text.encode("utf-8", "surrogateescape"),
                environment=check_environment(os.environ),
                timeout=self.timeout,
            )
        except (ProcessFailed, OSError) as error:
            return Estimate(None, None, str(error))
        return estimate_of(ended.code, ended.complaint)

    def inspection(self) -> Inspection:
        """Ask all of Slurm's programs at once; see :meth:`.Scheduler.inspection`."""
        quick = Slurm(min(self.timeout, CHECK_PATIENCE))
        smallest = read_batch_command(("sbatch", "--wrap=true"), "/", {})
        return Check(quick.ask, lambda: quick.estimate(smallest, "/")).inspection()

    def largest_array(self) -> int | None:
        """Ask the controller for its configuration; see :meth:`.Scheduler.largest_array`."""
        return largest_array_in(self.ask(["scontrol", "show", "config"]))

    def is_same_cluster(self, one: str, other: str) -> bool:
        """Compare names; an empty one is this cluster, which is asked for its name if need be."""
        if one == other or (one and other):
            return one == other
        with contextlib.suppress(SchedulerUnreachable):
            return (one or other) == cluster_name_in(self.ask(["scontrol", "show", "config"]))
        return False

    def version(self) -> str:
        """Ask sinfo, which need not ask the controller; Debian's calls itself slurm-wlm."""
        return next(reversed(self.ask(["sinfo", "--version"]).split()), "")

    def status(
        self, jobs: Sequence[JobKey], *, facts: bool = False
    ) -> Mapping[str, JobStatus | None]:
        """Ask sacct, and squeue for what sacct does not know; see :meth:`.Scheduler.status`."""
        return self._inquiry.statuses(jobs, facts)

    def cancel(self, wanted: Sequence[Cancellation]) -> Mapping[str, str]:
        """Run scancel, once per cluster and chunk; see :meth:`.Scheduler.cancel`."""
        refused: dict[str, str] = {}
        for command in cancel_commands(wanted):
            ended = self._run(command)
            refused |= refusals_in(ended.code, ended.complaint)
        return refused

    def watched(self, jobs: Sequence[JobKey]) -> Mapping[str, JobStatus | None]:
        """Ask squeue, and sacct for all that is not live; see :meth:`.Scheduler.watched`."""
        return self._inquiry.watched(jobs)

    def outlook(self, reason: str) -> Outlook:
        """Look the reason up; see :meth:`.Scheduler.outlook`."""
        return outlook_of(reason)

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
        ended = self._run(argv)
        text = ended.output.decode(errors="replace")
        if ended.code:
            words = ended.complaint or text.strip() or "without a word"
            raise SchedulerUnreachable(f"{argv[0]} failed (exit code {ended.code}): {words}")
        return text

    def _run(self, argv: Sequence[str]) -> process.Ended:
        if time.monotonic() - self._hung.get(argv[0], -math.inf) < HUNG_FOR:
            raise SchedulerUnreachable(f"{argv[0]} did not answer a moment ago")
        environment = query_environment(os.environ)
        try:
            # The root folder is there whatever became of ours.
            return process.run(argv, folder="/", environment=environment, timeout=self.timeout)
        except (ProcessFailed, OSError) as error:
            if isinstance(error, ProcessTimedOut):
                # Each of many jobs would wait as long again.
                self._hung[argv[0]] = time.monotonic()
            raise SchedulerUnreachable(str(error)) from error

    def _run_sbatch(self, handover: Handover) -> process.Ended:
        try:
            return process.run(
                handover.argv,
                folder=handover.folder,
                environment=submission_environment(os.environ),
                timeout=SBATCH_SHARE * self.timeout,
                inherit=handover.inherit,
            )
        except ProcessTimedOut as error:
            raise SubmissionUncertain(f"{error}; Slurm may nevertheless have the job") from error
        except (ProcessFailed, OSError) as error:
            raise SubmissionRefused(f"sbatch could not be started: {error}") from error

    def _looked_for(
        self, token: str, since: datetime, told: tuple[Submission, ...], refusal: HpcError | None
    ) -> Submission:
        """The job of an sbatch whose answer leaves a doubt: its token tells whether Slurm has it.

        Without an id it may have succeeded (``--quiet``), or have failed after it had submitted.
        """
        doubt = "Slurm has no such job (yet)"
        certain = True
        try:
            if found := self.find(token, since):
                return found
        except SchedulerUnreachable as error:
            doubt, certain = str(error), False
        if len(told) > 1:
            raise several_submissions(told)
        if refusal and (certain or is_of_sbatch(str(refusal))):
            raise refusal
        if told and not refusal:
            return told[0]
        raise SubmissionUncertain(
            "Slurm may nevertheless have the job: "
            f"{refusal or 'sbatch succeeded, but named no job id'}; {doubt}"
        )
