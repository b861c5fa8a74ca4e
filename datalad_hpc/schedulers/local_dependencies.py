"""Pure: what ``--dependency`` of a local job asks for, and whether the time has come.

The kinds and their separators are those of sbatch(1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.local_job import ENDED_WELL, Progress


class Verdict(Enum):
    """Whether a task may start."""

    SATISFIED = "satisfied"
    WAITING = "waiting"
    NEVER = "never"


@dataclass(frozen=True)
class Tally:
    """How many tasks a dependency is about, and how far they are."""

    total: int
    begun: int
    """Started, or ended without a start."""
    ended: int
    completed: int

    @classmethod
    def of(cls, progress: Progress, task: int | None = None) -> Tally:
        """Count all tasks of a job, or look at a single one."""
        if task is None:
            begun = len(progress.started) + progress.ended_unstarted
            return cls(progress.total, begun, len(progress.ended), progress.completed)
        end = progress.ended.get(task)
        begun = bool(end) or task in progress.started
        return cls(1, begun, bool(end), bool(end and end.state == ENDED_WELL))


def _after(tally: Tally) -> Verdict:
    return Verdict.SATISFIED if tally.begun == tally.total else Verdict.WAITING


def _after_any(tally: Tally) -> Verdict:
    return Verdict.SATISFIED if tally.ended == tally.total else Verdict.WAITING


def _after_ok(tally: Tally) -> Verdict:
    if tally.ended > tally.completed:
        return Verdict.NEVER
    return _after_any(tally)


def _after_not_ok(tally: Tally) -> Verdict:
    if tally.completed == tally.total:
        return Verdict.NEVER
    return _after_any(tally)


KINDS: dict[str, Callable[[Tally], Verdict]] = {
    "after": _after,
    "afterany": _after_any,
    "afterok": _after_ok,
    "afternotok": _after_not_ok,
    # For the task with the same index; see Dependencies.judge.
    "aftercorr": _after_ok,
}
SINGLETON = "singleton"
CORRESPONDING = "aftercorr"

_TARGET = re.compile(r"(\d+)(?:_(\d+))?", re.ASCII)


@dataclass(frozen=True)
class Condition:
    """One job, or one task, that is waited for."""

    kind: str
    job_id: int = 0
    task: int | None = None


@dataclass(frozen=True)
class Dependencies:
    """All that a job waits for."""

    conditions: tuple[Condition, ...] = ()
    any_suffices: bool = False

    @property
    def by_task(self) -> bool:
        """Whether the answer differs between the tasks of the job."""
        return any(condition.kind == CORRESPONDING for condition in self.conditions)

    def judge(
        self, task: int | None, look_up: Callable[[int], Progress], name_taken: bool
    ) -> Verdict:
        """Whether a task may start.

        Parameters
        ----------
        task:
          Index of the task; None for a plain job.
        look_up:
          Gives the progress of a job.
        name_taken:
          Whether an earlier job of the same name has not ended.
        """
        verdicts = [self._judge(item, task, look_up, name_taken) for item in self.conditions]
        if not verdicts:
            return Verdict.SATISFIED
        enough, too_much = Verdict.SATISFIED, Verdict.NEVER
        if not self.any_suffices:
            enough, too_much = too_much, enough
        if enough in verdicts:
            return enough
        return Verdict.WAITING if Verdict.WAITING in verdicts else too_much

    def _judge(
        self,
        condition: Condition,
        task: int | None,
        look_up: Callable[[int], Progress],
        name_taken: bool,
    ) -> Verdict:
        if condition.kind == SINGLETON:
            return Verdict.WAITING if name_taken else Verdict.SATISFIED
        progress = look_up(condition.job_id)
        wanted = condition.task
        # Without a counterpart it is the whole job that counts.
        if condition.kind == CORRESPONDING and task is not None and progress.has(task):
            wanted = task
        return KINDS[condition.kind](Tally.of(progress, wanted))


def parse_dependencies(text: str) -> Dependencies:
    """Read the value of ``--dependency``.

    Parameters
    ----------
    text:
      Such as ``afterok:12:13_4,singleton``; ``,`` asks for all, ``?`` for any.

    Raises
    ------
    BadRequest
      It cannot be read, or asks for something that the local scheduler cannot do.
    """
    if "," in text and "?" in text:
        raise BadRequest(f"--dependency={text} mixes ',' (all) and '?' (any): use one of them")
    parts = re.split("[,?]", text) if text else []
    return Dependencies(tuple(item for part in parts for item in _parse_part(part)), "?" in text)


def _parse_part(part: str) -> list[Condition]:
    kind, *targets = part.split(":")
    if kind == SINGLETON and not targets:
        return [Condition(SINGLETON)]
    if kind not in KINDS or not targets:
        raise BadRequest(
            f"the dependency {part!r} is none that the local scheduler knows: "
            f"{', '.join(KINDS)} with a job id each, or {SINGLETON}"
        )
    return [_parse_target(kind, target) for target in targets]


def _parse_target(kind: str, target: str) -> Condition:
    match = _TARGET.fullmatch(target)
    if not match:
        raise BadRequest(f"{kind}:{target} does not name a job as ID or ID_TASK")
    return Condition(kind, int(match[1]), int(match[2]) if match[2] else None)
