"""Schedulers are asked to end jobs, and for how far that is."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from datalad_hpc.cancel.targets import Target
from datalad_hpc.errors import HpcError
from datalad_hpc.finish.rounds import Round
from datalad_hpc.interruption import held_off
from datalad_hpc.job import Unit
from datalad_hpc.members import all_ids
from datalad_hpc.polling import Answers, ask
from datalad_hpc.store.wishes import forget_wish, wish_end

PATIENCE = 10.0
"""Seconds to wait for jobs to end; most do so in one or two, and none can be made to."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds between two questions, more each time."""


def asked_to_end(this: Round, targets: Sequence[Target], answers: Answers) -> dict[int, str]:
    """Remember that jobs are to end, and tell their schedulers.

    That is remembered first: were we killed in between, ``finish`` says that it was asked for.

    Returns
    -------
    dict
      Why not, by number of the job's row, where that could not be done.
    """
    of_scheduler: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        of_scheduler[target.job.scheduler].append(target)
    failed: dict[int, str] = {}
    # Ctrl-C waits until the scheduler knows what the store says.
    with held_off():
        wish_end(this.store, _units(targets, answers), tokens_of(targets))
        for name, asked in of_scheduler.items():
            failed |= _tell(this, name, asked, answers)
    return failed


def _tell(this: Round, name: str, targets: Sequence[Target], answers: Answers) -> dict[int, str]:
    wanted = [each for target in targets for each in target.cancellations(answers.of(target.job))]
    try:
        refused = this.scheduler_named(name).cancel(wanted)
    except HpcError as error:
        text = f"it is not certain that {name} was told to end it ({error}); try again later"
        return {target.job.key: text for target in targets}
    denied = {
        target.job.key: f"{name} refuses to end it: {refused[job_id]}"
        for target in targets
        for job_id in all_ids(target.job)
        if job_id in refused
    }
    # It is not ours to end; should somebody else do so, that is for the user to judge.
    units = _units([each for each in targets if each.job.key in denied], answers)
    forget_wish(this.store, units, tokens_of(targets))
    return denied


def tokens_of(targets: Sequence[Target]) -> dict[int, str]:
    """What tells these submissions from later ones of the same jobs, by the jobs' rows."""
    return {target.job.key: target.job.token for target in targets}


def _units(targets: Sequence[Target], answers: Answers) -> list[Unit]:
    return [unit for each in targets for unit in each.units(answers.of(each.job))]


def wait_for_ends(this: Round, targets: Sequence[Target], answers: Answers) -> None:
    """Ask again, and again a little later, until all have ended or that takes too long.

    Parameters
    ----------
    answers:
      What is known; each answer goes there.
    """
    give_up, wait = time.monotonic() + PATIENCE, FIRST_WAIT
    while time.monotonic() < give_up:
        live = [each.job for each in targets if each.live(answers.of(each.job))]
        if not live:
            return
        time.sleep(wait)
        wait = min(1.5 * wait, LONGEST_WAIT)
        # A job without an answer is where it was.
        answers.statuses.update(ask(live, this.scheduler_named, facts=True).statuses)
