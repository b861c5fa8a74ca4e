"""Values that every room may use: jobs, their parts and claims.

Paths of claims and folders are POSIX strings relative to the dataset's root,
times are timezone-aware UTC, durations are seconds and sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from datalad_hpc.attempt import Attempt
from datalad_hpc.member import Member
from datalad_hpc.status import JobKey


class ClaimKind(str, Enum):
    """What a claimed path stands for."""

    FILE = "file"
    FOLDER = "folder"
    GLOB = "glob"


class ClaimRole(str, Enum):
    """Why a path is claimed: the user declared it, or the scheduler writes its log there."""

    OUTPUT = "output"
    LOG = "log"


@dataclass(frozen=True)
class Claim:
    """A path below the dataset's root that an open job has reserved."""

    path: str
    kind: ClaimKind
    role: ClaimRole = ClaimRole.OUTPUT
    task: int | None = None
    """Index of the array's task that writes it; ``None`` for the whole job."""


class JobState(str, Enum):
    """Where a job stands in the store; the scheduler's own states are words of its own."""

    RESERVED = "reserved"
    """The outputs are claimed, nothing was handed to the scheduler yet."""
    SUBMITTING = "submitting"
    """The scheduler is being asked; it may have accepted the job."""
    OPEN = "open"
    """The scheduler has the job."""
    FINISHED = "finished"
    """The job's outputs are committed."""
    CLOSED = "closed"
    """The job was given up without a commit."""
    REFUSED = "refused"
    """The scheduler never accepted the job."""

    @property
    def holds_claims(self) -> bool:
        """Whether the claims of a job in this state still keep others away."""
        return self in OPEN_STATES


OPEN_STATES = (JobState.RESERVED, JobState.SUBMITTING, JobState.OPEN)


@dataclass(frozen=True)
class Request:
    """What a user wants to have run, checked and normalised.

    ``inputs`` are as the user gave them, relative to ``folder``; ``outputs``
    are relative to the dataset's root, a trailing slash marking a folder.
    ``task_outputs`` are likewise, each a template (:mod:`.templates`) for what
    every task of an array writes for itself.
    """

    command: str
    folder: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    extra_inputs: tuple[str, ...] = ()
    message: str = ""
    expand: str | None = None
    assume_ready: str | None = None
    check_outputs: bool = True
    alternative: str | None = None
    """Absolute path of the alternative directory, if the job runs there."""
    chain: tuple[str, ...] = ()
    jobs: int | None = None
    task_outputs: tuple[str, ...] = ()
    only_tasks: tuple[int, ...] = ()
    """Tasks of the array that are to run, if not all; the plan has them in its command."""
    submits: bool = False
    """Whether the command is a site's own submission program, which names the jobs it made."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Options for sbatch by long name, from shorthand and templates; flags have an empty value."""
    container: str = ""
    """Name of the container (datalad-container) that the command, already wrapped, runs in."""
    after: tuple[str, ...] = ()
    """Ids of jobs that it is to wait for, besides those that make its inputs."""
    sweep: tuple[Mapping[str, str], ...] = ()
    """Values of each task of a sweep by placeholder; tasks count from 0. Command, inputs and
    message have the placeholders in them, and so have the templates of outputs."""
    max_concurrent: int | None = None
    """How many tasks of a sweep may run at a time."""
    auto_finish: bool = False
    """Whether a job of the scheduler's runs ``finish`` when this one is over."""

    @property
    def declared(self) -> tuple[str, ...]:
        """All outputs as they are shown to the user."""
        return (*self.outputs, *self.task_outputs)


class Unit(NamedTuple):
    """What is committed by itself: a job, or one task of a sweep."""

    job: int
    """Number of the job's row."""
    task: int | None = None
    """Index of the sweep's task; ``None`` for a job that is committed as a whole."""


@dataclass(frozen=True)
class Part:
    """One task of a sweep, which is committed by itself."""

    index: int
    state: JobState = JobState.OPEN
    """Open, finished or closed."""
    commit: str = ""
    """As in :class:`Job`."""
    ref: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    """By placeholder, as in :attr:`Request.sweep`."""
    cancelled: bool = False
    """Whether the user asked for its end."""


@dataclass(frozen=True)
class Job:
    """One row of the store, or one task of a sweep as the plain job that it is to its commit.

    Such a part has the key of its sweep, an id of its own (``123_4``), a request in which the
    values stand (and no sweep any more), the claims of its task, and itself as the only one of
    its ``parts``: from there the record takes the index and the values.
    """

    key: int
    """Number of the row; no scheduler knows it."""
    token: str
    state: JobState
    scheduler: str
    cluster: str
    job_id: str
    """The scheduler's id; empty while there is none."""
    created: datetime
    submitted: datetime | None
    request: Request
    script: str
    """Text of the batch script as it was handed over, empty where there was none."""
    submit_line: tuple[str, ...]
    tasks: tuple[int, ...] | None
    head: str
    """Commit that was checked out at submission; empty on an unborn branch."""
    commit: str
    """Planned commit once ``finish`` has written it, the commit when finished."""
    ref: str
    """The ref that the planned commit is meant for."""
    note: str = ""
    claims: tuple[Claim, ...] = ()
    worktree: str = ""
    """Which of the dataset's Git worktrees the job belongs to: its Git folder relative to the
    shared one, empty for the main one."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What the host of the submission was like; JSON values only."""
    depends_on: tuple[int, ...] = ()
    """Rows of the jobs that it waits for."""
    members: tuple[Member, ...] = ()
    """All jobs of a submission program, the first of which gives its id to the whole; empty for
    any other job."""
    parts: tuple[Part, ...] = ()
    """The tasks of a sweep, in order; empty for any other job."""
    batch: str = ""
    """Which line of which batch asked for it; empty for a job that was scheduled alone."""
    cancelled: datetime | None = None
    """When the user asked for its end."""
    attempts: tuple[Attempt, ...] = ()
    """Its earlier submissions, oldest first; id, cluster, token, submit line, script, head and
    environment of the job itself are those of the newest one."""
    tried: tuple[int, ...] | None = None
    """The tasks that the newest one was submitted for, if not all."""

    @property
    def is_part(self) -> bool:
        """Whether it is one task of a sweep."""
        return bool(self.parts) and not self.request.sweep

    @property
    def unit(self) -> Unit:
        """By what it is told apart from all others, also of the same row."""
        return Unit(self.key, self.parts[0].index if self.is_part else None)

    @property
    def open_parts(self) -> tuple[Part, ...]:
        """Tasks of a sweep that are neither finished nor given up."""
        return tuple(part for part in self.parts if part.state.holds_claims)

    @property
    def open_tasks(self) -> tuple[int, ...] | None:
        """Array indices that are still of interest; ``None`` for a plain job."""
        return tuple(part.index for part in self.open_parts) if self.parts else self.tasks

    @property
    def label(self) -> str:
        """How the job is named to the user: the scheduler's id, or a stand-in."""
        return self.job_id or f"submission-{self.token[:8]}"

    @property
    def scheduler_key(self) -> JobKey:
        """What the scheduler needs to recognise the job, unless it has members."""
        return JobKey(
            self.job_id, self.cluster, self.token, self.submitted or self.created, self.open_tasks
        )
