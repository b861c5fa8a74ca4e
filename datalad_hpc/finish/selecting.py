"""Which open jobs a round of ``finish`` is about, and what there is to say of all others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Job, JobState
from datalad_hpc.members import all_names
from datalad_hpc.polling import expect
from datalad_hpc.results import Result, job_result, result
from datalad_hpc.unfolding import part_names


def selected(this: Round) -> tuple[list[Job], list[Result]]:
    """The open jobs that are meant, and results where there is none.

    Of a sweep whose tasks were named (``123_4``) only these are parts of the job.
    """
    named = this.wishes.job_ids
    if named:
        return _selected_by_name(this, named)
    expect(this.store.open_numbers(), this.scheduler_named)
    if jobs := this.store.open_jobs():
        return jobs, []
    return [], [result(this.action, this.root, "notneeded", "There are no open jobs")]


def meant(this: Round) -> list[Job]:
    """The same jobs as they are now, for who has asked of them already."""
    named = this.wishes.job_ids
    return _selected_by_name(this, named)[0] if named else this.store.open_jobs()


def _selected_by_name(this: Round, names: Sequence[str]) -> tuple[list[Job], list[Result]]:
    tasks = named_tasks(names)
    found = this.store.jobs_named([*names, *tasks])
    jobs = [job for each in found if each.state.holds_claims for job in _meant(each, names, tasks)]
    known = {name for job in jobs for name in _names_of(job)}
    return jobs, [_missing(this, name, found) for name in names if name not in known]


def named_tasks(names: Sequence[str]) -> dict[str, set[int]]:
    """Indices of tasks that may be meant, by the ids of their jobs."""
    tasks: dict[str, set[int]] = defaultdict(set)
    for name in names:
        job_id, _, index = name.rpartition("_")
        if job_id and index.isdecimal():
            tasks[job_id].add(int(index))
    return tasks


def _meant(job: Job, names: Sequence[str], tasks: Mapping[str, Collection[int]]) -> list[Job]:
    """An open job, or what of a sweep was named and is open."""
    if not job.parts or not all_names(job).isdisjoint(names):
        return [job]
    meant = {name: tasks[name] for name in all_names(job) if name in tasks}
    parts = tuple(
        part
        for part in job.open_parts
        if any(part.index in of_name for of_name in meant.values())
        and not set(part_names(job, part.index)).isdisjoint(names)
    )
    return [replace(job, parts=parts)] * bool(parts)


def _names_of(job: Job) -> list[str]:
    parts = (name for part in job.open_parts for name in part_names(job, part.index))
    return [*all_names(job), *parts]


def _missing(this: Round, name: str, found: Sequence[Job]) -> Result:
    """What to say of a name under which nothing is open."""
    for job in reversed(found):
        if name in all_names(job):
            return _over(this, job)
        for part in job.parts:
            if name in part_names(job, part.index):
                return _part_over(this, job, name, part.state, part.commit)
    return _no_such_job(this, name, found)


def _over(this: Round, job: Job) -> Result:
    given_up = job.state is JobState.CLOSED
    what = f"{'closed without a commit' if given_up else 'never submitted'} ({job.note})"
    if job.parts:
        states = Counter(part.state.value for part in job.parts)
        what = f"of its tasks {', '.join(f'{number} {state}' for state, number in states.items())}"
    elif job.state is JobState.FINISHED:
        what = f"committed as {job.commit[:10]}"
    text = f"Job {job.label} is over already: {what}"
    return job_result(this.action, this.root, "notneeded", text, job, commit=job.commit)


def _part_over(this: Round, job: Job, name: str, state: JobState, commit: str) -> Result:
    finished = state is JobState.FINISHED
    what = f"committed as {commit[:10]}" if finished else "closed without a commit"
    text = f"Job {name} is over already: {what}"
    return result(
        this.action,
        this.root,
        "notneeded",
        text,
        slurm_job_id=name,
        slurm_job_status=state.value.upper(),
        scheduler=job.scheduler,
        commit=commit * finished,
    )


def _no_such_job(this: Round, name: str, found: Sequence[Job]) -> Result:
    way = "`datalad finish --list-open-jobs` lists those that are open"
    text = f"There is no job {name} in this dataset; {way}"
    whole = next((job for job in found if name.startswith(f"{job.label}_")), None)
    if whole:
        text = (
            f"Job {whole.label} has no task {name} that is committed by itself; name the whole "
            f"(`datalad finish {whole.label}`)"
        )
    return result(this.action, this.root, "impossible", text, slurm_job_id=name)
