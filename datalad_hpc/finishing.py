"""The story of ``finish``: ask once, decide for each job, commit, remember."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from datalad_hpc.commit.hooks import hooks_folder, hooks_passed_over
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.upkeep import let_git_clean_up
from datalad_hpc.errors import BadRequest
from datalad_hpc.finish.catching_up import complete_interrupted
from datalad_hpc.finish.chain_order import (
    awaited,
    give_reasons,
    in_order,
    layers,
    readers,
    still_read,
)
from datalad_hpc.finish.completing import commit_jobs
from datalad_hpc.finish.deciding import Ready, decide
from datalad_hpc.finish.deciding_sweeps import decide_sweep
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.finish.selecting import meant, selected
from datalad_hpc.job import Job, JobState
from datalad_hpc.located import Locator
from datalad_hpc.polling import STALE, Answers, ask, complete, unknown_text
from datalad_hpc.progress import showing
from datalad_hpc.results import (
    Result,
    attempt_text,
    error_result,
    explain,
    job_result,
    result,
)
from datalad_hpc.scheduling import settle
from datalad_hpc.status import Phase


@dataclass(frozen=True)
class Look:
    """What was said of open jobs, and when."""

    jobs: Sequence[Job]
    answers: Answers
    when: float = field(default_factory=time.monotonic)


def finish(this: Round) -> Iterator[Result]:
    """Commit what has ended, say what has not.

    Yields
    ------
    dict
      One result per job, as soon as it is decided or committed.

    Raises
    ------
    HpcError
      It could not begin or go on; all jobs without a result are as before.
    """
    begin(this)
    with this.workplace.save_lock():
        jobs, others = selected(this)
        yield from others
        jobs, completed = complete_interrupted(this, jobs)
        yield from completed
        answers = asked(this, jobs)
        yield from (error_result(ACTION, this.root, error) for error in answers.failures)
        number = sum(len(job.open_parts) or 1 for job in jobs)
        with showing("Finishing jobs", " Jobs", number) as step:
            for outcome in _committed(this, jobs, answers):
                step()
                yield outcome
    # Others need not wait for this.
    yield from look_after(this)


def begin(this: Round) -> None:
    """Check what was asked for, and settle interrupted submissions.

    Raises
    ------
    BadRequest
      Nothing can be finished like this.
    """
    _check(this)
    settle(this.workplace, this.store, this.scheduler_named)


def finish_seen(this: Round, seen: Look) -> Iterator[Result]:
    """Commit what has ended by an answer that was got without the save lock.

    Others may have finished, closed or resubmitted jobs meanwhile: what is not as it was is left
    for the next look.

    Yields
    ------
    dict
      As :func:`finish`.
    """
    with this.workplace.save_lock():
        jobs, completed = complete_interrupted(this, meant(this))
        yield from completed
        jobs = _unchanged(seen, jobs)
        late = time.monotonic() - seen.when > STALE
        answers = asked(this, jobs) if late else _restricted(seen, jobs)
        yield from _committed(this, jobs, answers)


def _unchanged(seen: Look, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that are known to the scheduler by what was asked for."""
    then = {job.key: _identity(job) for job in seen.jobs}
    return [job for job in jobs if then.get(job.key) == _identity(job)]


def _identity(job: Job) -> tuple[JobState, str, str, str]:
    """What is another once it is submitted again."""
    return job.state, job.job_id, job.cluster, job.token


def _restricted(seen: Look, jobs: Sequence[Job]) -> Answers:
    """The answers without those tasks of sweeps that are over by now."""
    told = seen.answers.statuses
    still = {job.key: complete(job, told[job.key]) for job in jobs if job.parts and job.key in told}
    return replace(seen.answers, statuses={**told, **still})


def asked(this: Round, jobs: Sequence[Job]) -> Answers:
    """What became of jobs, with the facts that a commit needs."""
    return _asked(this, jobs, facts=True)[0]


def still_live(this: Round, seen: Look) -> Iterator[Result]:
    """What there is to say of jobs, and tasks of sweeps, that may still run; nothing is changed."""
    told = dict(seen.answers.statuses)
    for job in seen.jobs:
        if job.parts and job.key in told:
            live = (task for task in told[job.key].tasks if task.phase is Phase.LIVE)
            told[job.key] = replace(told[job.key], tasks=tuple(live))
    answers = replace(seen.answers, statuses=told)
    yield from (each for each in _decided(this, seen.jobs, answers, {}) if isinstance(each, dict))


def _asked(this: Round, jobs: Sequence[Job], *, facts: bool) -> tuple[Answers, Mapping[int, str]]:
    """What became of jobs, and what there is to say of those that they depend on."""
    earlier = awaited(this, jobs)
    answers = ask([*jobs, *earlier], this.scheduler_named, facts=facts)
    return answers, give_reasons(jobs, earlier, answers)


def _committed(this: Round, jobs: Sequence[Job], answers: Answers) -> Iterator[Result]:
    """What becomes of each job, in the order of their chains."""
    read_by = readers(this, jobs, answers)
    for layer in layers(jobs):
        decided = _decided(this, layer, answers, read_by)
        yield from commit_jobs(this, in_order(this, layer, decided))


def _decided(
    this: Round, jobs: Sequence[Job], answers: Answers, read_by: Mapping[int, Sequence[str]]
) -> Iterator[Result | Ready]:
    locator = Locator(this.root)
    for job in jobs:
        kept = still_read(this, job, answers, read_by.get(job.key, ()))
        if kept:
            yield kept
        elif job.parts:
            yield from decide_sweep(this, job, answers, locator)
        else:
            yield decide(this, job, answers, locator)


def list_open(this: Round) -> Iterator[Result]:
    """Say of each open job where it stands.

    Yields
    ------
    dict
      One result per open job.
    """
    settle(this.workplace, this.store, this.scheduler_named)
    jobs, others = selected(this)
    yield from others
    answers, told = _asked(this, jobs, facts=False)
    yield from (error_result(ACTION, this.root, error) for error in answers.failures)
    for job in jobs:
        answer = answers.of(job)
        text = explain(answer) if answer else unknown_text(job, answers)
        text += attempt_text(job)
        more = {"chain_note": told[job.key]} if job.key in told else {}
        yield job_result(ACTION, this.root, "ok", text, job, answer, open_job=True, **more)


def look_after(this: Round) -> Iterator[Result]:
    """Say which hooks had no part in new commits, and let Git clean up where there are some."""
    for repository in this.written.values():
        if hooks := hooks_passed_over(repository):
            text = (
                f"Hooks in {hooks_folder(repository)} that `datalad finish` does not run had no "
                f"part in the new commits: {', '.join(hooks)}"
            )
            yield result(ACTION, this.root, "ok", text, hooks=list(hooks))
        let_git_clean_up(repository)


def _check(this: Round) -> None:
    if this.wishes.outputs and len(this.wishes.job_ids) != 1:
        raise BadRequest(
            "more outputs (-o) belong to one job; name exactly one job id with them "
            "(`datalad finish ID -o PATH`)"
        )
    _ = this.style  # Known to be sound before anything is done.
    repository = Repository.find(this.root)
    if repository.is_adjusted:
        raise BadRequest(
            f"the dataset is on git-annex's adjusted branch {repository.ref}, which only git-annex "
            "can write; check out the branch that it was made from (`git checkout`) and run "
            "`datalad finish` again"
        )
