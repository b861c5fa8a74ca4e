"""The story of ``hpc-log --follow``: what is there, what is added, and how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from datalad_hpc.errors import BadRequest
from datalad_hpc.following.meant import ACTION, Look, meant
from datalad_hpc.following.shelf import Entry, Found, Shelf, shelf_of, wanted_streams
from datalad_hpc.following.showing import notes_on, show
from datalad_hpc.following.states import States, described
from datalad_hpc.following.tail import Tail
from datalad_hpc.following.telling import end_result, log_result, no_log, piece_result
from datalad_hpc.results import Result, file_system_says, result

MOST_FOLLOWED = 50
"""Logs that can be followed at a time."""

LOOKS = (0.1, 1.0)
"""Seconds between two looks at a log: at first, and at most while nothing is added."""

QUESTIONS = (1.0, 30.0)
"""Seconds between two questions to the scheduler: at first, and at most."""

GROWTH = 1.5
"""By what both intervals grow."""

QUIET = 0.3
"""Seconds without anything new after which the log of a task that has ended is complete."""

LATE = 3.0
"""Seconds that a log may take to be seen here after its task has ended elsewhere."""

LINES_OF_MANY = 10
"""Lines of each of several logs that are shown first."""


@dataclass
class Followed:
    """A log that is followed."""

    entry: Entry
    tail: Tail
    told: int = 0
    """How often it was said that the file begins again."""
    ended: float = 0.0
    """When its task was found to be over."""
    grew: float = 0.0
    """When something was added."""
    is_done: bool = False

    def is_over(self) -> bool:
        """Whether its task is over, and nothing more is to be expected."""
        if not self.ended:
            return False
        patience = QUIET if self.tail.path else LATE
        return time.monotonic() - max(self.ended, self.grew) > patience


@dataclass
class Pace:
    """An interval that grows."""

    first: float
    most: float
    interval: float = field(init=False)

    def __post_init__(self) -> None:
        self.interval = self.first

    def step(self) -> float:
        """The present interval; the next one is longer."""
        now = self.interval
        self.interval = min(self.most, now * GROWTH)
        return now

    def again(self) -> None:
        """Begin with the shortest."""
        self.interval = self.first


def follow(look: Look) -> Iterator[Result]:
    """Show logs and what is added to them until their tasks have ended.

    Yields
    ------
    dict
      Pieces of logs with ``content``, and one result per log about the end of its task.

    Raises
    ------
    BadRequest
      There are too many.
    """
    named, problems = meant(look)
    yield from problems
    tasks = [task for each in named for task in each]
    states = States(look)
    states.ask(tasks, facts=False)
    for error in states.answers.failures:
        text = f"{str(error).rstrip('.')}. What is written is shown all the same"
        yield result(ACTION, look.root, "ok", text)
    with shelf_of(look) as shelf:
        entries = shelf.entries(tasks, wanted_streams(look))
        live = [entry for entry in entries if _is_live(states, entry)]
        _refuse_unfit(live)
        followed = [_followed(look, states, entry, len(live)) for entry in live]
        for each in followed:
            yield from _beginning(look, shelf, states, each)
    if not live and named:
        yield from show(look)
    with contextlib.ExitStack() as files:
        for each in followed:
            files.callback(each.tail.close)
        yield from _to_the_end(look, states, followed)


def _is_live(states: States, entry: Entry) -> bool:
    return any(states.is_live(task) for task in entry.tasks)


def _refuse_unfit(live: Sequence[Entry]) -> None:
    for entry in live:
        if entry.is_mixed and entry.log:
            raise BadRequest(
                f"which task of job {entry.task.job_id} writes which of {entry.log.file.path} "
                f"cannot be told; follow one by its name (`tail -F FILE`)"
            )
    if len(live) > MOST_FOLLOWED:
        raise BadRequest(
            f"{len(live):,} logs cannot be followed at a time; name up to {MOST_FOLLOWED} tasks "
            f"(`datalad hpc-log -f {live[0].label}`)"
        )


def _followed(look: Look, states: States, entry: Entry, number: int) -> Followed:
    def find() -> str | None:
        path = next(iter(entry.log.paths()), "") if entry.log else ""
        if not path or Found(path).is_left_over(entry.task, states.of(entry.task)):
            return None
        return path

    # Of many logs, as tail does.
    lines = LINES_OF_MANY if number > 1 and look.lines is None else look.lines
    return Followed(entry, Tail(find, lines, look.most))


def _beginning(look: Look, shelf: Shelf, states: States, each: Followed) -> Iterator[Result]:
    """What is to be known before anything comes."""
    entry = each.entry
    yield from notes_on(look, shelf, entry)
    (found, *_) = shelf.found(entry)
    if entry.log is None:
        each.is_done = True
        yield no_log(look, states, entry, found)
    elif found.problem or found.is_left_over(entry.task, states.of(entry.task)):
        text = f"Job {entry.label} has no log yet: {_standing(states, entry)}; waiting for it"
        yield log_result(look, entry, "ok", text, found)


def _standing(states: States, entry: Entry) -> str:
    status = states.of(entry.task)
    return described(status) if status else "nothing is known of it yet"


def _to_the_end(look: Look, states: States, followed: Sequence[Followed]) -> Iterator[Result]:
    looks, questions = Pace(*LOOKS), Pace(*QUESTIONS)
    ask_at = time.monotonic() + questions.step()
    last: Followed | None = None
    while left := [each for each in followed if not each.is_done]:
        for each in left:
            for piece in _new(look, each, heading=len(followed) > 1 and each is not last):
                last = each if "content" in piece else last
                looks.again()
                yield piece
                if piece.get("unread"):
                    return
            if each.is_over():
                each.is_done = True
                yield from _end(look, states, each)
        if time.monotonic() >= ask_at:
            _ask(states, left)
            ask_at = time.monotonic() + questions.step()
        if not any(each.ended for each in left):
            time.sleep(looks.step())
        else:
            time.sleep(LOOKS[0])


def _ask(states: States, left: Sequence[Followed]) -> None:
    """Ask the schedulers whether tasks are over; who does not answer is asked again later."""
    tasks = [task for each in left for task in each.entry.tasks]
    states.ask(tasks, facts=False)
    for each in left:
        if not each.ended and not _is_live(states, each.entry):
            each.ended = time.monotonic()


def _new(look: Look, each: Followed, *, heading: bool) -> Iterator[Result]:
    """What was added to a log."""
    entry, tail = each.entry, each.tail
    try:
        for number, block in enumerate(tail.read()):
            yield from _notes(look, each)
            found = Found(tail.path, tail.path)
            yield piece_result(look, entry, found, block, heading=heading and not number)
            each.grew = time.monotonic()
        yield from _notes(look, each)
    except OSError as error:
        each.is_done = True
        yield log_result(look, entry, "error", f"Job {entry.label}: {file_system_says(error)}")


def _notes(look: Look, each: Followed) -> Iterator[Result]:
    """What is to be known of the file before what comes next."""
    if each.tail.begun_again > each.told:
        each.told = each.tail.begun_again
        text = f"The log of job {each.entry.label} begins again: it was cut short or replaced"
        yield log_result(look, each.entry, "ok", text, Found(each.tail.path, each.tail.path))


def _end(look: Look, states: States, each: Followed) -> Iterator[Result]:
    """How a task ended whose log was followed."""
    entry = each.entry
    # With the time that it took.
    before = {task: states.of(task) for task in entry.tasks}
    fresh = States(look)
    fresh.ask(entry.tasks, facts=True)
    if any(fresh.is_live(task) and before[task] for task in entry.tasks):
        fresh = states
    if each.tail.path:
        yield end_result(look, fresh, entry, Found(each.tail.path, each.tail.path))
    else:
        path = entry.log.file.path if entry.log else ""
        found = Found(path, path, problem=f"{path} does not exist")
        yield no_log(look, fresh, entry, found)
