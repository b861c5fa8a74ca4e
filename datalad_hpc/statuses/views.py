"""Pure: what there is to tell of one job, of what its scheduler and the store say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

from datalad_hpc.claims import shown
from datalad_hpc.failures import failure_fields, failure_of
from datalad_hpc.job import ClaimRole, Job, JobState, Part
from datalad_hpc.members import ATTEMPT, as_attempted, is_about
from datalad_hpc.outlook import Chance, Outlook
from datalad_hpc.requested import requested_by
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.statuses.choosing import Chosen
from datalad_hpc.wording import some_of


class Standing(str, Enum):
    """Where a job stands, in one word."""

    UNKNOWN = "unknown"
    """It may still run, but nobody tells."""
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    """All tasks have ended, and some did not complete."""
    COMPLETED = "completed"
    """It can be committed."""
    FINISHED = "finished"
    CLOSED = "closed"
    REFUSED = "refused"


_OVER = {
    JobState.FINISHED: Standing.FINISHED,
    JobState.CLOSED: Standing.CLOSED,
    JobState.REFUSED: Standing.REFUSED,
}

_WORST_FIRST = (Chance.NEVER, Chance.HELD, Chance.UNKNOWN, Chance.WAITS)


@dataclass(frozen=True)
class View:
    """One job, or some of its tasks."""

    chosen: Chosen
    answer: JobStatus | None
    """What the scheduler says of it; ``None`` where nothing is known, or it is over."""
    kept: JobStatus | None
    """What the store has kept of tasks that are over."""
    now: datetime
    outlook_of: Callable[[str], Outlook]
    job_is_forgotten: bool = False
    """Whether the scheduler does not know the job, or tasks of it, any more."""

    @property
    def job(self) -> Job:
        """The job, as the store has it."""
        return self.chosen.job

    @cached_property
    def attempted(self) -> Job:
        """The job as it was submitted for the tasks that are meant, where that was at once."""
        found = [as_attempted(self.job, index) for _, index in self.chosen.tasks or ()]
        alike = len({each.job_id for each in found}) == 1
        return found[0] if alike and self.job.attempts else self.job

    @property
    def is_over(self) -> bool:
        """Whether it is committed or given up, or all tasks that are meant are."""
        return self.standing in _OVER.values()

    @property
    def is_forgotten(self) -> bool:
        """Whether it is open still, and the scheduler does not know it any more."""
        return self.job_is_forgotten and not self.is_over

    @property
    def label(self) -> str:
        """The job's id, or that of its only task that is meant."""
        tasks = self.chosen.tasks or ()
        return "_".join(map(str, next(iter(tasks)))) if len(tasks) == 1 else self.job.label

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The tasks of a sweep that are meant."""
        if self.chosen.tasks is None:
            return self.job.parts
        indices = {index for _, index in self.chosen.tasks}
        return tuple(part for part in self.job.parts if part.index in indices)

    @cached_property
    def live_or_ended(self) -> tuple[TaskStatus, ...]:
        """The tasks that are open still, as the scheduler says."""
        return self._meant(self.answer.tasks if self.answer else ())

    @cached_property
    def over(self) -> tuple[TaskStatus, ...]:
        """The tasks that are committed or given up, as the store has kept them."""
        tasks = self._meant(self.kept.tasks if self.kept else ())
        if not self.job.state.holds_claims:
            return tasks
        indices = {part.index for part in self.parts if not part.state.holds_claims}
        return tuple(task for task in tasks if task.index in indices)

    def _meant(self, tasks: Iterable[TaskStatus]) -> tuple[TaskStatus, ...]:
        if self.chosen.tasks is None:
            return tuple(tasks)
        if self.job.members:
            wanted: Collection[Any] = self.chosen.tasks
            return tuple(task for task in tasks if (task.job_id, task.index) in wanted)
        indices = {index for _, index in self.chosen.tasks}
        return tuple(task for task in tasks if task.index in indices)

    @property
    def open_answer(self) -> JobStatus | None:
        """The scheduler's answer with the tasks that are meant."""
        return replace(self.answer, tasks=self.live_or_ended) if self.answer else None

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many tasks are where; ``total`` is all of them."""
        tasks = self.live_or_ended
        live = [task for task in tasks if task.phase is Phase.LIVE]
        running = sum(task.started is not None for task in live)
        ended = [task for task in (*tasks, *self.over) if task.phase is not Phase.LIVE]
        completed = sum(task.phase is Phase.COMPLETED for task in ended)
        return {
            "total": max(self._asked_for, len(tasks) + len(self.over)),
            "completed": completed,
            "failed": len(ended) - completed,
            "running": running,
            "waiting": len(live) - running,
        }

    @property
    def _asked_for(self) -> int:
        if self.chosen.tasks is not None:
            return len(self.chosen.tasks)
        if self.job.members:
            return sum(len(member.tasks or (0,)) for member in self.job.members)
        return len(self.job.tasks or (0,))

    @cached_property
    def standing(self) -> Standing:
        """Where the job stands, or the tasks of it that are meant."""
        if self.job.state in _OVER:
            return self._standing_of_parts or _OVER[self.job.state]
        tasks = self.live_or_ended
        if not tasks:
            return self._standing_of_parts or Standing.UNKNOWN
        if any(task.phase is Phase.LIVE for task in tasks):
            return self._standing_of_live
        failed = any(task.phase is Phase.FAILED for task in tasks)
        return Standing.FAILED if failed else Standing.COMPLETED

    @property
    def _standing_of_live(self) -> Standing:
        live = [task for task in self.live_or_ended if task.phase is Phase.LIVE]
        if all(task.state == "UNKNOWN" for task in live):
            return Standing.UNKNOWN
        return Standing.RUNNING if any(task.started for task in live) else Standing.WAITING

    @property
    def _standing_of_parts(self) -> Standing | None:
        """Of tasks of a sweep all of which are over."""
        states = {part.state for part in self.parts}
        if not states or any(state.holds_claims for state in states):
            return None
        return Standing.FINISHED if JobState.FINISHED in states else Standing.CLOSED

    @property
    def has_failed(self) -> bool:
        """Whether something of it needs a decision: it cannot come to its end by itself."""
        never = self.outlook is not None and self.outlook.chance is Chance.NEVER
        failed = any(task.phase is Phase.FAILED for task in self.live_or_ended)
        return failed or never or self.is_forgotten

    @cached_property
    def waits(self) -> TaskStatus | None:
        """The task that tells best why tasks wait."""
        waiting = [
            task
            for task in self.live_or_ended
            if task.phase is Phase.LIVE and task.started is None and task.reason
        ]
        # Thousands of tasks wait for the same.
        by_reason = {task.reason: task for task in waiting}
        rank = {reason: _WORST_FIRST.index(self.outlook_of(reason).chance) for reason in by_reason}
        return by_reason[min(rank, key=rank.__getitem__)] if rank else None

    @property
    def outlook(self) -> Outlook | None:
        """Whether what waits can ever start; ``None`` where nothing waits, or nobody says why."""
        return self.outlook_of(self.waits.reason) if self.waits else None

    @property
    def elapsed(self) -> float | None:
        """Seconds: of the task that has run for longest of those that run, or else of all."""
        running = [
            (self.now - task.started).total_seconds()
            for task in self.live_or_ended
            if task.phase is Phase.LIVE and task.started
        ]
        known = [task.elapsed for task in (*self.live_or_ended, *self.over)]
        ended = [elapsed for elapsed in known if elapsed is not None]
        longest = max(running or ended, default=None)
        return None if longest is None else max(0.0, round(longest, 1))

    @property
    def failure(self) -> str:
        """How tasks failed that are open still, in words."""
        found = filter(None, map(failure_of, self.live_or_ended))
        return some_of(list(dict.fromkeys(failure.text for failure in found)))

    @property
    def failures(self) -> dict[str, Any]:
        """How tasks failed, also those that are committed or given up, as results tell it."""
        status = JobStatus("", (*self.live_or_ended, *self.over))
        has_tasks = self.job.tasks is not None or bool(self.job.members)
        return failure_fields(status, of_tasks=has_tasks)

    @property
    def nodes(self) -> list[str]:
        """Where its tasks run, or ran."""
        tasks = (*self.live_or_ended, *self.over)
        return sorted({task.nodes for task in tasks if task.nodes})

    @property
    def commits(self) -> list[str]:
        """The commits that hold its outputs."""
        if self.parts:
            finished = [part.commit for part in self.parts if part.state is JobState.FINISHED]
            return list(dict.fromkeys(finished))
        return [self.job.commit] * (self.job.state is JobState.FINISHED)

    @property
    def outputs(self) -> list[str]:
        """Those of the tasks that are meant, as far as they are known."""
        indices = {index for _, index in self.chosen.tasks or ()}
        own = [
            shown(claim)
            for claim in self.job.claims
            if claim.role is ClaimRole.OUTPUT and claim.task in indices
        ]
        return list(dict.fromkeys([*self._set_free, *own])) or list(self.job.request.declared)

    @property
    def _set_free(self) -> list[str]:
        """Outputs of tasks of a sweep that are over, and hold no claims any more."""
        parts = () if self.chosen.tasks is None else self.parts
        templates = self.job.request.task_outputs
        over = [part for part in parts if not part.state.holds_claims]
        return [template.format(**part.values) for part in over for template in templates]

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the whole job, as it was submitted for the tasks that are meant."""
        known = {**(self.kept.facts if self.kept else {})}
        known.update(self.answer.facts if self.answer else {})
        if self.chosen.tasks is not None and self.job.attempts:
            return self._facts_of(self.attempted.job_id, known)
        members: Sequence[dict[str, Any]] = [*known.get("jobs", {}).values()]
        # Of the jobs of a submission program the first stands for all.
        return members[0] if members else known

    def _facts_of(self, job_id: str, known: dict[str, Any]) -> dict[str, Any]:
        """Those of one attempt: what is known now may be about another one."""
        earlier = [each for each in self.job.attempts if each.job_id == job_id]
        if earlier and known.get(ATTEMPT) != job_id:
            return dict(earlier[0].facts or requested_by(earlier[0].asked))
        return known if is_about(known, job_id) else {}
