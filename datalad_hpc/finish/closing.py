"""Jobs that are given up: what was made ready for them is put back, and they hold nothing more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datalad_hpc.claims import ClaimedPaths
from datalad_hpc.commit.restoring import restore
from datalad_hpc.errors import HpcError, NotPutBack
from datalad_hpc.finish.cancelled import is_wished
from datalad_hpc.finish.rounds import Round
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job
from datalad_hpc.results import Result, explain, file_system_says, job_result
from datalad_hpc.status import JobStatus, Phase
from datalad_hpc.wording import some_of


@dataclass(frozen=True)
class Closing:
    """A job, or a part of a sweep, that is to be given up."""

    job: Job
    answer: JobStatus | None
    problem: str
    """Why, in a sentence."""


def closing_as_wished(job: Job, status: JobStatus) -> Closing:
    """That of a job, or a part, which has ended since the user cancelled it."""
    return Closing(job, status, f"Job {job.label} was cancelled by the user: {explain(status)}")


def close(finish: Round, closings: Sequence[Closing]) -> list[Result]:
    """Give up a job, or parts of one sweep, all at once; what cannot be put back stays open."""
    try:
        changed = give_up(finish, closings)
    except NotPutBack as error:
        return [_kept(finish, each, error) for each in closings]
    return [_closed(finish, each, changed.get(number, ())) for number, each in enumerate(closings)]


def give_up(finish: Round, closings: Sequence[Closing]) -> Mapping[int, Sequence[str]]:
    """The same without results.

    Returns
    -------
    Mapping
      Files that were changed and are left so, by the place of who changed them. Of what the user
      cancelled these are all that were written, but for logs.

    Raises
    ------
    NotPutBack
      Something cannot be put back; all are open as before.
    """
    here = [each for each in closings if not each.job.request.alternative]
    try:
        changed = _restored(finish, here)
    except (HpcError, OSError) as error:
        said = file_system_says(error) if isinstance(error, OSError) else str(error)
        raise NotPutBack(said) from error
    finish.store.all_closed(
        [(each.job, each.answer.tasks if each.answer else (), each.problem) for each in closings],
        {each.job.unit: each.answer.facts for each in closings if each.answer},
    )
    return changed


def _restored(finish: Round, closings: Sequence[Closing]) -> Mapping[int, Sequence[str]]:
    """Put back what was not changed; gives the other files, by the place of who changed them."""
    if not closings:
        return {}
    first = closings[0].job
    claims = [(claim, str(at)) for at, each in enumerate(closings) for claim in each.job.claims]
    since = first.created if is_wished(first) else None
    changed = restore(finish.root, tuple(claim for claim, _ in claims), first.token, since)
    whose = ClaimedPaths(each for each in claims if each[0].role is ClaimRole.OUTPUT)
    found: dict[int, list[str]] = defaultdict(list)
    for path in changed:
        if holder := whose.holder(Claim(path, ClaimKind.FILE)):
            found[int(holder)].append(path)
    return found


def _kept(finish: Round, closing: Closing, error: NotPutBack) -> Result:
    text = (
        f"{closing.problem}. Job {closing.job.label} stays open, since its outputs cannot be put "
        f"back: {error}"
    )
    return job_result(finish.action, finish.root, "error", text, closing.job, closing.answer)


def _closed(finish: Round, closing: Closing, changed: Sequence[str]) -> Result:
    job, answer = closing.job, closing.answer
    text = f"{closing.problem}; closed without a commit{what_is_left(job, answer, changed)}"
    return job_result(finish.action, finish.root, "ok", text, job, answer)


def what_is_left(job: Job, answer: JobStatus | None, changed: Sequence[str]) -> str:
    """What became of the outputs of a job that was given up, as the end of a sentence."""
    if job.request.alternative and not (answer and answer.phase is Phase.COMPLETED):
        return f"; what it left stays in {job.request.alternative}"
    if not changed:
        return ""
    return f"; it had changed these, which were left so: {some_of(changed)}"
