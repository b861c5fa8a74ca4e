"""What became of tasks: asked once of the scheduler, or as the store remembers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from datalad_hpc.failures import failure_of
from datalad_hpc.finish.deciding import run_again
from datalad_hpc.following.meant import Look, Task
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import as_attempted
from datalad_hpc.polling import Answers, ask, is_forgotten, is_untold, unknown_text
from datalad_hpc.results import SAYS_NOTHING_NEW, Result
from datalad_hpc.sizes import span_text
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.store.history import ends_of


@dataclass
class States:
    """How some tasks stand."""

    look: Look
    answers: Answers = field(default_factory=Answers)
    _kept: dict[int, Sequence[TaskStatus]] = field(default_factory=dict)

    def ask(self, tasks: Iterable[Task], *, facts: bool) -> None:
        """Ask the schedulers about the open jobs of tasks."""
        jobs = {task.job.key: task.job for task in tasks}
        self.answers = ask(list(jobs.values()), self.look.scheduler_named, facts=facts)

    def of(self, task: Task) -> TaskStatus | None:
        """The status of a task; ``None`` where it is not known."""
        for told in self._told(task):
            for status in told:
                if status.index == task.index and status.job_id in ("", task.job_id):
                    return None if is_untold(status) else status
        return None

    def _told(self, task: Task) -> Iterator[Sequence[TaskStatus]]:
        """What is known of tasks, the best first."""
        if task.is_earlier:
            yield from (each.ended for each in task.job.attempts if each.job_id == task.job_id)
            return
        if answer := self.answers.of(task.job):
            yield answer.tasks
        yield self._of_store(task.job)

    def _of_store(self, job: Job) -> Sequence[TaskStatus]:
        if job.key not in self._kept:
            self._kept[job.key] = ends_of(self.look.store, [job.key])[job.key].tasks
        return self._kept[job.key]

    def is_live(self, task: Task) -> bool:
        """Whether a task may still write; of what is not known that is so until it is forgotten."""
        status = self.of(task)
        if status is not None:
            return status.phase is Phase.LIVE
        return task.state.holds_claims and not is_forgotten(task.job, self.answers)

    def has_failed(self, task: Task) -> bool:
        """Whether it is known that a task did not succeed."""
        status = self.of(task)
        return status is not None and failure_of(status) is not None

    def word(self, task: Task) -> str:
        """Its state in a word, as the scheduler has it."""
        status = self.of(task)
        return status.state if status else "UNKNOWN"

    def fields(self, task: Task) -> Result:
        """What a result has of a task's state."""
        status = self.of(task)
        failure = failure_of(status) if status else None
        return {
            "slurm_job_status": self.word(task),
            **({"failure": failure.as_json} if failure else {}),
        }

    def text(self, task: Task) -> str:
        """How a task stands, and what can be done."""
        status = self.of(task)
        if status is None and task.state.holds_claims:
            return unknown_text(task.job, self.answers)
        end = f": {described(status)}" if status else ""
        return f"Job {task.label}{end}; {_next(task, status, self.answers.of(task.job))}"


def described(status: TaskStatus) -> str:
    """A task's end, or why it has none yet, in words."""
    failure = failure_of(status)
    words = failure.text if failure else ""
    more = words if words.replace(" ", "_").upper() != status.state else ""
    if status.phase is Phase.LIVE and status.reason not in SAYS_NOTHING_NEW:
        more = status.reason
    text = f"{status.state} ({more})" if more else status.state
    if status.phase is Phase.LIVE or status.elapsed is None:
        return text
    return f"{text} after {span_text(status.elapsed)}"


def _next(task: Task, status: TaskStatus | None, whole_job: JobStatus | None) -> str:
    """What became of a task's outputs, or which command is the next."""
    if task.is_earlier:
        newest = replace(task, job_id=as_attempted(task.job, task.index).label)
        return f"it was submitted again as job {newest.label}"
    if task.commit:
        return f"committed as {task.commit[:10]}"
    if not task.state.holds_claims:
        return "closed without a commit"
    whole = task.label if task.job.parts else task.job.label
    if status is None or status.phase is Phase.LIVE:
        return f"`datalad hpc-log -f {task.label}` follows it"
    if status.phase is Phase.FAILED:
        return ways_on([(task, status)], whole)
    others = whole_job.tasks if whole_job and not task.job.parts else ()
    if any(other.phase is Phase.FAILED for other in others):
        # The tasks of an array have one commit; a program's jobs are all good or not.
        option = "--commit-failed-jobs" if task.job.tasks is None else "--commit-good-tasks"
        return f"since others failed, `datalad finish {option} {whole}` commits it"
    return f"`datalad finish {whole}` commits it"


def ways_on(failed: Sequence[tuple[Task, TaskStatus]], names: str, them: str = "it") -> str:
    """The commands for what has failed, of jobs that are open."""
    # Jobs of a submission program are not run again by themselves.
    tried = [(task, status) for task, status in failed if not task.job.request.submits]
    statuses = tuple(status for _, status in tried)
    own = names if len(tried) == len(failed) else " ".join(labels_of(task for task, _ in tried))
    again = run_again(own, JobStatus("", statuses), them) if tried else ""
    return (
        f"{again}{'or ' * bool(again)}give {them} up (`datalad finish --close-failed-jobs {names}`)"
    )


def labels_of(tasks: Iterable[Task]) -> list[str]:
    """The jobs of tasks, each once."""
    return list(dict.fromkeys(task.job.label for task in tasks))


def is_submitted(job: Job) -> bool:
    """Whether a scheduler has had it."""
    return job.state not in (JobState.RESERVED, JobState.SUBMITTING)
