"""Which records are to run again, and which tasks of each."""

from __future__ import annotations

import posixpath
import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import BadRequest
from datalad_hpc.history.records import RecordedCommit, records
from datalad_hpc.record import Record
from datalad_hpc.schedulers.arrays import array_indices
from datalad_hpc.wording import ranges
from datalad_hpc.workplace import Workplace

COMPLETED = "COMPLETED"
"""The state of tasks that need not run again, as all schedulers spell it."""

LONGEST_LIST = 4000
"""Characters of a list of tasks; Slurm takes 4096, a limit such as ``%10`` included."""


@dataclass(frozen=True)
class Selection:
    """Which records are to run again, and how."""

    revision: str | None = None
    since: str | None = None
    message: str | None = None
    """In the place of the recorded messages."""
    with_failed: bool = False
    failed_tasks: bool = False
    """Only the tasks of arrays that had failed."""
    assume_ready: str | None = None
    alternative: str | None = None
    jobs: int | None = None
    auto_finish: bool = False


@dataclass(frozen=True)
class Choice:
    """A record that is to run again."""

    commit: RecordedCommit
    tasks: tuple[int, ...] = ()
    """The tasks of its array to run alone; empty for the job as it was."""


@dataclass(frozen=True)
class _Tasks:
    """What a record tells of its array's tasks; nothing for other jobs."""

    ran: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    covered: frozenset[int] = frozenset()

    @classmethod
    def of(cls, record: Record) -> _Tasks:
        by_state = {state: _indices(spec) for state, spec in record.tasks.items()}
        ran = frozenset[int]().union(*by_state.values())
        return cls(ran, ran - by_state.get(COMPLETED, frozenset()), _indices(record.covers))

    @property
    def covered_alone(self) -> tuple[int, ...]:
        """The tasks that a commit covers, if it was made for a part of the array only."""
        return tuple(sorted(self.covered)) if self.covered < self.ran else ()


def _indices(spec: str) -> frozenset[int]:
    return frozenset(array_indices(spec)) if spec else frozenset()


def chosen(workplace: Workplace, selection: Selection) -> Sequence[Choice]:
    """The records to run, oldest first; broken ones among them, since they are to be told.

    Raises
    ------
    BadRequest
      There is nothing to run.
    """
    repository = Repository.find(workplace.root)
    if not repository.tip:
        raise BadRequest(f"{workplace.root} has no commits yet, so there is nothing to run again")
    found = [_readable(each) for each in records(repository, selection.revision, selection.since)]
    if not found:
        raise BadRequest(
            f"no record of a job in {_range_text(selection)}; name a commit that has one (`git log "
            "--grep 'DATALAD.*RUN'` shows them)"
        )
    choices = _failed_tasks(found) if selection.failed_tasks else _jobs(found, selection)
    if choices:
        return choices
    if selection.failed_tasks:
        raise BadRequest(
            f"no record in {_range_text(selection)} tells of failed tasks that were not run again "
            "since (a plain job has no tasks, and datalad-slurm does not record them); name "
            f"another commit, or run failed jobs whole "
            f"(`{_command(selection, '--with-failed-jobs')}`)"
        )
    raise BadRequest(
        f"all jobs recorded in {_range_text(selection)} had failed; run them again "
        f"(`{_command(selection, '--with-failed-jobs')}`), or the failed tasks of arrays alone "
        f"(`{_command(selection, '--failed-tasks')}`)"
    )


def _readable(commit: RecordedCommit) -> RecordedCommit:
    """The same; its record is broken if nobody can tell which tasks it means."""
    try:
        if commit.record:
            _Tasks.of(commit.record)
    except BadRequest as error:
        return replace(commit, record=None, problem=f"it names tasks that cannot be: {error}")
    return commit


def _jobs(found: Sequence[RecordedCommit], selection: Selection) -> list[Choice]:
    """Jobs that succeeded, or parts of arrays that did; others only if wanted."""
    choices = []
    for commit in found:
        tasks = _Tasks.of(commit.record) if commit.record else _Tasks()
        whole = commit.record is None or commit.record.completed
        part = bool(tasks.covered) and not tasks.covered & tasks.failed
        if whole or part or selection.with_failed:
            choices += _pieces(commit, tasks.covered_alone) or [Choice(commit)]
    return _latest(choices)


def _latest(choices: Sequence[Choice]) -> list[Choice]:
    """Without those that a later one repeats, or repeats again: they would write the same files."""
    latest: list[Choice] = []
    taken: dict[str, list[RecordedCommit]] = defaultdict(list)
    for choice in reversed(choices):
        line = _line_of(choice.commit)
        later = [other for commit in line for other in taken[commit]]
        if not any(_repeats(other, choice.commit) for other in later):
            latest.append(choice)
            for commit in line:
                taken[commit].append(choice.commit)
    return latest[::-1]


def _line_of(commit: RecordedCommit) -> Sequence[str]:
    """A commit, and all that it repeats."""
    return (commit.commit, *(commit.record.request.chain if commit.record else ()))


def _repeats(commit: RecordedCommit, earlier: RecordedCommit) -> bool:
    """Whether a record is of all tasks and outputs of an earlier one."""
    # One commit may be several jobs, each for a piece of its tasks.
    if not (commit.record and earlier.record) or commit.commit == earlier.commit:
        return False
    return _made(commit.record) >= _made(earlier.record) and (
        _Tasks.of(commit.record).ran >= _Tasks.of(earlier.record).ran
    )


def _made(record: Record) -> set[str]:
    return {posixpath.normpath(path) for path in record.request.declared}


def _failed_tasks(found: Sequence[RecordedCommit]) -> list[Choice]:
    """Tasks that failed and that no later record has run again."""
    told = {each.commit: _Tasks.of(each.record) for each in found if each.record}
    again: dict[str, frozenset[int]] = defaultdict(frozenset)
    for each in found:
        for earlier in each.record.request.chain if each.record else ():
            again[earlier] |= told[each.commit].ran
    choices = []
    for each in found:
        tasks = told[each.commit].failed - again[each.commit] if each.record else frozenset()
        choices += _pieces(each, tasks) if each.record else [Choice(each)]
    return choices


def _pieces(commit: RecordedCommit, tasks: Collection[int]) -> list[Choice]:
    """Tasks in as many jobs as it takes for Slurm to take the list of each."""
    spans = ranges(tasks).split(",") if tasks else []
    pieces = []
    while spans:
        lengths = accumulate(len(text) + 1 for text in spans)
        number = sum(length <= LONGEST_LIST for length in lengths)
        pieces.append(Choice(commit, array_indices(",".join(spans[:number]))))
        spans = spans[number:]
    return pieces


def _command(selection: Selection, option: str) -> str:
    """How to run the same records again in another way."""
    since = [] if selection.since is None else [f"--since={selection.since}"]
    revision = [selection.revision] if selection.revision else []
    return shlex.join(["datalad", "reschedule", option, *since, *revision])


def _range_text(selection: Selection) -> str:
    revision = selection.revision or "HEAD"
    if selection.since is None:
        return revision
    return f"{selection.since}..{revision}" if selection.since else f"the history of {revision}"
