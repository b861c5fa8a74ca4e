"""Run the benchmarks: ``python -m benchmarks --peer ENVIRONMENT``, or ``make bench``."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError, Unavailable
from benchmarks.findings import Finding
from benchmarks.plot import plot
from benchmarks.scenarios import SCENARIOS

RESULTS = Path(__file__).parent / "results"


def say(text: str) -> None:
    """Write a line for whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="environment with datalad-slurm")
    parser.add_argument(
        "--only",
        type=_names,
        default=list(SCENARIOS),
        help=f"scenarios, separated by commas, of: {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once: for trying")
    parser.add_argument("--repetitions", type=int, help="times to measure (3; quick: 1)")
    parser.add_argument("--work", type=Path, help="keep the datasets, in this folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results go")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",") if text else list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        known = ", ".join(SCENARIOS)
        raise argparse.ArgumentTypeError(f"no scenario {', '.join(unknown)}; known are {known}")
    return names


@contextlib.contextmanager
def work_folder(wanted: Path | None) -> Iterator[Path]:
    """A folder outside of any dataset, gone afterwards unless it was asked for."""
    if wanted:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="datalad-hpc-bench-")).resolve()
    try:
        yield made
    finally:
        # git-annex makes its objects read-only.
        for path in made.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(made)


def measure(bench: Bench, names: Sequence[str]) -> tuple[list[Finding], dict[str, str]]:
    """Run scenarios; one that cannot be run is left out and says why."""
    findings: list[Finding] = []
    left_out: dict[str, str] = {}
    for name in names:
        start = time.monotonic()
        say(f"{name}: {(SCENARIOS[name].__doc__ or '').strip()}")
        try:
            findings += SCENARIOS[name](bench)
        except BenchmarkError as error:
            left_out[name] = str(error)
            say(f"  left out: {error}")
            if not isinstance(error, Unavailable):
                bench.cancel_jobs()
        say(f"  {time.monotonic() - start:.0f} s")
    return findings, left_out


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and show what came out; 1 where a target was missed or a scenario broke."""
    chosen = options(arguments)
    repetitions = chosen.repetitions or (1 if chosen.quick else 3)
    ours, peer = Path(sys.executable).parent, chosen.peer.resolve() / "bin"
    with work_folder(chosen.work) as work:
        try:
            bench = Bench.prepared(work, ours, peer, chosen.quick, repetitions, say)
        except Unavailable as error:
            say(str(error))
            return 1
        try:
            findings, left_out = measure(bench, chosen.only)
            results = report.as_json(bench, findings, left_out)
        finally:
            bench.cancel_jobs()
    path = report.write(chosen.results, results)
    files = [path.with_suffix(".json"), *plot(findings, path)]
    say("\n" + "\n".join(report.table(findings)))
    say("\n" + "\n".join(f"left out: {name}: {why}" for name, why in left_out.items()))
    say("written: " + ", ".join(map(str, files)))
    return 0 if not left_out and all(finding.is_ok for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
