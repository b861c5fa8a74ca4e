"""What every scenario works with."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.errors import BenchmarkError, Unavailable
from benchmarks.findings import Samples
from benchmarks.toolbox import Toolbox
from datalad_hpc.errors import HpcError

SCRIPTS = Path(__file__).parent / "scripts"
"""Programs for the Python of either side."""

GIT_CONFIG = """\
[user]
    name = Bench
    email = bench@example.com
[init]
    defaultBranch = main
[gc]
    auto = 0
[maintenance]
    auto = false
"""
"""Nothing runs behind the back of a measurement."""

Side = Callable[[], float]
"""Runs one thing once and gives the seconds (or the count) that it took."""


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks."""

    work: Path
    """Folder for all datasets, absolute, symbolic links resolved."""
    ours: Toolbox
    peer: Toolbox
    quick: bool
    repetitions: int
    say: Callable[[str], None]
    job_name: str = field(default_factory=lambda: f"hpc-bench-{secrets.token_hex(4)}")
    """Of every Slurm job of this run, so that they can be found and cancelled."""

    @classmethod
    def prepared(
        cls,
        work: Path,
        ours: Path,
        peer: Path,
        quick: bool,
        repetitions: int,
        say: Callable[[str], None],
    ) -> Bench:
        """A run in a folder, with the programs of two environments.

        Raises
        ------
        Unavailable
          No Slurm with accounting answers.
        """
        home = work / "home"
        home.mkdir(parents=True, exist_ok=True)
        (home / ".gitconfig").write_text(GIT_CONFIG)
        sides = [
            Toolbox.of("datalad-hpc", ours, home, keep_path=True),
            Toolbox.of("datalad-slurm", peer, home, keep_path=False),
        ]
        bench = cls(work, sides[0], sides[1], quick, repetitions, say)
        bench.require_slurm()
        return bench

    def require_slurm(self) -> None:
        """Raise :class:`.Unavailable` where no Slurm with accounting answers."""
        try:
            self.ours.run("sinfo", "--noheader", folder=self.work)
            self.ours.run("sacct", "--noheader", folder=self.work)
        except (BenchmarkError, HpcError) as error:
            raise Unavailable(
                "The benchmarks need a Slurm with accounting, and none answers here; as root on "
                f"Debian, tools/boot-slurm.sh boots one. ({error})"
            ) from error

    def scaled(self, full: int, quick: int) -> int:
        """A size: as the target says, or smaller for trying."""
        return quick if self.quick else full

    def start_up(self) -> float:
        """Seconds that ``datalad`` takes to do nothing."""
        return self.ours.run("datalad", "--version", folder=self.work).seconds

    def alternate(
        self,
        sides: Mapping[str, Side],
        *,
        once: Collection[str] = (),
        times: int = 1,
    ) -> Samples:
        """Measure sides in turn, A B A B, so that the noise of the machine hits all of them.

        Parameters
        ----------
        sides:
          What to measure, by name.
        once:
          Sides that are so slow that one round has to do.
        times:
          How many rounds more than usual: for what takes a fraction of a second.

        Returns
        -------
        dict
          What the sides gave, and the processor time of all their programs: on a
          busy machine that tells more.
        """
        samples: Samples = defaultdict(list)
        for number in range(self.repetitions * times):
            for name, side in sides.items():
                if number == 0 or name not in once:
                    before = _processor_time()
                    samples[name].append(side())
                    samples[f"{name}, processor"].append(_processor_time() - before)
                    self.say(
                        "    {}: {:.3f} ({:.3f} processor)".format(name, *_last(samples, name))
                    )
        return dict(samples)

    def cancel_jobs(self) -> None:
        """Cancel what this run has left in the queue."""
        with contextlib.suppress(BenchmarkError):
            self.ours.run("scancel", f"--name={self.job_name}", folder=self.work)


def _processor_time() -> float:
    """Seconds of processor time that programs of ours have used, and what those have started."""
    times = os.times()
    return times.children_user + times.children_system


def _last(samples: Samples, name: str) -> tuple[float, float]:
    return samples[name][-1], samples[f"{name}, processor"][-1]
