"""Jobs that are given up: what was made ready for them is put back, and they hold nothing more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datalad_hpc.claims import ClaimedPaths
from datalad_hpc.commit.restoring import restore
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.job import Claim, ClaimKind, Job
from datalad_hpc.results import Result, job_result
from datalad_hpc.status import JobStatus, Phase
from datalad_hpc.wording import some_of


@dataclass(frozen=True)
class Closing:
    """A job, or a part of a sweep, that is to be given up."""

    job: Job
    answer: JobStatus | None
    problem: str
    """Why, in a sentence."""


def close(finish: Round, closings: Sequence[Closing]) -> list[Result]:
    """Give up a job, or parts of one sweep, all at once."""
    changed = _restored(finish, [each for each in closings if not each.job.request.alternative])
    finish.store.all_closed(
        [(each.job, each.answer.tasks if each.answer else (), each.problem) for each in closings],
        {each.job.key: each.answer.facts for each in closings if each.answer},
    )
    return [_closed(finish, each, changed.get(number, ())) for number, each in enumerate(closings)]


def _restored(finish: Round, closings: Sequence[Closing]) -> Mapping[int, Sequence[str]]:
    """Put back what was not changed; gives the other files, by the place of who changed them."""
    if not closings:
        return {}
    claims = [(claim, str(at)) for at, each in enumerate(closings) for claim in each.job.claims]
    changed = restore(finish.root, tuple(claim for claim, _ in claims), closings[0].job.token)
    whose = ClaimedPaths(claims if changed else ())
    found: dict[int, list[str]] = defaultdict(list)
    for path in changed:
        found[int(whose.holder(Claim(path, ClaimKind.FILE)) or 0)].append(path)
    return found


def _closed(finish: Round, closing: Closing, changed: Sequence[str]) -> Result:
    job, answer = closing.job, closing.answer
    left = f"; it had changed these, which were left so: {some_of(changed)}" if changed else ""
    if job.request.alternative and not (answer and answer.phase is Phase.COMPLETED):
        left = f"; what it left stays in {job.request.alternative}"
    text = f"{closing.problem}; closed without a commit{left}"
    return job_result(ACTION, finish.root, "ok", text, job, answer)
