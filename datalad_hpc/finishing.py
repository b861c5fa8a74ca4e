"""The story of ``finish``: ask once, decide for each job, commit, remember."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datalad_hpc.commit.hooks import hooks_folder, hooks_passed_over
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.upkeep import let_git_clean_up
from datalad_hpc.completing import commit_jobs, complete_interrupted
from datalad_hpc.deciding import Ready, decide
from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Job, JobState
from datalad_hpc.located import Locator
from datalad_hpc.members import all_names
from datalad_hpc.polling import Answers, ask, expect, unknown_text
from datalad_hpc.progress import showing
from datalad_hpc.results import Result, error_result, explain, job_result, result
from datalad_hpc.rounds import ACTION, Round
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
        jobs, others = _selected(this)
        yield from others
        jobs, completed = complete_interrupted(this, jobs)
        yield from completed
        answers = ask(jobs, this.scheduler_named, facts=True)
        yield from (error_result(ACTION, this.root, error) for error in answers.failures)
        with showing("Finishing jobs", " Jobs", len(jobs)) as step:
            for outcome in commit_jobs(this, _decided(this, jobs, answers)):
                step()
                yield outcome
    # Others need not wait for this.
    yield from _look_after(this)


def _decided(this: Round, jobs: Sequence[Job], answers: Answers) -> Iterator[Result | Ready]:
    """What becomes of each job."""
    locator = Locator(this.root)
    return (decide(this, job, answers, locator) for job in jobs)


def list_open(this: Round) -> Iterator[Result]:
    """Say of each open job where it stands.

    Yields
    ------
    dict
      One result per open job.
    """
    settle(this.workplace, this.store, this.scheduler_named)
    jobs, others = _selected(this)
    yield from others
    answers = ask(jobs, this.scheduler_named, facts=False)
    yield from (error_result(ACTION, this.root, error) for error in answers.failures)
    for job in jobs:
        answer = answers.of(job)
        text = explain(answer) if answer else unknown_text(job, answers)
        yield job_result(ACTION, this.root, "ok", text, job, answer, open_job=True)


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


def _selected(this: Round) -> tuple[list[Job], list[Result]]:
    """The open jobs that are meant, and results where there is none."""
    named = this.wishes.job_ids
    if named:
        return _selected_by_name(this, named)
    expect(this.store.open_numbers(), this.scheduler_named)
    if jobs := this.store.open_jobs():
        return jobs, []
    return [], [result(ACTION, this.root, "notneeded", "There are no open jobs")]


def _selected_by_name(this: Round, names: Sequence[str]) -> tuple[list[Job], list[Result]]:
    found = this.store.jobs_named(names)
    jobs = [job for job in found if job.state.holds_claims]
    past = {name: job for job in found for name in all_names(job)}
    labels = {name for job in jobs for name in all_names(job)}
    missing = [name for name in names if name not in labels]
    return jobs, [
        _over(this, past[name]) if name in past else _no_such_job(this, name) for name in missing
    ]


def _over(this: Round, job: Job) -> Result:
    given_up = job.state is JobState.CLOSED
    what = f"{'closed without a commit' if given_up else 'never submitted'} ({job.note})"
    what = f"committed as {job.commit[:10]}" if job.commit else what
    text = f"Job {job.label} is over already: {what}"
    return job_result(ACTION, this.root, "notneeded", text, job, commit=job.commit)


def _no_such_job(this: Round, name: str) -> Result:
    way = "`datalad finish --list-open-jobs` lists those that are open"
    text = f"There is no job {name} in this dataset; {way}"
    return result(ACTION, this.root, "impossible", text, slurm_job_id=name)
