"""What there is to see of jobs that are followed, by what a scheduler says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from datalad_hpc.finish.chain_order import waits_in_vain
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job, JobState, Part
from datalad_hpc.members import scheduler_keys
from datalad_hpc.polling import NOT_TOLD, Answers, is_forgotten
from datalad_hpc.status import Phase, TaskStatus

MAY_COME_BACK = ("BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "REVOKED")
"""States of failed tasks that a cluster may put into its queue again by itself."""


def is_live(job: Job, answers: Answers) -> bool:
    """Whether a job is worth waiting for."""
    return not all(map(waits_in_vain, live_tasks(job, answers)))


def live_tasks(job: Job, answers: Answers) -> list[TaskStatus]:
    """The tasks of a job that may still run, for what its scheduler says."""
    if job.state is not JobState.OPEN or is_forgotten(job, answers):
        return []
    return [task for task in tasks_of(job, answers) if task.phase is Phase.LIVE]


def has_failed(job: Job, answers: Answers) -> bool:
    """Whether all of a job has failed, and for good."""
    answer = answers.of(job)
    return answer is not None and all(
        task.phase is Phase.FAILED and not task.state.startswith(MAY_COME_BACK)
        for task in answer.tasks
    )


def tasks_of(job: Job, answers: Answers) -> Sequence[TaskStatus]:
    """The tasks of a job, also where nothing is known of it."""
    if answer := answers.of(job):
        return answer.tasks
    indices = (index for key in scheduler_keys(job) for index in key.tasks or (None,))
    return [TaskStatus(index, NOT_TOLD, Phase.LIVE) for index in indices]


def ends_of(this: Round, job: Job, answers: Answers) -> Iterator[Hashable]:
    """What there is of a job that a round can deal with; the same each time until it does."""
    name = (job.key, job.label, job.state)
    units: list[Job | Part] = [job, *job.open_parts]
    yield from (("planned", name, each.ref, each.commit) for each in units if each.commit)
    if job.worktree != this.workplace.worktree:
        yield ("elsewhere", name)
    elif job.state is not JobState.OPEN:
        yield ("not submitted", name)
    elif is_forgotten(job, answers):
        yield ("forgotten", name)
    elif answer := answers.of(job):
        over = [task for task in answer.tasks if task.phase is not Phase.LIVE]
        if job.parts or len(over) == len(answer.tasks):
            yield from ((task.state, name, task.job_id, task.index) for task in over)


def states_text(states: Counter[str]) -> str:
    """How many tasks are in which state, for people; the same text for the same numbers."""
    ordered = sorted(states.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{state} {number:,}" for state, number in ordered)
