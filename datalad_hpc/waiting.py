"""The story of ``finish --wait``: rounds of finish, until no job may run any more."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from datalad_hpc.commit.recording import Layout
from datalad_hpc.durations import in_words
from datalad_hpc.errors import BadRequest, HpcError, SaveLockHeld
from datalad_hpc.finish.notifying import Ending, Notice, notify
from datalad_hpc.finish.rounds import ACTION, Round
from datalad_hpc.finish.selecting import meant, selected
from datalad_hpc.finish.watching import (
    ends_of,
    has_failed,
    is_live,
    live_tasks,
    states_text,
    tasks_of,
)
from datalad_hpc.finishing import Look, asked, begin, finish_seen, look_after, still_live
from datalad_hpc.interruption import Interruption
from datalad_hpc.job import Job
from datalad_hpc.polling import Answers
from datalad_hpc.progress import Following, following
from datalad_hpc.results import Result, message_text, result
from datalad_hpc.status import Phase
from datalad_hpc.workplace import Workplace

lgr = logging.getLogger("datalad.hpc.waiting")

GROWTH = 1.5
"""Each pause is so many times as long as the one before, as long as nothing changes."""

TICK = 1.0
"""Seconds between two times that the bar is drawn."""

TIME_OVER = 124
"""Exit code where jobs may still run when the time is over: that of timeout(1)."""

INTERVAL = "datalad.hpc.poll-interval"


@dataclass(frozen=True)
class Patience:
    """How often is asked, and for how long; in seconds."""

    first: float
    """The pause before the second question, and after each change."""
    longest: float
    timeout: float | None = None
    """``None`` for as long as it takes."""

    @classmethod
    def configured(cls, workplace: Workplace, timeout: float | None) -> Patience:
        """With the intervals of the user's configuration.

        Raises
        ------
        BadRequest
          They are no such numbers.
        """
        text = workplace.setting(INTERVAL)
        try:
            numbers = [float(word) for word in text.split()]
            first, longest = numbers[0], numbers[-1]
            if len(numbers) > 2 or not 0 < first <= longest < float("inf"):
                raise ValueError
        except (ValueError, IndexError):
            raise BadRequest(
                f"the setting {INTERVAL} is {text!r}; it is one number of seconds or two, the "
                "first pause and the longest, such as '2 60'"
            ) from None
        return cls(first, longest, timeout)


def finish_and_wait(this: Round, patience: Patience) -> Iterator[Result]:
    """Commit jobs as they end, until none may run any more or the time is over.

    Without ids it is about all jobs that are open at the time of each round. The save lock is
    held only where something has ended.

    Yields
    ------
    dict
      What was committed or has failed, as it happens, and at the end what is to be said of all
      others.

    Raises
    ------
    HpcError
      It could not go on; all jobs without a result are as before.
    """
    begin(this)
    waiting = _Waiting(this, patience)
    try:
        yield from waiting.rounds()
    except Interruption as stop:
        stop.done = waiting.summary()
        raise
    except (HpcError, OSError) as error:
        waiting.notify(Ending.ERROR, str(error))
        raise
    yield from look_after(this)
    waiting.notify(waiting.ending)


@dataclass
class _Waiting:
    """What is known from one round to the next."""

    this: Round
    patience: Patience
    begun: float = field(default_factory=time.monotonic)
    notice: Notice = field(default_factory=Notice)
    tasks: dict[int, int] = field(default_factory=dict)
    """How many tasks each job has that was met, by its row."""
    live: list[Job] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    """Ids, by their rows, of jobs that are not asked for any more: all was said of them."""
    failed_states: Counter[str] = field(default_factory=Counter)
    """Of their tasks."""
    states: Counter[str] = field(default_factory=Counter)
    """How many tasks of open jobs are in which state, but for those that have succeeded."""
    tried: set[Hashable] = field(default_factory=set)
    """Ends that a round has dealt with."""
    said: set[tuple[str, str]] = field(default_factory=set)
    """Jobs and what was said of them."""
    kept: dict[str, Result] = field(default_factory=dict)
    """What is to be said at the end, by job, unless there is something better by then."""
    failed_once: set[str] = field(default_factory=set)
    again: bool = False
    """Whether a job is to be tried again that could not be committed."""
    unreachable: bool = False

    @property
    def time_is_over(self) -> bool:
        timeout = self.patience.timeout
        return timeout is not None and time.monotonic() - self.begun >= timeout

    @property
    def ending(self) -> Ending:
        if self.live:
            return Ending.TIMEOUT
        return Ending.FAILED if self.notice.failed or self.notice.live else Ending.DONE

    def rounds(self) -> Iterator[Result]:
        jobs, others = selected(self.this)
        for other in others:
            self.notice.add(other)
            yield other
        pause = self.patience.first
        with following("Following jobs", " Tasks") as shown:
            while True:
                seen = self._look(jobs)
                changed = self._show(shown, seen)
                # Before the round: afterwards nothing must happen that nobody has dealt with.
                last = self.time_is_over
                yield from self._round(seen, is_last=last or not self.live)
                if last or not (self.live or self.again):
                    break
                pause = self.patience.first if changed else pause * GROWTH
                pause = min(pause, self.patience.longest)
                self._sleep(pause, shown)
                jobs = meant(self.this)
        yield from self._rest(seen)

    def _look(self, jobs: Sequence[Job]) -> Look:
        jobs = [job for job in jobs if self.failed.get(job.key) != job.label]
        seen = Look(jobs, asked(self.this, jobs))
        self._tell_of_outage(seen.answers)
        here = self._here(jobs)
        self.live = [job for job in here if is_live(job, seen.answers)]
        for job in here:
            self.tasks[job.key] = max(self.tasks.get(job.key, 0), len(tasks_of(job, seen.answers)))
        tasks = (task for job in here for task in tasks_of(job, seen.answers))
        self.states = self.failed_states + Counter(
            task.state for task in tasks if task.phase is not Phase.COMPLETED
        )
        return seen

    def _here(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this worktree: others are finished there."""
        return [job for job in jobs if job.worktree == self.this.workplace.worktree]

    def _tell_of_outage(self, answers: Answers) -> None:
        """Once for each outage: it ends by itself, or the user knows better."""
        failed = bool(answers.failures)
        if failed and not self.unreachable:
            lgr.warning("%s. It is asked again", str(answers.failures[0]).rstrip("."))
        elif self.unreachable and not failed:
            lgr.info("The scheduler answers again")
        self.unreachable = failed

    def _show(self, shown: Following, seen: Look) -> bool:
        """Show how far the jobs are; gives whether something has changed."""
        total = sum(self.tasks.values())
        over = total - self._live_tasks(seen.answers)
        return shown.tell(over, total, states_text(self.states)) if total else False

    def _live_tasks(self, answers: Answers) -> int:
        return sum(len(live_tasks(job, answers)) for job in self.live)

    def _round(self, seen: Look, *, is_last: bool) -> Iterator[Result]:
        """Deal with what has ended, if there is anything new."""
        ends = {job.key: set(ends_of(self.this, job, seen.answers)) for job in seen.jobs}
        new = set().union(*ends.values()) - self.tried
        # One merge is to take all jobs.
        is_early = self.this.wishes.layout is Layout.OCTOPUS and not is_last
        if is_early or not (new or self.again):
            return
        ended = [job for job in seen.jobs if ends[job.key]]
        self.kept.clear()
        self.again = False
        try:
            for outcome in finish_seen(self.this, replace(seen, jobs=ended)):
                yield from self._sorted_out(outcome)
        except SaveLockHeld as error:
            lgr.warning("%s", error)
            self.again = True
        else:
            self.tried |= new
            self._let_failed_be(ended, seen.answers)

    def _let_failed_be(self, jobs: Sequence[Job], answers: Answers) -> None:
        """Nothing becomes of jobs that failed unless somebody wants it, and they may be many."""
        wishes = self.this.wishes
        if wishes.close_failed or wishes.commit_failed or wishes.commit_good:
            return
        for job in jobs:
            if has_failed(job, answers):
                self.failed[job.key] = job.label
                self.failed_states.update(task.state for task in tasks_of(job, answers))

    def _sorted_out(self, outcome: Result) -> Iterator[Result]:
        """An outcome, if it is not to be said later or was not said before."""
        name, text = outcome.get("slurm_job_id", ""), message_text(outcome)
        if outcome.get("live") or (name, text) in self.said:
            return
        is_first = outcome["status"] == "error" and name not in self.failed_once
        if is_first:
            # Outputs may come late over a network; it is tried again.
            self.failed_once.add(name)
            self.again = True
        if is_first or outcome.get("held"):
            self.kept[name] = outcome
            return
        self.said.add((name, text))
        self.notice.add(outcome)
        yield outcome

    def _sleep(self, seconds: float, shown: Following) -> None:
        # In a file or a pipe results would stay unseen until there are many more, or for hours.
        sys.stdout.flush()
        end = time.monotonic() + seconds
        if self.patience.timeout is not None:
            end = min(end, self.begun + self.patience.timeout)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, TICK))
            shown.refresh()

    def _rest(self, seen: Look) -> Iterator[Result]:
        """What was kept for the end, and the jobs that may still run."""
        for outcome in self.kept.values():
            self.notice.add(outcome)
            yield outcome
        # Also of those that wait in vain, for which nobody has waited.
        left = [job for job in self._here(seen.jobs) if live_tasks(job, seen.answers)]
        for outcome in still_live(self.this, replace(seen, jobs=left)):
            self.notice.add(outcome)
            yield outcome
        if self.live:
            text = (
                f"The time of {in_words(self.patience.timeout or 0)} is over: {self.summary()}; "
                "run `datalad finish --wait` again to go on"
            )
            yield result(ACTION, self.this.root, "impossible", text, exit_code=TIME_OVER)

    def summary(self) -> str:
        """What was done and what is left, for people."""
        number = len(self.notice.committed)
        text = f"{number} commit{'s were' if number != 1 else ' was'} made"
        if closed := len(self.notice.closed):
            text += f", {closed} job{'s were' if closed != 1 else ' was'} given up"
        if not self.tasks:
            return text
        if not self.live:
            return f"{text}, no job may still run"
        return f"{text}, {len(self.live)} job{'s' * (len(self.live) > 1)} may still run"

    def notify(self, ending: Ending, trouble: str = "") -> None:
        summary = f"{self.summary()}. {trouble}" if trouble else self.summary()
        notify(self.this.workplace, self.notice, ending, summary, time.monotonic() - self.begun)
