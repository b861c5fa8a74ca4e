"""The search for a job of which only the token is known.

The controller's queue knows every live job at once, but forgets ended ones;
accounting forgets nothing, but hears late. Neither alone proves an absence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers import slurm_accounting, slurm_queue
from datalad_hpc.schedulers.sbatch import TOKEN_MARK
from datalad_hpc.schedulers.slurm_rows import Row, submission_of
from datalad_hpc.status import Submission

ACCOUNTING_LAG = timedelta(seconds=60)
"""After this time accounting knows of a submission; it mostly takes one to five seconds."""

SUBMISSION_WINDOW = timedelta(minutes=10)
"""How long after its start a submission may still have reached the controller."""


class Search:
    """One search for the job of a token, and what makes sure that there is none.

    Parameters
    ----------
    ask:
      Runs a query and returns what it printed; raises SchedulerUnreachable.
    token:
      The token of the submission.
    since:
      When the submission started.
    """

    def __init__(self, ask: Callable[[Sequence[str]], str], token: str, since: datetime) -> None:
        self.ask = ask
        self.token = token
        self.since = since
        self.age = datetime.now(timezone.utc) - since
        self.doubts: list[str] = []
        self.rows: list[Row] | None = None
        self.everywhere = False
        self.accounting_answered = False

    def in_queue(self) -> Submission | None:
        """The job in the queues of all clusters, or of this one where others cannot be asked."""
        for clusters in ((slurm_queue.EVERY_CLUSTER,), ()):
            try:
                self.rows = slurm_queue.parse(self.ask(slurm_queue.queue_command(clusters)))
            except SchedulerUnreachable as error:
                self.doubts.append(str(error))
                continue
            self.everywhere = bool(clusters)
            return submission_of(self.token, self.rows)
        return None

    def in_accounting(self) -> Submission | None:
        """The job among those of the user that accounting knows since the submission."""
        command = slurm_accounting.search_command(self.since, os.getuid())
        try:
            rows = slurm_accounting.parse(self.ask(command))
        except SchedulerUnreachable as error:
            self.doubts.append(str(error))
            return None
        self.accounting_answered = True
        return submission_of(self.token, rows)

    def require_certainty(self) -> None:
        """Return only if a job that was not found certainly was never accepted.

        Raises
        ------
        SchedulerUnreachable
          That cannot be told.
        """
        if self.age < -slurm_queue.KEEPING_MARGIN:
            raise SchedulerUnreachable(
                "The clock was moved back since the job was to be submitted, so that it cannot be "
                "told whether Slurm never had it; look for it with squeue or sacct"
            )
        late = self.accounting_answered and self.age > ACCOUNTING_LAG
        if self.rows is not None and (late or self._queue_is_complete(self.rows)):
            return
        raise SchedulerUnreachable(". ".join(dict.fromkeys(self.doubts)))

    def _queue_is_complete(self, rows: Sequence[Row]) -> bool:
        try:
            settings = slurm_queue.parse_settings(self.ask(slurm_queue.settings_command()))
        except SchedulerUnreachable as error:
            self.doubts.append(str(error))
            return False
        if not (self.everywhere or settings.alone):
            self.doubts.append("Accounting does not tell which other clusters there are")
        elif not settings.remembers(self.since):
            self.doubts.append("It may have ended too long ago for Slurm's queue to know it")
        elif stranger := self._disguised(rows):
            self.doubts.append(f"It may be job {stranger}, the comment of which is not ours")
        else:
            return True
        return False

    def _disguised(self, rows: Sequence[Row]) -> str:
        """Id of a row that could be the job, a plugin of the site having replaced its comment.

        A site that does so does it to every job: none has a mark of ours.
        """
        if any(TOKEN_MARK in row.evidence for row in rows):
            return ""
        earliest, latest = self.since - slurm_queue.KEEPING_MARGIN, self.since + SUBMISSION_WINDOW
        for row in rows:
            if row.evidence and row.submitted and earliest <= row.submitted <= latest:
                return row.job_id
        return ""
