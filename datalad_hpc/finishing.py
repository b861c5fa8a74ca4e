"""The story of ``finish``: ask once, decide for each job, commit, remember."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
from datalad_hpc.finish.selecting import selected
from datalad_hpc.job import Job
from datalad_hpc.located import Locator
from datalad_hpc.polling import Answers, ask, unknown_text
from datalad_hpc.progress import showing
from datalad_hpc.results import Result, error_result, explain, job_result, result
from datalad_hpc.scheduling import settle


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
    _check(this)
    settle(this.workplace, this.store, this.scheduler_named)
    with this.workplace.save_lock():
        jobs, others = selected(this)
        yield from others
        jobs, completed = complete_interrupted(this, jobs)
        yield from completed
        answers, _ = _asked(this, jobs, facts=True)
        yield from (error_result(ACTION, this.root, error) for error in answers.failures)
        number = sum(len(job.open_parts) or 1 for job in jobs)
        with showing("Finishing jobs", " Jobs", number) as step:
            for outcome in _committed(this, jobs, answers):
                step()
                yield outcome
    # Others need not wait for this.
    yield from _look_after(this)


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
        more = {"chain_note": told[job.key]} if job.key in told else {}
        yield job_result(ACTION, this.root, "ok", text, job, answer, open_job=True, **more)


def _look_after(this: Round) -> Iterator[Result]:
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
