"""Jobs that have ended become commits, and are over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from datalad_hpc.beneath import LinkInTheWay, opened
from datalad_hpc.claims import matches, shown
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Layout, Recorded, Recorder
from datalad_hpc.facts import facts_path_of, facts_text
from datalad_hpc.finish.asked_memory import with_asked_memory
from datalad_hpc.finish.deciding import Ready
from datalad_hpc.finish.good_tasks import is_partly_failed, put_back
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Claim, ClaimRole, Job
from datalad_hpc.progress import showing
from datalad_hpc.record import commit_message, state_word
from datalad_hpc.results import Result, attempt_text, job_result
from datalad_hpc.staging.returning import move
from datalad_hpc.status import JobStatus
from datalad_hpc.templates import glob_of
from datalad_hpc.wording import some_of

BATCH_JOBS = 500
BATCH_FILES = 2_000
BATCH_BYTES = 4 * 2**30
"""What ends a batch of jobs, which are hashed and committed together before their results come out.

Each takes some seconds: less would be lost in what a batch costs by itself, and
whoever waits for more sees nothing happen.
"""


def commit_jobs(finish: Round, decided: Iterable[Result | Ready]) -> Iterator[Result]:
    """Commit the outputs of jobs in batches, as they are found to be ready.

    Parameters
    ----------
    decided:
      Jobs that can be committed, and results of all others.

    Yields
    ------
    dict
      The results of others at once, those of jobs after their batch was committed.

    Raises
    ------
    CommitFailed
      Git could not go on; the jobs without a result are still open.
    """
    batch: list[Ready] = []
    for outcome in decided:
        if not isinstance(outcome, Ready):
            yield outcome
            continue
        batch.append(outcome)
        # A merge takes all jobs at once.
        if finish.wishes.layout is not Layout.OCTOPUS and _is_full(batch):
            yield from _commit_batch(finish, batch)
            batch = []
    if batch:
        yield from _commit_batch(finish, batch)


def _is_full(batch: Sequence[Ready]) -> bool:
    return (
        len(batch) >= BATCH_JOBS
        or sum(ready.listing.number for ready in batch) >= BATCH_FILES
        or sum(ready.listing.size for ready in batch) >= BATCH_BYTES
    )


def _commit_batch(finish: Round, batch: Sequence[Ready]) -> Iterator[Result]:
    batch = [replace(each, status=with_asked_memory(each.job, each.status)) for each in batch]
    refused = {ready.job.unit: _write_facts(finish, ready) for ready in batch}
    for ready in batch:
        if problem := refused[ready.job.unit]:
            yield _outcome_result(finish, ready, Recorded(ready.job.unit, problem=problem))
    batch = [ready for ready in batch if not refused[ready.job.unit]]
    if not batch:
        return
    names = _names_of_earlier(finish, batch)
    works = [_work(finish, ready, names) for ready in batch]
    ended = {ready.job.unit: ready.status.tasks for ready in batch}
    left_out = {ready.job.unit: ready.left.tasks for ready in batch}
    facts = {ready.job.unit: ready.status.facts for ready in batch}
    plan = partial(finish.store.plan_commits, ended=ended, left_out=left_out, facts=facts)
    with showing("Hashing outputs", " Files", sum(ready.listing.number for ready in batch)) as step:
        recorder = Recorder(finish.root, finish.wishes.layout, finish.wishes.jobs, step)
        recorded = recorder.record(works, plan)
    finish.written.update(recorder.written)
    said = {
        outcome.key: put_back(finish.root, ready.job, ready.left)
        for ready, outcome in zip(batch, recorded, strict=True)
        if outcome.commit
    }
    finish.store.finished(said)
    for ready, outcome in zip(batch, recorded, strict=True):
        if outcome.commit and (text := said[outcome.key]):
            outcome = replace(outcome, notes=(*outcome.notes, text))
        yield _outcome_result(finish, ready, outcome)


def _write_facts(finish: Round, ready: Ready) -> str:
    """Put a job's facts beside its logs; gives the reason why that cannot be.

    The record of a sweep's task has it all.
    """
    job, status = ready.job, ready.status
    if job.is_part:
        return ""
    with_identity = finish.style.with_identity
    text = facts_text(job, status, str(finish.root), with_identity=with_identity)
    folder, name = os.path.split(facts_path_of(job))
    scratch = finish.workplace.scratch_dir
    half = scratch / name
    try:
        half.write_bytes(os.fsencode(text))
        with opened(scratch) as source, opened(finish.root, folder, make=True) as target:
            move(name, source, target, scratch)
    except LinkInTheWay as error:
        return f"{error} and is not followed; put that right and run `datalad finish` again"
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        return (
            f"{facts_path_of(job)} cannot be written: {error.strerror}; put that right and run "
            "`datalad finish` again"
        )
    path = finish.root / folder / name
    ready.listing.enter(ready.locator.place(facts_path_of(job)), os.lstat(path))
    return ""


def _names_of_earlier(finish: Round, batch: Sequence[Ready]) -> dict[int, str]:
    """Ids of the jobs that some others have waited for, by their rows."""
    rows = {row for ready in batch for row in ready.job.depends_on}
    return {job.key: job.label for job in finish.store.jobs_of(rows)}


def _work(finish: Round, ready: Ready, names: Mapping[int, str]) -> Work:
    job = ready.job

    def message(files: Sequence[str]) -> str:
        return commit_message(
            finish.versions.told_with(job),
            ready.status,
            finish.style,
            outputs=_recorded_outputs(job, files),
            facts_path=facts_path_of(job),
            finish_message=finish.wishes.message,
            left_out=ready.left.tasks,
            waited_for=[names[row] for row in job.depends_on if row in names],
        )

    return Work(job.unit, job.label, job.claims, message, ready.listing)


def _recorded_outputs(job: Job, files: Sequence[str]) -> Sequence[str]:
    """Outputs as declared; if wished, the files that came of them in the place of globs.

    Those of tasks are globs in any case: their templates stand in the record.
    """
    of_tasks = map(glob_of, job.request.task_outputs)
    whole = [claim for claim in job.claims if claim.task is None]
    logs = [claim for claim in whole if claim.role is ClaimRole.LOG]
    declared = [claim for claim in whole if claim.role is ClaimRole.OUTPUT]
    if job.request.expand in ("outputs", "both"):
        found = [path for path in files if _is_of(declared, path) and not _is_of(logs, path)]
        # A name that is not UTF-8 can stand in no record; what was declared covers it.
        if _is_utf8("".join(found)):
            return [*found, *of_tasks]
    return [*map(shown, declared), *of_tasks]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_of(claims: Sequence[Claim], path: str) -> bool:
    return any(matches(claim, path) for claim in claims)


def _outcome_result(finish: Round, ready: Ready, outcome: Recorded) -> Result:
    job, status = ready.job, ready.status
    if outcome.problem:
        text = f"Job {job.label} stays open: {outcome.problem}"
        return job_result(ACTION, finish.root, "error", text, job, status)
    said = (*outcome.notes, *_about_tasks(finish, ready, status, outcome.commit[:10]))
    number = f"{len(outcome.files)} file{'s' * (len(outcome.files) != 1)}"
    text = f"Job {job.label}: {state_word(status)}, committed as {outcome.commit[:10]} ({number})"
    text += attempt_text(job)
    text += "".join(f"; {note}" for note in said)
    return job_result(
        ACTION,
        finish.root,
        "ok",
        text,
        job,
        status,
        commit=outcome.commit,
        files=list(outcome.files),
    )


def _about_tasks(finish: Round, ready: Ready, status: JobStatus, commit: str) -> Iterator[str]:
    """What else there is to say where outputs are missing, or some tasks of an array had failed."""
    if missing := dict.fromkeys(path for task in status.tasks for path in task.missing):
        yield f"it did not produce {some_of(list(missing))}"
    if not is_partly_failed(ready.job, status):
        return
    if finish.wishes.commit_good and not ready.job.request.task_outputs:
        yield "no output has {task} in its name, so that it holds those of the failed tasks too"
    yield f"`datalad reschedule --failed-tasks {commit}` runs the failed tasks again"
