"""What the stories ask of the store: each call is one short transaction."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from datalad_hpc.claims import ClaimedPaths, shown
from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import (
    OPEN_STATES,
    Claim,
    ClaimRole,
    Job,
    JobState,
    Submission,
    TaskStatus,
)
from datalad_hpc.store import rows
from datalad_hpc.store.engine import in_plain_words, prepare_schema, reading, start_engine
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
    engine = start_engine(url, timeout)
    try:
        prepare_schema(engine, url, timeout)
        yield Store(engine, url, scope, timeout)
    finally:
        engine.dispose()


class Store:
    """Jobs, tasks and claims of one dataset."""

    def __init__(self, engine: Engine, url: str, scope: str, timeout: float) -> None:
        """Take an engine whose schema is in place; see :func:`open_store`."""
        self._engine = engine
        self._url = url
        self._scope = scope
        self._timeout = timeout

    # Scheduling

    def reserve(self, job: Job, *, check: bool = True) -> Job:
        """Claim a new job's paths and remember it, in one transaction.

        Returns
        -------
        Job
          The same with the number of its row.

        Raises
        ------
        OutputsClaimed
          An open job holds one of the paths; nothing was changed.
        """
        with self._writing() as connection:
            if check:
                self._refuse_claimed(connection, job.claims)
            row = rows.job_row(job, self._scope)
            inserted = connection.execute(insert(jobs).values(row)).inserted_primary_key
            assert inserted
            key = int(inserted[0])
            _insert_claims(connection, key, job.claims)
        return replace(job, key=key)

    def _refuse_claimed(
        self, connection: Connection, wanted: Iterable[Claim], *, but: int = 0
    ) -> None:
        held = ClaimedPaths(
            (rows.claim_of(dict(row)), row["job_id"] or f"submission-{row['token'][:8]}")
            for row in connection.execute(self._open_claims()).mappings()
            if row["job"] != but
        )
        conflicts = [(claim, held.holder(claim)) for claim in wanted]
        texts = [f"{shown(claim)} (job {holder})" for claim, holder in conflicts if holder]
        if texts:
            raise OutputsClaimed(
                f"Open jobs hold these outputs: {', '.join(texts)}. Nothing was submitted; "
                "finish or close those jobs first (`datalad finish`), or choose other outputs."
            )

    def _open_claims(self) -> Select[Any]:
        return (
            select(claims, jobs.c.job_id, jobs.c.token)
            .join(jobs, jobs.c.key == claims.c.job)
            .where(self._is_open())
        )

    def claim_more(self, job: Job, more: Sequence[Claim]) -> Job:
        """Claim further outputs for a job that is open.

        Returns
        -------
        Job
          The same with all of its claims.

        Raises
        ------
        OutputsClaimed
          Another open job holds one of the paths; nothing was changed.
        """
        new = [claim for claim in more if claim not in job.claims]
        with self._writing() as connection:
            self._refuse_claimed(connection, new, but=job.key)
            _insert_claims(connection, job.key, new)
        return replace(job, claims=(*job.claims, *new))

    def move(self, job: Job, state: JobState, *, note: str = "") -> None:
        """Put a job into another state; ``note`` says why, for later readers."""
        with self._writing() as connection:
            _set(connection, job.key, state=state.value, note=note)

    def opened(self, job: Job, submission: Submission, log_claims: Sequence[Claim]) -> None:
        """The scheduler has the job: keep its id, and claim the log files by their true names."""
        with self._writing() as connection:
            _set(
                connection,
                job.key,
                state=JobState.OPEN.value,
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
        return self._jobs(self._is_open())

    def unsettled_jobs(self) -> list[Job]:
        """Jobs that are being submitted, or were interrupted then, oldest first."""
        states = [JobState.RESERVED.value, JobState.SUBMITTING.value]
        return self._jobs(and_(jobs.c.scope == self._scope, jobs.c.state.in_(states)))

    def jobs_named(self, names: Sequence[str]) -> list[Job]:
        """All jobs ever kept under these ids or stand-in labels, oldest first."""
        stand_in = literal("submission-").concat(func.substr(jobs.c.token, 1, 8))
        named = or_(
            and_(jobs.c.job_id != "", jobs.c.job_id.in_(names)),
            and_(jobs.c.job_id == "", stand_in.in_(names)),
        )
        return self._jobs(and_(jobs.c.scope == self._scope, named))

    def _is_open(self) -> Any:
        states = [state.value for state in OPEN_STATES]
        return and_(jobs.c.scope == self._scope, jobs.c.state.in_(states))

    def _jobs(self, condition: Any) -> list[Job]:
        query = select(jobs).where(condition).order_by(jobs.c.key)
        of_job: dict[int, list[Claim]] = defaultdict(list)
        claimed = select(claims).join(jobs, jobs.c.key == claims.c.job).where(condition)
        with self._reading() as connection:
            found = list(connection.execute(query).mappings())
            for row in connection.execute(claimed.order_by(claims.c.key)).mappings():
                of_job[row["job"]].append(rows.claim_of(dict(row)))
        return [rows.job_of(dict(row), of_job[row["key"]]) for row in found]

    # Finishing

    def plan_commits(
        self,
        planned: Mapping[int, tuple[str, str]],
        ended: Mapping[int, Sequence[TaskStatus]],
    ) -> None:
        """Remember which commit will be each job's, before its branch is moved.

        Parameters
        ----------
        planned:
          Commit and ref by number of the job's row.
        ended:
          The job's tasks as the scheduler reported them, likewise.
        """
        with self._writing() as connection:
            for key, (commit, ref) in planned.items():
                _set(connection, key, commit=commit, ref=ref)
                _insert_tasks(connection, key, ended[key], commit)

    def finished(self, keys: Iterable[int]) -> None:
        """Jobs whose planned commits are made are over, and hold no claims any more."""
        with self._writing() as connection:
            for key in keys:
                _set(connection, key, state=JobState.FINISHED.value)

    def closed(self, job: Job, ended: Sequence[TaskStatus], note: str) -> None:
        """A job is over without a commit, and holds no claims any more."""
        with self._writing() as connection:
            _set(connection, job.key, state=JobState.CLOSED.value, note=note)
            _insert_tasks(connection, job.key, ended, "")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with in_plain_words(self._url, self._timeout), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with in_plain_words(self._url, self._timeout), reading(self._engine) as connection:
            yield connection


def _set(connection: Connection, key: int, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.key == key).values(**values))


def _insert_claims(connection: Connection, key: int, wanted: Iterable[Claim]) -> None:
    values = [rows.claim_row(key, claim) for claim in wanted]
    if values:
        connection.execute(insert(claims), values)


def _insert_tasks(
    connection: Connection, key: int, ended: Iterable[TaskStatus], commit: str
) -> None:
    connection.execute(delete(tasks).where(tasks.c.job == key))
    values = [rows.task_row(key, task, commit) for task in ended]
    if values:
        connection.execute(insert(tasks), values)
