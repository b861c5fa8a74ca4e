"""Which jobs, and which tasks of them, are to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from datalad_hpc.finish.cancelled import was_cancelled
from datalad_hpc.finish.rounds import Round
from datalad_hpc.finish.selecting import selected
from datalad_hpc.job import Job, JobState, Unit
from datalad_hpc.members import all_names, scheduler_keys
from datalad_hpc.results import Result
from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.status import JobStatus, Phase, TaskStatus


@dataclass(frozen=True)
class Target:
    """A job that is to end, or some tasks of it."""

    job: Job
    """Of a sweep, tasks of which were named, only these are parts."""
    tasks: frozenset[int] | None = None
    """Indices of the tasks, if not all of the job is meant."""

    @property
    def is_rest_untouched(self) -> bool:
        """Whether these are tasks of an array that is committed as a whole, and goes on."""
        return self.tasks is not None and not self.job.parts

    def of(self, answer: JobStatus | None) -> tuple[TaskStatus, ...]:
        """The tasks that are meant of those that the scheduler told of."""
        told = answer.tasks if answer else ()
        return tuple(task for task in told if self.tasks is None or task.index in self.tasks)

    def live(self, answer: JobStatus | None) -> tuple[TaskStatus, ...]:
        """Those of them that may still run."""
        return tuple(task for task in self.of(answer) if task.phase is Phase.LIVE)

    def units(self, answer: JobStatus | None) -> list[Unit]:
        """For what the wish is to be kept; of a sweep those tasks that are not over well."""
        if self.is_rest_untouched:
            return []
        if not self.job.parts:
            return [Unit(self.job.key)]
        told = self.of(answer)
        return [Unit(self.job.key, task.index) for task in told if task.phase is Phase.LIVE]

    def ended_units(self, answer: JobStatus | None, *, begun: bool) -> list[Unit]:
        """The same for those that somebody has cancelled already, or what they waited for has.

        Parameters
        ----------
        begun:
          Whether those are meant as well that ran until then, and may have made something.
        """
        told = [task for task in self.of(answer) if was_cancelled(task)]
        cancelled = [task for task in told if begun or not (task.nodes or task.elapsed)]
        if self.is_rest_untouched or not cancelled:
            return []
        if not self.job.parts:
            return [Unit(self.job.key)]
        return [Unit(self.job.key, task.index) for task in cancelled]

    def cancellations(self, answer: JobStatus | None) -> Iterator[Cancellation]:
        """What the scheduler is to be told: of each of the job's ids under which something runs."""
        for key in scheduler_keys(self.job):
            live = [
                task
                for task in self.live(answer)
                if task.job_id in ("", key.job_id)
                and (task.index is None or key.tasks is None or task.index in key.tasks)
            ]
            if live and self.tasks is None:
                yield Cancellation(key)
            elif live:
                indices = (task.index for task in live)
                yield Cancellation(key, tuple(index for index in indices if index is not None))


def chosen(this: Round) -> tuple[list[Target], list[Result]]:
    """What the user named, or all open jobs; and results where there is nothing to end."""
    names = this.wishes.job_ids
    of_arrays, others = _tasks_of_arrays(this, names)
    if names and not others:
        return of_arrays, []
    jobs, results = selected(replace(this, wishes=replace(this.wishes, job_ids=others)))
    targets = [Target(job, _named_parts(job, names)) for job in jobs]
    whole = {target.job.key for target in targets if target.tasks is None}
    return [each for each in of_arrays if each.job.key not in whole] + targets, results


def _named_parts(job: Job, names: Sequence[str]) -> frozenset[int] | None:
    """Indices of the tasks of a sweep, if these were named and not the whole."""
    if not names or not job.parts or not all_names(job).isdisjoint(names):
        return None
    return frozenset(part.index for part in job.parts)


def _tasks_of_arrays(this: Round, names: Sequence[str]) -> tuple[list[Target], tuple[str, ...]]:
    """Targets for names of tasks of arrays that are committed as a whole, and all other names."""
    split = {name: name.rpartition("_") for name in names}
    found = this.store.jobs_named([job_id for job_id, _, _ in split.values() if job_id])
    arrays = [job for job in found if job.state is JobState.OPEN and job.tasks and not job.parts]
    meant: dict[int, set[int]] = {}
    others = []
    for name, (job_id, _, index) in split.items():
        job = next((each for each in arrays if job_id in all_names(each)), None)
        if job and not job.members and index.isdecimal() and int(index) in (job.tasks or ()):
            meant.setdefault(job.key, set()).add(int(index))
        else:
            others.append(name)
    targets = [Target(job, frozenset(meant[job.key])) for job in arrays if job.key in meant]
    return targets, tuple(others)
