"""The programs of one side of the comparison, and how they are run and timed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.errors import BenchmarkError
from datalad_hpc import process

FOREIGN = ("GIT_", "DATALAD_", "SLURM_", "SBATCH_", "SACCT_", "SQUEUE_", "XDG_")
"""Beginnings of variables that would let the caller's own settings in; so would Python's, which
may for instance keep it from remembering what it compiled."""

TAIL = 2000
"""Characters of a program's last words that an error shows."""


@dataclass(frozen=True)
class Ran:
    """A program that was run: seconds of wall time, exit code and standard output."""

    seconds: float
    code: int
    output: str


@dataclass(frozen=True)
class Toolbox:
    """An environment with ``datalad``, ``git-annex`` and the rest in it."""

    name: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, name: str, programs: Path, home: Path, *, keep_path: bool) -> Toolbox:
        """The tools in a folder of programs.

        Parameters
        ----------
        name:
          How the side is called in results.
        programs:
          The ``bin`` folder of a virtual environment.
        home:
          A home folder of our own, with an identity for Git.
        keep_path:
          Whether the caller's ``PYTHONPATH`` holds for this side too.
        """
        environment = {key: value for key, value in os.environ.items() if not _is_foreign(key)}
        if not keep_path:
            environment.pop("PYTHONPATH", None)
        environment |= {
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
        return cls(name, environment)

    def having(self, **variables: str) -> Toolbox:
        """The same with more variables in the environment."""
        return replace(self, environment={**self.environment, **variables})

    def run(
        self, *argv: str, folder: Path, stdin: bytes = b"", codes: Collection[int] = (0,)
    ) -> Ran:
        """Run a program to its end.

        Parameters
        ----------
        codes:
          Exit codes that it may end with.

        Raises
        ------
        BenchmarkError
          It ended with another one.
        """
        # Programs ask the shell's variable, not the system, for the name of their folder.
        environment = {**self.environment, "PWD": str(folder)}
        start = time.perf_counter()
        ended = process.run(argv, folder=folder, stdin=stdin, environment=environment)
        seconds = time.perf_counter() - start
        if ended.code not in codes:
            words = ended.complaint[-TAIL:] or ended.text[-TAIL:]
            raise BenchmarkError(f"{self.name}: {' '.join(argv[:6])} gave {ended.code}: {words}")
        return Ran(seconds, ended.code, ended.text)


def _is_foreign(name: str) -> bool:
    return name.startswith(FOREIGN) or (name.startswith("PYTHON") and name != "PYTHONPATH")
