"""Jobs whose commit was made before an earlier round of ``finish`` was interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datalad_hpc.commit.gathering import Work, own_branch
from datalad_hpc.commit.recording import Layout, Recorder
from datalad_hpc.finish.good_tasks import put_back, without_tasks
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Job, Unit
from datalad_hpc.results import Result, job_result
from datalad_hpc.unfolding import planned_parts, without


def complete_interrupted(finish: Round, jobs: Sequence[Job]) -> tuple[list[Job], list[Result]]:
    """End the jobs, and the parts of sweeps, whose commit was made before an interruption.

    Returns
    -------
    tuple
      The jobs that are still open, and a result for each job or part that was ended.
    """
    here = [job for job in jobs if job.worktree == finish.workplace.worktree]
    planned = [each for job in here for each in _planned(job)]
    held = Recorder(finish.root).held({(each.ref, each.commit) for each in planned})
    made = [each for each in planned if (each.ref, each.commit) in held]
    results = []
    for layout in Layout.LINEAR, Layout.BRANCHES:
        results += _complete(finish, [each for each in made if _layout_of(each) is layout], layout)
    return _still_open(jobs, [each.unit for each in made]), results


def _planned(job: Job) -> list[Job]:
    """The job, or each of its parts, if a commit was planned for it."""
    return planned_parts(job) if job.parts else [job] * bool(job.commit)


def _layout_of(job: Job) -> Layout:
    """How an interrupted round had planned the job's commit."""
    return Layout.BRANCHES if job.ref == own_branch(job.label) else Layout.LINEAR


def _complete(finish: Round, made: Sequence[Job], layout: Layout) -> list[Result]:
    if not made:
        return []
    divided = [without_tasks(job, finish.store.left_out(job)) for job in made]
    works = [Work(job.unit, job.label, job.claims, lambda _files: "") for job, _ in divided]
    Recorder(finish.root, layout).catch_up(works)
    said = {job.unit: put_back(finish.root, job, left) for job, left in divided}
    finish.store.finished(said)
    return [_result(finish, job, said[job.unit]) for job in made]


def _result(finish: Round, job: Job, said: str) -> Result:
    text = f"Job {job.label} had been committed as {job.commit[:10]} before an interruption"
    text += f"; {said}" * bool(said)
    return job_result(ACTION, finish.root, "ok", text, job, commit=job.commit)


def _still_open(jobs: Iterable[Job], ended: Iterable[Unit]) -> list[Job]:
    over = set(ended)
    rest = []
    for job in jobs:
        parts = {part.index for part in job.parts if Unit(job.key, part.index) in over}
        if parts:
            job = without(job, parts)
        if job.unit not in over and (job.open_parts or not job.parts):
            rest.append(job)
    return rest
