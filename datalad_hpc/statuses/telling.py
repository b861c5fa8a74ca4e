"""The story itself: which jobs there are, one question to each scheduler, a result for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from datalad_hpc.errors import HpcError
from datalad_hpc.finish.chain_order import give_reasons
from datalad_hpc.job import Job
from datalad_hpc.members import attempts_at
from datalad_hpc.outlook import UNKNOWN, Chance, Outlook
from datalad_hpc.polling import Answers, ask, is_forgotten, unknown_text
from datalad_hpc.results import Result, error_result, explain, job_result, result
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.scheduling import settle
from datalad_hpc.status import JobStatus
from datalad_hpc.statuses.choosing import Chosen, Wanted, choose
from datalad_hpc.statuses.views import View
from datalad_hpc.store import Store
from datalad_hpc.store.history import ends_of
from datalad_hpc.store.rows import now
from datalad_hpc.workplace import Workplace

ACTION = "hpc-status"

IN_VAIN = "waits for a job that did not end as it was to"

CANCEL = "`datalad hpc-cancel {job}` ends it"


@dataclass(frozen=True)
class Look:
    """All that is needed to look at jobs."""

    workplace: Workplace
    store: Store
    scheduler_named: Callable[[str], Scheduler]

    @property
    def root(self) -> Any:
        """The dataset's root."""
        return self.workplace.root


def tell(look: Look, wanted: Wanted) -> Iterator[Result]:
    """Say of each job where it stands; nothing is changed but what was interrupted.

    Yields
    ------
    dict
      One result per job.

    Raises
    ------
    HpcError
      Nothing can be told.
    """
    settle(look.workplace, look.store, look.scheduler_named)
    chosen, missing = choose(look.store, wanted)
    yield from (_no_such_job(look, name) for name in missing)
    if not chosen and not missing:
        yield result(ACTION, look.root, "notneeded", _nothing(wanted))
    views, answers, told = _looked_at(look, chosen)
    yield from (error_result(ACTION, look.root, error) for error in answers.failures)
    for view in views:
        yield _told(look, view, answers, told.get(view.job.key, ""))


def _looked_at(
    look: Look, chosen: Sequence[Chosen]
) -> tuple[list[View], Answers, Mapping[int, str]]:
    """The jobs with all that is known of them, and what their chains mean for them."""
    jobs = list({each.job.key: each.job for each in chosen}.values())
    in_question = [job for job in jobs if job.state.holds_claims]
    rows = {row for job in in_question for row in job.depends_on} - {job.key for job in jobs}
    earlier = [*look.store.jobs_of(rows)] if rows else []
    answers = ask([*in_question, *earlier], look.scheduler_named, facts=True, watched=True)
    told = give_reasons(in_question, [*earlier, *jobs], answers)
    kept = ends_of(look.store, [job.key for job in jobs if _has_past(job)])
    moment = now()
    return [_view(look, each, answers, kept, told, moment) for each in chosen], answers, told


def _has_past(job: Job) -> bool:
    return not job.state.holds_claims or len(job.open_parts) < len(job.parts)


def _view(
    look: Look,
    chosen: Chosen,
    answers: Answers,
    kept: Mapping[int, JobStatus],
    told: Mapping[int, str],
    moment: datetime,
) -> View:
    job = chosen.job
    return View(
        chosen,
        answers.of(job),
        kept.get(job.key),
        moment,
        _outlooks(look, job, told.get(job.key, "")),
        is_forgotten(job, answers),
    )


def _outlooks(look: Look, job: Job, chain: str) -> Callable[[str], Outlook]:
    """What reasons mean for a job; ``chain`` is what its chain means for it."""

    def outlook_of(reason: str) -> Outlook:
        if chain and chain in reason:
            return Outlook(Chance.NEVER, IN_VAIN, CANCEL)
        # One that is not installed here any more is told of elsewhere.
        with contextlib.suppress(HpcError):
            return look.scheduler_named(job.scheduler).outlook(reason)
        return UNKNOWN

    return outlook_of


def _told(look: Look, view: View, answers: Answers, chain: str) -> Result:
    job, answer = view.job, view.open_answer
    if view.is_over:
        text = f"{view.standing.value}{f' ({job.note})' if job.note else ''}"
    elif answer and answer.tasks:
        text = explain(answer)
    else:
        text = unknown_text(job, answers)
    found = job_result(ACTION, look.root, "ok", text, job, answer, **_fields(view, chain))
    if view.is_forgotten:
        found["advice"] = unknown_text(job, answers)
    return found


def _fields(view: View, chain: str) -> dict[str, Any]:
    """All that there is to tell of a job, as data; what is not known is left out."""
    job, facts, outlook = view.job, view.facts, view.outlook
    told = {
        "name": facts.get("name") or job.request.resources.get("job-name"),
        "command": job.request.command,
        "partition": facts.get("partition"),
        "elapsed": view.elapsed,
        "time_limit": facts.get("time_limit"),
        "created": _iso(job.created),
        "submitted": _iso(view.attempted.submitted),
        "cancelled": _iso(job.cancelled),
        **_times(view),
        "reason": view.waits.reason if view.waits else None,
        "outlook": outlook.chance.value if outlook else None,
        "why": outlook.why if outlook else None,
        "advice": outlook.advice.format(job=view.label) if outlook else None,
        "failure_text": view.failure,
        # In part nothing of what a program has submitted can.
        "retry": not job.request.submits if view.failure else None,
        "chain_note": "" if view.is_over else chain,
        "slurm_job_status": view.standing.value.upper() if view.is_over else None,
        "note": job.note,
        "commit": view.commits[0] if len(view.commits) == 1 else None,
        "commits": view.commits if len(view.commits) > 1 else None,
    }
    return {
        "slurm_job_id": view.label,
        "state": view.standing.value,
        "failed": view.has_failed,
        "open_job": job.state.holds_claims,
        "task_counts": view.counts,
        "nodes": view.nodes,
        "outputs": view.outputs,
        **view.failures,
        **({"can_start": outlook.can_start} if outlook else {}),
        **_of_tasks(view),
        **{name: value for name, value in told.items() if value not in (None, "")},
    }


def _of_tasks(view: View) -> dict[str, Any]:
    """What holds for the tasks that are meant, where it is not all of the job."""
    job, tasks = view.job, view.chosen.tasks
    if tasks is None:
        return {}
    attempt = max(len(attempts_at(job, index)) for _, index in tasks) + 1
    # Tasks of a sweep are committed by themselves.
    return {"attempt": attempt, **({} if job.parts else {"task_of": job.label})}


def _times(view: View) -> dict[str, str | None]:
    tasks = (*view.live_or_ended, *view.over)
    ends = [task.ended for task in tasks if task.ended]
    # Slurm has an earliest time also for what somebody has to let go first.
    held = view.outlook is not None and view.outlook.can_start is False
    expected = [task.expected for task in tasks if task.expected and not held]
    return {
        "started": _iso(min((task.started for task in tasks if task.started), default=None)),
        "ended": _iso(max(ends)) if ends and len(ends) == len(tasks) else None,
        "expected_start": _iso(min(expected, default=None)),
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _nothing(wanted: Wanted) -> str:
    which = "of these jobs none was" if wanted.names else "no job was" if wanted.everything else ""
    if wanted.since:
        what = which or "no open job was"
        return f"{what[0].upper()}{what[1:]} submitted since {wanted.since:%Y-%m-%d %H:%M} UTC"
    return "There are no jobs yet" if wanted.everything else "There are no open jobs"


def _no_such_job(look: Look, name: str) -> Result:
    text = (
        f"There is no job {name} in this dataset; `datalad hpc-status` lists those that are open, "
        "and with --all those that are over as well"
    )
    return result(ACTION, look.root, "impossible", text, slurm_job_id=name)
