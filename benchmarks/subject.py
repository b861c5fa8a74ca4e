"""A dataset with open jobs that is brought back to the same state before every measurement."""

from __future__ import annotations

import os
import random
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.datasets import count_commits
from benchmarks.errors import BenchmarkError
from benchmarks.toolbox import Toolbox

OUTPUTS = "out"
LOGS = "logs"
"""Folders that hold all that jobs make."""

FILE_SIZE = 4096
"""Bytes in each binary output."""

FACTS = '{{"job": "{job}", "note": "{filling}"}}\n'
"""Stands for the file with the scheduler's facts where ``finish`` does not write one."""


@dataclass(frozen=True)
class Shape:
    """What each job makes."""

    binary: int = 6
    """Files that go to the annex."""
    text: int = 2
    """Files that go to Git."""

    @property
    def files(self) -> int:
        """Files of one job, without its log."""
        return self.binary + self.text


@dataclass
class Subject:
    """A work tree that stays, and a copy of its ``.git`` that the work tree is given back.

    Thus all sides work at the same place, and what a job made is new to each of them.
    """

    root: Path
    shape: Shape = field(default_factory=Shape)
    job_ids: list[str] = field(default_factory=list)

    @property
    def aside(self) -> Path:
        """Where the copy is kept."""
        return self.root.with_name(f"{self.root.name}.git")

    @property
    def discarded(self) -> Path:
        """Where former states lie until the end."""
        return self.root.with_name(f"{self.root.name}.discarded")

    def seal(self) -> None:
        """Take the present state of ``.git`` as the one to come back to."""
        shutil.rmtree(self.aside, ignore_errors=True)
        shutil.copytree(self.root / ".git", self.aside, symlinks=True)

    def restore(self, *, with_facts: bool = False) -> None:
        """Come back to the state of :meth:`seal`, with all jobs' outputs freshly written.

        Parameters
        ----------
        with_facts:
          Whether to write the files that ``finish`` would write.
        """
        self._discard(self.root / ".git")
        shutil.copytree(self.aside, self.root / ".git", symlinks=True)
        for folder in (OUTPUTS, LOGS):
            self._discard(self.root / folder)
            (self.root / folder).mkdir()
        self.write_outputs()
        self._write_logs(with_facts)
        # What was written must not be on its way to the disk while somebody is measured.
        os.sync()

    def _discard(self, path: Path) -> None:
        """Get a folder out of the way.

        It is removed with everything else at the end: for minutes after thousands of files
        were deleted ext4 is slow to create new ones, since it does not take their inodes yet.
        """
        if path.exists():
            self.discarded.mkdir(exist_ok=True)
            path.rename(self.discarded / secrets.token_hex(8))

    def write_outputs(self) -> None:
        """Write what the jobs should have made."""
        for number in range(len(self.job_ids)):
            folder = self.root / output_of(number)
            folder.mkdir(parents=True)
            for name, content in _contents(number, self.shape):
                (folder / name).write_bytes(content)

    def _write_logs(self, with_facts: bool) -> None:
        for job in self.job_ids:
            (self.root / log_of(job)).write_text(f"job {job} is done\n")
            if with_facts:
                facts = FACTS.format(job=job, filling="." * 1200)
                (self.root / LOGS / f"slurm-job-{job}.env.json").write_text(facts)

    def expect_commits(self, tools: Toolbox, before: int, number: int) -> None:
        """Make sure that jobs were committed.

        Raises
        ------
        BenchmarkError
          There are not as many new commits as there should be.
        """
        found = count_commits(tools, self.root) - before
        if found != number:
            raise BenchmarkError(
                f"{tools.name} made {found} commits in {self.root} in the place of {number}"
            )


def expect_lines(text: str, word: str, number: int) -> None:
    """Make sure that a word stands in as many lines as there are jobs.

    Raises
    ------
    BenchmarkError
      It does not.
    """
    found = sum(word in line for line in text.splitlines())
    if found != number:
        raise BenchmarkError(f"{word} was said of {found} jobs in the place of {number}")


def output_of(number: int) -> str:
    """The folder that a job fills."""
    return f"{OUTPUTS}/{number:05}"


def log_of(job_id: str) -> str:
    """A job's log file."""
    return f"{LOGS}/slurm-{job_id}.out"


def output_paths(jobs: Iterable[int]) -> list[str]:
    """What jobs declare."""
    return [output_of(number) + "/" for number in jobs]


def _contents(number: int, shape: Shape) -> Sequence[tuple[str, bytes]]:
    source = random.Random(number)
    binary = [(f"{file}.dat", source.randbytes(FILE_SIZE)) for file in range(shape.binary)]
    text = [(f"{file}.txt", b"job %d file %d\n" % (number, file)) for file in range(shape.text)]
    return [*binary, *text]
