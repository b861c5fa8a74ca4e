"""What the stories ask of the store: each call is one short transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)

from datalad_hpc.job import Claim, ClaimRole, Job, JobState, Unit
from datalad_hpc.status import Submission, TaskStatus
from datalad_hpc.store import asked, ending, rows
from datalad_hpc.store.engine import (
    connected,
    in_plain_words,
    prepare_schema,
    readable,
    reading,
    writing,
)
from datalad_hpc.store.held import is_open, refuse_claimed
from datalad_hpc.store.makers import in_chunks, makers, refuse_other_makers
from datalad_hpc.store.parts import for_each, insert_parts
from datalad_hpc.store.reading import read_jobs
from datalad_hpc.store.tables import claims, jobs, tasks


@contextlib.contextmanager
def open_store(url: str, *, scope: str = "", timeout: float = 60.0) -> Iterator[Store]:
    """Open a store, creating it where there is none.

    Parameters
    ----------
    url:
      SQLAlchemy's URL of the database, or the absolute path of a SQLite file.
    scope:
      Tells the datasets apart that share one store; empty where a dataset has its own.
    timeout:
      Seconds to wait for another process that writes.

    Raises
    ------
    StoreUnusable
      It is locked, damaged, cannot be written or is from a newer version.
    """
    with connected(url, timeout) as connection:
        prepare_schema(connection, url, timeout)
        yield Store(connection, url, scope, timeout)


class Store:
    """Jobs, tasks and claims of one dataset."""

    def __init__(self, connection: Connection, url: str, scope: str, timeout: float) -> None:
        """Take a connection to a store whose schema is in place; see :func:`open_store`."""
        self._connection = connection
        self._url = url
        self._scope = scope
        self._timeout = timeout

    # Scheduling

    def reserve(self, job: Job, *, check: bool = True, read: Sequence[Claim] = ()) -> Job:
        """Claim a new job's paths and remember it, in one transaction.

        Returns
        -------
        Job
          The same with the number of its row.

        Raises
        ------
        OutputsClaimed
          An open job holds one of the paths; nothing was changed.
        InputsClaimed
          An open job that it does not depend on makes what is ``read``; likewise.
        """
        (kept,) = self.reserve_all([job], check=check, reads=[read])
        return kept

    def reserve_all(
        self, new: Sequence[Job], *, check: bool = True, reads: Iterable[Sequence[Claim]] = ()
    ) -> list[Job]:
        """The same for several jobs, of which all are kept or none.

        They may not claim each other's paths either.
        """
        with self._writing() as connection:
            for job, read in zip(new, reads, strict=False):
                refuse_other_makers(connection, self._scope, job, read)
            return [self._reserve(connection, job, check) for job in new]

    def _reserve(self, connection: Connection, job: Job, check: bool) -> Job:
        if check:
            refuse_claimed(connection, self._scope, job.claims)
        row = rows.job_row(job, self._scope)
        inserted = connection.execute(insert(jobs).values(row)).inserted_primary_key
        assert inserted
        key = int(inserted[0])
        _insert_claims(connection, key, job.claims)
        return replace(job, key=key, parts=insert_parts(connection, key, job.request.sweep))

    def claim_more(self, job: Job, more: Sequence[Claim]) -> Job:
        """Claim further outputs for a job that is open.

        Returns
        -------
        Job
          The same with all of its claims.

        Raises
        ------
        OutputsClaimed
          Another open job, or another task of the sweep, holds one of the paths; nothing was
          changed.
        """
        new = [claim for claim in more if claim not in job.claims]
        with self._writing() as connection:
            refuse_claimed(connection, self._scope, new, but=job.unit)
            _insert_claims(connection, job.key, new, job.unit.task)
        return replace(job, claims=(*job.claims, *new))

    def move(self, job: Job, state: JobState, *, note: str = "") -> None:
        """Put a job into another state; ``note`` says why, for later readers."""
        with self._writing() as connection:
            ending.put(connection, [job.key], state, note=note)

    def opened(self, job: Job, submission: Submission, log_claims: Sequence[Claim]) -> None:
        """The scheduler has the job: keep its id, and claim the log files by their true names."""
        with self._writing() as connection:
            ending.put(
                connection,
                [job.key],
                JobState.OPEN,
                job_id=submission.job_id,
                cluster=submission.cluster,
                submitted=(job.submitted or rows.now()).isoformat(),
            )
            of_log = and_(claims.c.job == job.key, claims.c.role == ClaimRole.LOG.value)
            connection.execute(delete(claims).where(of_log))
            _insert_claims(connection, job.key, log_claims)

    # Asking

    def open_jobs(self) -> list[Job]:
        """All jobs that are neither finished nor given up, oldest first."""
        return self._jobs(is_open(self._scope))

    def open_numbers(self) -> dict[str, int]:
        """How many of them each scheduler has."""
        query = select(jobs.c.scheduler, func.count()).where(is_open(self._scope))
        with self._reading() as connection:
            found = connection.execute(query.group_by(jobs.c.scheduler)).all()
        return {row[0]: row[1] for row in found}

    def unsettled_jobs(self) -> list[Job]:
        """Jobs that are being submitted, or were interrupted then, oldest first."""
        states = [JobState.RESERVED.value, JobState.SUBMITTING.value]
        return self._jobs(and_(jobs.c.scope == self._scope, jobs.c.state.in_(states)))

    def state_of(self, job: Job) -> JobState:
        """Where a job stands now."""
        query = select(jobs.c.state).where(jobs.c.key == job.key)
        with self._reading() as connection:
            return JobState(connection.execute(query).scalar_one())

    def makers(self, read: Sequence[Claim], worktree: str) -> list[Job]:
        """The open jobs that make what is read in a worktree, oldest first."""
        with self._reading() as connection:
            found = makers(connection, self._scope, worktree, read)
        return self.jobs_of(found)

    def jobs_of(self, keys: Iterable[int]) -> list[Job]:
        """The jobs of these rows, oldest first."""
        return [job for some in in_chunks(keys) for job in self._jobs(some)]

    def jobs_named(self, names: Sequence[str]) -> list[Job]:
        """All jobs ever kept under these ids or stand-in labels, oldest first."""
        stand_in = literal("submission-").concat(func.substr(jobs.c.token, 1, 8))
        named = or_(
            and_(jobs.c.job_id != "", jobs.c.job_id.in_(names)),
            and_(jobs.c.job_id == "", stand_in.in_(names)),
            *(func.instr(jobs.c.details, rows.id_text(name)) > 0 for name in names),
        )
        return self._jobs(and_(jobs.c.scope == self._scope, named))

    def resources_of(self, commits: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        """What finished jobs were given, by commit, for ids of jobs by commit."""
        with self._reading() as connection, readable(self._url):
            return asked.resources_of(connection, self._scope, commits)

    def _jobs(self, condition: ColumnElement[bool]) -> list[Job]:
        with self._reading() as connection, readable(self._url):
            return read_jobs(connection, condition)

    # Finishing

    def plan_commits(
        self,
        planned: Mapping[Unit, tuple[str, str]],
        ended: Mapping[Unit, Sequence[TaskStatus]],
        left_out: Mapping[Unit, Collection[int]] = MappingProxyType({}),
        facts: Mapping[Unit, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """Remember which commit will be each job's, before its branch is moved.

        Parameters
        ----------
        planned:
          Commit and ref of each job, or part of a sweep.
        ended:
          Its tasks as the scheduler reported them, likewise.
        left_out:
          Indices of the tasks whose outputs the job's commit does not hold, likewise.
        facts:
          What the scheduler said of the whole jobs, likewise; JSON values only.
        """
        with self._writing() as connection:
            ending.plan(connection, planned, ended, left_out, facts)

    def left_out(self, job: Job) -> set[int]:
        """Indices of the tasks whose outputs the job's planned commit does not hold."""
        if job.is_part:
            return set()
        query = select(tasks.c.number).where(tasks.c.job == job.key, tasks.c.commit == "")
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def finished(self, units: Collection[Unit]) -> None:
        """Jobs and parts whose planned commits are made are over, and hold no claims any more.

        A sweep is over with the last of its parts.
        """
        with self._writing() as connection:
            ending.finish(connection, units)

    def closed(self, job: Job, ended: Sequence[TaskStatus], note: str) -> None:
        """A job is over without a commit, and holds no claims any more; of a sweep all open parts.

        Parameters
        ----------
        ended:
          Its tasks as the scheduler reported them; nothing for a sweep, but its task for a part.
        note:
          Why it was given up.
        """
        self.all_closed([(job, ended, note)])

    def all_closed(
        self,
        ends: Sequence[ending.End],
        facts: Mapping[Unit, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """The same for many in one transaction, with ``facts`` as in :meth:`plan_commits`."""
        with self._writing() as connection:
            ending.close(connection, ends, facts)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with in_plain_words(self._url, self._timeout), writing(self._connection) as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with in_plain_words(self._url, self._timeout), reading(self._connection) as connection:
            yield connection


def _insert_claims(
    connection: Connection, key: int, wanted: Iterable[Claim], task: int | None = None
) -> None:
    """Keep claims of a job, or of one task of it, whose claims do not say so themselves."""
    values = [rows.claim_row(key, claim) for claim in wanted]
    for row in values if task is not None else ():
        row["task"] = task
    for_each(connection, insert(claims), values)
