"""A place to try the local scheduler in: a work folder, a spool, and nothing left running."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import pytest

from datalad_hpc.schedulers.base import Handover
from datalad_hpc.schedulers.local import Local
from datalad_hpc.schedulers.local_job import LocalJob, Progress
from datalad_hpc.schedulers.local_tasks import alive
from datalad_hpc.status import JobKey, JobStatus, Phase

PATIENCE = 30.0

Answer = TypeVar("Answer")


class Bench:
    """The local scheduler with a spool and a work folder of its own."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.spool_folder = folder / "spool"
        self.use(slots)

    def use(self, slots: int) -> None:
        """Have dispatchers with so many slots from now on."""
        self.local = Local(self.spool_folder, slots)
        self.spool = self.local.spool

    def submit(self, *arguments: str, token: str = "token", folder: Path | None = None) -> str:
        """Run sbatch; the id."""
        handover = Handover(("sbatch", *arguments), str(folder or self.folder), token)
        return self.local.submit(handover).job_id

    def script(self, name: str, body: str) -> str:
        """Make a batch script."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        return name

    def status(self, job_id: str, token: str = "token", facts: bool = False) -> JobStatus | None:
        """Ask for one job."""
        key = JobKey(job_id, "", token, datetime.now(timezone.utc))
        return self.local.status([key], facts=facts).get(job_id)

    def states(self, job_id: str) -> list[str]:
        """The states of a job's tasks."""
        status = self.status(job_id)
        assert status
        return [task.state for task in status.tasks]

    def wait(self, job_id: str) -> JobStatus:
        """The status of a job once it has ended."""

        def ended() -> JobStatus | None:
            status = self.status(job_id)
            assert status
            return status if status.phase is not Phase.LIVE else None

        return self.until(ended)

    def until(self, ready: Callable[[], Answer | None]) -> Answer:
        """Wait for something; what it is."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            value = ready()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError("it did not happen")

    def run(self, *arguments: str, folder: Path | None = None) -> JobStatus:
        """Submit a job and wait for its end."""
        return self.wait(self.submit(*arguments, folder=folder))

    def text(self, name: str) -> str:
        """Content of a file in the work folder."""
        return (self.folder / name).read_text()

    def job(self, job_id: str) -> LocalJob:
        """A job as it is in the spool."""
        job = self.spool.read(int(job_id))
        assert job
        return job

    def progress(self, job_id: str) -> Progress:
        """What the events of a job say."""
        return self.spool.progress(self.job(job_id))

    @property
    def is_dispatched(self) -> bool:
        """Whether a dispatcher is alive."""
        with self.spool.lock(), self.spool.dispatching() as right:
            return right is None

    def kill_dispatcher(self) -> None:
        """End the dispatcher as a machine that runs out of memory would."""
        killed = self.until(self._dispatcher)
        os.kill(killed, signal.SIGKILL)
        self.until(lambda: not self.is_dispatched)

    def _dispatcher(self) -> int | None:
        """Process number of the dispatcher, once it has told it."""
        try:
            pid = int((self.spool_folder / "dispatcher.lock").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (ValueError, FileNotFoundError):
            return None
        return pid if os.fsencode(self.spool_folder) in words else None

    def clear(self) -> None:
        """Wait for the dispatcher to end; after a failed test, end all that still runs."""
        if not self.spool.queue.is_dir():
            return
        with contextlib.suppress(AssertionError):
            self.until(lambda: not self.is_dispatched)
        if self.is_dispatched:
            self.kill_dispatcher()
        for job_id in self.spool.queued():
            for event in self.progress(str(job_id)).unended:
                if alive(event.pid, event.born):
                    os.killpg(event.pid, signal.SIGKILL)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    bench = Bench(tmp_path)
    yield bench
    bench.clear()
    log = bench.spool.log
    assert not log.exists() or log.read_text() == "", "the dispatcher complained"
