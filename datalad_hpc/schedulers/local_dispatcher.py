"""The program that runs the queued jobs of a spool, detached from all shells.

One dispatcher serves a spool. It holds the spool's dispatcher lock for as
long as it lives, and ends when the queue is empty. Should it be killed, the
next one goes on: what was started is never started again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from datalad_hpc.errors import HpcError, ProgramMissing
from datalad_hpc.failures import NOT_STARTED
from datalad_hpc.schedulers.local_dependencies import Dependencies, Verdict
from datalad_hpc.schedulers.local_ending import Ending, cancelled, end_unseen
from datalad_hpc.schedulers.local_job import ENDED_WELL, Event, Progress, Wish
from datalad_hpc.schedulers.local_memory import own_memory, peak_memory
from datalad_hpc.schedulers.local_open_job import OpenJob, Running
from datalad_hpc.schedulers.local_spool import Spool, now
from datalad_hpc.schedulers.local_tasks import LogError, Task, alive, birth, start
from datalad_hpc.status import NEVER

lgr = logging.getLogger("datalad.hpc.local")

POLL = 0.05
"""Seconds between two looks at the queue; the end of a task is noticed at once."""

RELIST = 1.0
"""Seconds after which the queue is listed even where its time stamp did not change."""

IO_SIGNAL = 53
"""What Slurm reports where a log could not be opened (as ``0:53``)."""


class Dispatcher:
    """Starts the tasks of a spool and records how they ended."""

    def __init__(self, spool: Spool, slots: int, right: int) -> None:
        self.spool = spool
        self.slots = slots
        self.right = right
        self.jobs: dict[int, OpenJob] = {}
        self.children: dict[int, Running] = {}
        self.orphans: list[Running] = []
        """Tasks that an earlier dispatcher left running; their exit code is lost."""
        self.wishes: dict[int, Wish] = {}
        """What is to end, by id of the job."""
        self.ending = Ending()
        self._past: dict[int, Progress] = {}
        self._stamp = 0
        self._listed = 0.0
        self._bell = _child_bell()

    def serve(self) -> None:
        """Run everything that is queued, then end."""
        while True:
            self._load()
            self._reap()
            self._watch_orphans()
            self._cancel()
            self._advance()
            self._retire()
            if not self.jobs and self._leave():
                return
            self._pause()

    def _load(self) -> None:
        """Take in new jobs; the queue is listed only when it seems to have changed."""
        stamp, clock = os.stat(self.spool.queue).st_mtime_ns, time.monotonic()
        if stamp == self._stamp and clock < self._listed + RELIST:
            return
        self._stamp, self._listed = stamp, clock
        for job_id in self.spool.queued():
            if job_id not in self.jobs:
                self._open(job_id)
        self.wishes = self.spool.wishes()

    def _open(self, job_id: int) -> None:
        job = self.spool.read(job_id)
        if job is None:
            # It is just being submitted, or its submission was killed.
            return
        opened = OpenJob(job, self.spool.progress(job), self.spool.environment(job_id))
        self.jobs[job_id] = opened
        self.orphans += [Running(opened, event) for event in opened.progress.unended]

    def _reap(self) -> None:
        """Record all tasks that have ended."""
        while self.children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            # As in Slurm, nothing outlives the batch script.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            running = self.children.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            event = Event(
                task=running.start.task,
                time=now(),
                state="FAILED" if code else ENDED_WELL,
                exit_code=max(code, 0),
                signal=-code if code < 0 else None,
                elapsed=round(time.monotonic() - running.clock, 3),
                cpu_time=round(usage.ru_utime + usage.ru_stime, 3),
                peak_memory=peak_memory(usage.ru_maxrss, running.floor),
            )
            wish = self._wish_for(running)
            if wish and self.ending.forget(pid):
                event = cancelled(event, wish)
            self._record(running.open_job, event)

    def _watch_orphans(self) -> None:
        gone = [each for each in self.orphans if not alive(each.start.pid, each.start.born)]
        for running in gone:
            self.orphans.remove(running)
            self.ending.forget(running.start.pid)
            self._record(running.open_job, end_unseen(running.start, self._wish_for(running)))

    def _wish_for(self, running: Running) -> Wish | None:
        wish = self.wishes.get(running.open_job.job.job_id)
        return wish if wish and wish.covers(running.start.task) else None

    def _cancel(self) -> None:
        """Have those end that somebody wants to end.

        What runs is recorded as cancelled only when it has ended: were we killed meanwhile, the
        next dispatcher finds the wish and the process, and tells it again.
        """
        for job_id, wish in self.wishes.items():
            if opened := self.jobs.get(job_id):
                for task in opened.drop(wish):
                    self._record(opened, cancelled(Event(task, now()), wish))
        for running in (*self.children.values(), *self.orphans):
            if self._wish_for(running):
                self.ending.tell(running.start)

    @property
    def _has_room(self) -> bool:
        return len(self.children) + len(self.orphans) < self.slots

    def _advance(self) -> None:
        """Start what may start, in the order of the ids."""
        names: set[str] = set()
        for opened in self.jobs.values():
            if not self._has_room:
                return
            self._advance_job(opened, opened.job.name in names)
            if not opened.progress.over:
                names.add(opened.job.name)

    def _advance_job(self, opened: OpenJob, name_taken: bool) -> None:
        kept: list[int] = []
        while self._has_room and opened.may_start:
            task = Task(opened.job, opened.waiting.popleft())
            verdict = opened.dependencies.judge(task.index, self._progress_of, name_taken)
            if verdict is Verdict.SATISFIED:
                if not opened.dependencies.by_task:
                    # Once and for all: what has ended does not start again.
                    opened.dependencies = Dependencies()
                self._start(opened, task)
            elif verdict is Verdict.NEVER:
                self._record(opened, Event(task.index, now(), state="CANCELLED", reason=NEVER))
            else:
                kept.append(task.position)
                if not opened.dependencies.by_task:
                    break
        opened.waiting.extendleft(reversed(kept))

    def _progress_of(self, job_id: int) -> Progress:
        if job_id in self.jobs:
            return self.jobs[job_id].progress
        if job_id not in self._past:
            job = self.spool.read(job_id)
            self._past[job_id] = self.spool.progress(job) if job else Progress(())
        return self._past[job_id]

    def _start(self, opened: OpenJob, task: Task) -> None:
        def prepare() -> None:
            # By the new process itself: were we killed between its start and
            # our note of it, the task would be started again. Until it has
            # become the script it holds our right to dispatch, so that nobody
            # can miss the line.
            pid = os.getpid()
            self.spool.record(opened.job.job_id, Event(task.index, now(), pid, birth(pid)))

        script = self.spool.script(opened.job.job_id)
        floor, clock = own_memory(), time.monotonic()
        try:
            pid = start(task, script, opened.environment, prepare)
        except (OSError, HpcError) as error:
            code, number = _exit_of_failed_start(error)
            failed = Event(task.index, now(), state="FAILED", reason=f"{NOT_STARTED}: {error}")
            self._record(opened, replace(failed, exit_code=code, signal=number))
        else:
            event = Event(task.index, now(), pid)
            opened.progress.apply(event)
            self.children[pid] = Running(opened, event, clock, floor)

    def _record(self, opened: OpenJob, event: Event) -> None:
        """Note an end, on a full disk as soon as there is room."""
        while True:
            try:
                self.spool.record(opened.job.job_id, event)
            except OSError as error:
                lgr.warning("Job %s: %s; trying again", opened.job.job_id, error)
                time.sleep(RELIST)
            else:
                return opened.progress.apply(event)

    def _retire(self) -> None:
        for job_id in [job_id for job_id, opened in self.jobs.items() if opened.progress.over]:
            self.spool.retire(job_id)
            del self.jobs[job_id]

    def _leave(self) -> bool:
        """Give the right to dispatch back, unless there is something new.

        Whoever queues a job holds the same lock, and so either comes before,
        and is seen here, or comes after, and finds no dispatcher.
        """
        with self.spool.lock():
            for job_id in self.spool.queued():
                if self.spool.read(job_id):
                    self._stamp = 0
                    return False
                # Nobody submits now: this submission was killed half-way.
                self.spool.retire(job_id)
            os.close(self.right)
            return True

    def _pause(self) -> None:
        if select.select([self._bell], [], [], POLL)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 4096)


def _exit_of_failed_start(error: Exception) -> tuple[int, int | None]:
    """Exit code and signal as Slurm gives them: the number of the error, or ``0:53`` for a log."""
    if isinstance(error, LogError):
        return 0, IO_SIGNAL
    if isinstance(error, ProgramMissing):
        return errno.ENOENT, None
    return getattr(error, "errno", None) or errno.EIO, None


def _child_bell() -> int:
    """A descriptor that becomes readable whenever a child ends."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def main(arguments: list[str]) -> None:
    """Serve a spool: its folder, the slots and the descriptor with the right to dispatch."""
    folder, slots, right = arguments
    os.set_inheritable(int(right), False)
    # For people: the lock is what counts.
    os.pwrite(int(right), f"{os.getpid():<20}\n".encode(), 0)
    Dispatcher(Spool(Path(folder)), int(slots), int(right)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
