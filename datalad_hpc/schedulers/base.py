"""The interface of a scheduler, and what every scheduler shares.

A scheduler is pairs of pure functions: one builds an argument list, the other
reads the text that the program printed. Only the methods below run anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from datalad_hpc.errors import BadRequest, SchedulerUnreachable, SubmissionRefused
from datalad_hpc.finding import Inspection
from datalad_hpc.outlook import UNKNOWN, Outlook
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.status import JobKey, JobStatus, Submission

ANYBODYS = "*"
"""In the place of a token: any job is meant that has the id."""


@dataclass(frozen=True)
class Handover:
    """One submission, ready to be handed to a scheduler."""

    argv: tuple[str, ...]
    """``sbatch`` and its arguments, placeholders filled in."""
    folder: str
    """Absolute path where the submission command runs."""
    token: str
    """Unique text by which the job is found again when its id was lost."""
    inherit: tuple[int, ...] = ()
    """File descriptors that the submitting program keeps open until it ends."""


@dataclass(frozen=True)
class Answer:
    """What sbatch has to say to who called it, and what that means."""

    code: int
    output: bytes
    errors: bytes
    submission: Submission | None = None
    refused: bool = False
    """Whether it is certain that there is no job."""


@dataclass(frozen=True)
class Estimate:
    """What a scheduler says of a job that it has not got."""

    accepted: bool | None
    """Whether it would take the job; ``None`` where it could not be asked."""
    start: datetime | None
    """When the job would start as things are; ``None`` where that cannot be told."""
    words: str
    """The scheduler's own, as they are."""


@dataclass(frozen=True)
class Cancellation:
    """A job that is to end, or some tasks of it."""

    key: JobKey
    tasks: tuple[int, ...] | None = None
    """Indices of the tasks; ``None`` for the whole job."""


class Scheduler(ABC):
    """A cluster, or this machine."""

    name: str
    """How the user and the store call it."""

    @classmethod
    @abstractmethod
    def configured(cls, setting: Callable[[str], str]) -> Scheduler:
        """Make one from the user's configuration.

        Parameters
        ----------
        setting:
          Gives a configuration item such as ``datalad.hpc.local.slots``, empty
          where it is not set.

        Raises
        ------
        BadRequest
          A value cannot be used.
        """

    def cluster_for(self, options: Mapping[str, str]) -> str:
        """The cluster that a submission with these options goes to, as :meth:`submit` names it."""
        return options.get("clusters", "")

    def is_same_cluster(self, one: str, other: str) -> bool:
        """Whether two names, as :meth:`submit` or :meth:`find` gave them, are of one cluster."""
        return one == other

    @abstractmethod
    def submit(self, handover: Handover) -> Submission:
        """Hand one job over.

        Raises
        ------
        SubmissionRefused
          The scheduler said no, for certain; its words are in the text.
        SubmissionUncertain
          It may have been accepted (no id in the answer, no answer in time).
        """

    def answer(self, handover: Handover, *, parsable: bool) -> Answer:
        """Hand one job over, and answer as sbatch does.

        Parameters
        ----------
        parsable:
          Whether the bare id is wanted.
        """
        try:
            submission = self.submit(handover)
        except SubmissionRefused as error:
            return Answer(1, b"", f"sbatch: error: {error}\n".encode(), refused=True)
        words = submission.job_id if parsable else f"Submitted batch job {submission.job_id}"
        return Answer(0, f"{words}\n".encode(), b"", submission)

    def expect(self, number: int) -> None:  # noqa: B027
        """Hear that soon, and once, the status of so many jobs will be asked for.

        A scheduler may begin with what it does in any case.
        """

    def estimate(self, batch: BatchCommand, folder: str) -> Estimate | None:
        """Whether a job would be taken and when it would start; nothing is submitted.

        Parameters
        ----------
        batch:
          The submission, as :class:`.Handover` would have it. Of its script only the text counts.
        folder:
          Absolute path where the submission command would run; it may not be there yet.

        Returns
        -------
        Estimate or None
          ``None`` from a scheduler that cannot tell.
        """
        return None

    def largest_array(self) -> int | None:
        """How many tasks one array may have; ``None`` where there is no limit.

        Raises
        ------
        SchedulerUnreachable
          It does not answer.
        """
        return None

    def inspection(self) -> Inspection:
        """What it offers here and what is amiss; nothing is submitted, made or changed."""
        return Inspection()

    def version(self) -> str:
        """Its version, empty where it has none of its own.

        Raises
        ------
        SchedulerUnreachable
          It does not tell.
        """
        return ""

    @abstractmethod
    def status(
        self, jobs: Sequence[JobKey], *, facts: bool = False
    ) -> Mapping[str, JobStatus | None]:
        """What became of the jobs, asked in one query (in chunks).

        Parameters
        ----------
        jobs:
          The jobs to ask for, no two of them with the same id.
        facts:
          Whether numbers (memory, times, nodes) are wanted too.

        Returns
        -------
        Mapping
          A status by job id. A job that is absent is not known (yet); of one that has ``None``
          nothing can be said, since a part of the query failed.

        Raises
        ------
        SchedulerUnreachable
          The query failed; it says nothing about any job.
        """

    def cancel(self, wanted: Sequence[Cancellation]) -> Mapping[str, str]:
        """Ask for the end of jobs, and of tasks of arrays, that have not ended.

        The answer does not tell when they end, nor how: :meth:`status` does, a while later. What
        has ended already stays as it is. Slurm goes by the id alone, and ids come around again:
        only what :meth:`status` has just called live is to be named here.

        Parameters
        ----------
        wanted:
          The jobs, several of them in one call.

        Returns
        -------
        Mapping
          For jobs that are refused to us, by id, why: in the scheduler's own words.

        Raises
        ------
        SchedulerUnreachable
          It gave no answer that can be used; some may be cancelled. To ask again does no harm.
        """
        raise SchedulerUnreachable(f"Jobs of {self.name} cannot be cancelled from here")

    def watched(self, jobs: Sequence[JobKey]) -> Mapping[str, JobStatus | None]:
        """The same with facts, and all that can be said of jobs that are not over.

        Of these the reason why they wait is the present one, and they have facts as well.
        """
        return self.status(jobs, facts=True)

    def outlook(self, reason: str) -> Outlook:
        """What it means that a task waits for a reason.

        Parameters
        ----------
        reason:
          As :attr:`.TaskStatus.reason` has it.
        """
        return UNKNOWN

    @abstractmethod
    def find(self, token: str, since: datetime) -> Submission | None:
        """Look for the job that was handed over with a token.

        Parameters
        ----------
        token:
          The token of the handover.
        since:
          When the submission started.

        Returns
        -------
        Submission or None
          The job, or None where it certainly was never accepted.

        Raises
        ------
        SchedulerUnreachable
          It cannot be told.
        """


def number_setting(setting: Callable[[str], str], name: str, default: float) -> float:
    """A configuration item that is a number, or the default where it is not set.

    Raises
    ------
    BadRequest
      It is not a number.
    """
    text = setting(name)
    try:
        return float(text) if text else default
    except ValueError:
        raise BadRequest(f"the setting {name} is {text!r}, which is not a number") from None
