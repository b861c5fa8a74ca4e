"""The local scheduler: the same ``sbatch job.sh`` on a machine without Slurm.

Jobs wait in a spool of files (:mod:`.local_spool`) and are run by a program
of their own (:mod:`.local_dispatcher`) that outlives the shell. Here are its
two doors: submission and questions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import datalad_hpc
from datalad_hpc import process
from datalad_hpc.errors import (
    BadRequest,
    ProcessFailed,
    SchedulerUnreachable,
    SubmissionRefused,
)
from datalad_hpc.finding import Inspection
from datalad_hpc.outlook import UNKNOWN, Outlook
from datalad_hpc.schedulers import local_checks
from datalad_hpc.schedulers.base import ANYBODYS, Cancellation, Handover, Scheduler, number_setting
from datalad_hpc.schedulers.local_dependencies import (
    SINGLETON,
    Condition,
    Dependencies,
    parse_dependencies,
)
from datalad_hpc.schedulers.local_description import describe
from datalad_hpc.schedulers.local_job import LocalJob, Wish
from datalad_hpc.schedulers.local_spool import Spool, default_spool
from datalad_hpc.schedulers.local_status import OUTLOOKS, View, settle
from datalad_hpc.schedulers.local_tasks import exported
from datalad_hpc.schedulers.sbatch import (
    BatchCommand,
    read_batch_command,
)
from datalad_hpc.status import JobKey, JobStatus, Submission

lgr = logging.getLogger("datalad.hpc.local")

HONOURED = {
    *("array", "chdir", "dependency", "error", "export", "input"),
    *("job-name", "open-mode", "output", "parsable", "wrap"),
}
WITHOUT_EFFECT = {"comment", "ignore-pbs", "quiet", "verbose"}
"""Options that are not worth a word."""


class Local(Scheduler):
    """This machine.

    Parameters
    ----------
    spool:
      Folder of the queue: one for each user and machine, on a file system that
      knows locks. Made when the first job is submitted.
    slots:
      How many tasks may run at a time; as many as there are processors by
      default. A dispatcher that is alive keeps the number it started with.
    """

    name = "local"

    def __init__(self, spool: Path, slots: int | None = None) -> None:
        self.spool = Spool(spool)
        self.slots = max(1, slots or os.cpu_count() or 1)

    @classmethod
    def configured(cls, setting: Callable[[str], str]) -> Local:
        """Take spool and slots from ``datalad.hpc.local.spool`` and ``datalad.hpc.local.slots``."""
        spool = setting("datalad.hpc.local.spool")
        slots = number_setting(setting, "datalad.hpc.local.slots", 0)
        return cls(Path(spool) if spool else default_spool(), int(slots) or None)

    def cluster_for(self, options: Mapping[str, str]) -> str:
        """This machine, which has a spool of its own."""
        return socket.gethostname()

    def inspection(self) -> Inspection:
        """See the base class."""
        return local_checks.inspection(self.spool, self.slots)

    def submit(self, handover: Handover) -> Submission:
        """Queue one job, and see to it that a dispatcher runs; see the base class."""
        try:
            command = read_batch_command(handover.argv, handover.folder, os.environ)
            job = describe(command, handover)
            wanted = parse_dependencies(job.dependency)
            environment = exported(command.options.get("export", ""), os.environ)
            job_id = self._queue(job, wanted, command, environment)
        except SubmissionRefused:
            raise
        except BadRequest as error:
            raise SubmissionRefused(str(error)) from error
        except OSError as error:
            raise SubmissionRefused(
                f"the local scheduler could not store the job, which is not submitted: {error}"
            ) from error
        self._note_ignored(job_id, command)
        self._attend(job_id)
        return Submission(str(job_id), self.cluster_for(command.options))

    def status(self, jobs: Sequence[JobKey], *, facts: bool = False) -> Mapping[str, JobStatus]:
        """Read what became of jobs from the spool; see the base class."""
        with _reading(self.spool):
            if not self.spool.queue.is_dir():
                return {}
            with self.spool.lock(), self.spool.dispatching() as right:
                if right is not None and self.spool.queued():
                    # The machine was switched off, or the dispatcher killed.
                    settle(self.spool)
                    self._start_dispatcher(right)
            return self._answer(jobs, facts)

    def cancel(self, wanted: Sequence[Cancellation]) -> Mapping[str, str]:
        """Leave word in the spool, and see to it that a dispatcher heeds it; see the base class."""
        with _reading(self.spool):
            if not self.spool.queue.is_dir():
                return {}
            with self.spool.lock(), self.spool.dispatching() as right:
                if right is not None:
                    # What is gone was not ended by this.
                    settle(self.spool)
                for each in wanted:
                    if job := self._ours(each.key):
                        self.spool.ask_to_end(job.job_id, Wish.of_us(each.tasks))
                if right is not None and self.spool.queued():
                    self._start_dispatcher(right)
        return {}

    def outlook(self, reason: str) -> Outlook:
        """Look the reason up; see the base class."""
        return OUTLOOKS.get(reason, UNKNOWN)

    def find(self, token: str, since: datetime) -> Submission | None:
        """Look for a token in the spool; see the base class."""
        with _reading(self.spool):
            if not self.spool.queue.is_dir():
                return None
            with self.spool.lock():
                for job_id in reversed(self.spool.ids()):
                    job = self.spool.read(job_id)
                    if job and job.token == token:
                        return Submission(str(job_id), socket.gethostname())
        return None

    def _queue(
        self,
        job: LocalJob,
        wanted: Dependencies,
        command: BatchCommand,
        environment: Mapping[str, str],
    ) -> int:
        self.spool.create()
        with self.spool.lock():
            for condition in wanted.conditions:
                self._check_known(condition)
            script = command.text.encode("utf-8", "surrogateescape")
            return self.spool.add(job, script, environment)

    def _check_known(self, condition: Condition) -> None:
        if condition.kind == SINGLETON:
            return
        job = self.spool.read(condition.job_id)
        task = condition.task
        if job is None or (task is not None and task not in job.indices):
            name = condition.job_id if task is None else f"{condition.job_id}_{task}"
            raise SubmissionRefused(
                f"the job is to wait for {name}, which the local scheduler does not know"
            )

    def _note_ignored(self, job_id: int, command: BatchCommand) -> None:
        ignored = sorted(command.options.keys() - HONOURED - WITHOUT_EFFECT)
        # Locally no job waits for ever, and so this is how it always is.
        if command.options.get("kill-on-invalid-dep") == "yes":
            ignored.remove("kill-on-invalid-dep")
        if ignored:
            lgr.info(
                "The local scheduler ignores for job %s: %s",
                job_id,
                " ".join(f"--{name}" for name in ignored),
            )

    def _attend(self, job_id: int) -> None:
        """See to it that a dispatcher runs.

        The job is queued already: should this fail, the next question about
        any job tries again.
        """
        try:
            with self.spool.lock(), self.spool.dispatching() as right:
                if right is not None:
                    self._start_dispatcher(right)
        except OSError as error:
            lgr.warning(
                "Job %s is queued, but what runs it could not be started: %s; "
                "`datalad finish --list-open-jobs` tries again",
                job_id,
                error,
            )

    def _start_dispatcher(self, right: int) -> None:
        source = str(Path(datalad_hpc.__path__[0]).parent)
        paths = [source, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        argv = [sys.executable, "-m", "datalad_hpc.schedulers.local_dispatcher"]
        with open(self.spool.log, "ab") as log:
            try:
                started = process.detach(
                    [*argv, str(self.spool.folder), str(self.slots), str(right)],
                    folder=self.spool.folder,
                    environment=environment,
                    output=log,
                    errors=log,
                    inherit=[right],
                )
            except ProcessFailed as error:
                raise OSError(str(error)) from error
        process.leave(started)

    def _answer(self, keys: Sequence[JobKey], facts: bool) -> dict[str, JobStatus]:
        answer = {}
        view = View(self.spool)
        for key in keys:
            if job := self._ours(key):
                answer[key.job_id] = view.status(job, facts)
        return answer

    def _ours(self, key: JobKey) -> LocalJob | None:
        job = self.spool.read(int(key.job_id)) if key.job_id.isdigit() else None
        return job if job and key.token in (ANYBODYS, job.token) else None


@contextlib.contextmanager
def _reading(spool: Spool) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SchedulerUnreachable(
            f"The queue of the local scheduler in {spool.folder} cannot be read: {error}"
        ) from error
