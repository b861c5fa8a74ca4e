"""``finish`` beside the floor and the peer, in a small dataset and in a big one."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.datasets import age, create, track_files
from benchmarks.findings import Finding, Samples, middle
from benchmarks.scenarios import shared
from benchmarks.subject import Subject

PEER = "datalad-slurm"


def finish_200(bench: Bench) -> Iterator[Finding]:
    """200 jobs of 8 files each."""
    number, few = bench.scaled(200, 20), bench.scaled(20, 4)
    subject = Subject(bench.work / "finish-200")
    create(bench.ours, subject.root)
    shared.with_ended_jobs(bench, subject, number, few)
    samples = _measured(bench, subject, few)
    what = f"finish {number} jobs × {subject.shape.files} files"
    ours, floor = middle(samples, "finish"), middle(samples, "floor")
    yield Finding("finish-200", what, ours / floor, 1.25, "× floor", samples=samples)
    yield _faster("finish-200", what, samples, 10, few, number)


def finish_100k(bench: Bench) -> Iterator[Finding]:
    """5 jobs in a dataset with 100,000 tracked files."""
    tracked, number, few = bench.scaled(100_000, 5_000), 5, bench.scaled(1, 2)
    subject = Subject(bench.work / "finish-100k")
    create(bench.ours, subject.root)
    track_files(bench.ours, subject.root, tracked)
    shared.with_ended_jobs(bench, subject, number, few)
    samples = _measured(bench, subject, few)
    what = f"finish {number} jobs, {tracked:,} files tracked"
    beyond = middle(samples, "finish") - middle(samples, "start-up") - middle(samples, "floor")
    unit = "s above floor and start-up"
    yield Finding("finish-100k", what, beyond, 0.3, unit, samples=samples)
    yield _faster("finish-100k", what, samples, 1, few, number)
    age(bench.ours, subject.root)
    samples = _measured_when_aged(bench, subject, few)
    yield _faster("finish-100k", f"{what}, index aged", samples, 200, few, number)


def _measured(bench: Bench, subject: Subject, few: int) -> Samples:
    sides = {
        "start-up": bench.start_up,
        "floor": shared.floor(bench, subject),
        "finish": shared.finish(bench, subject),
        PEER: shared.peer_finish(bench, subject, few),
    }
    return bench.alternate(sides, once=[PEER])


def _measured_when_aged(bench: Bench, subject: Subject, few: int) -> Samples:
    """The floor is left out: bare git-annex looks at each tracked file too then."""
    sides = {
        "start-up": bench.start_up,
        "finish": shared.finish(bench, subject),
        PEER: shared.peer_finish(bench, subject, few),
    }
    return bench.alternate(sides, once=[PEER])


def _faster(
    scenario: str, what: str, samples: Samples, limit: float, few: int, number: int
) -> Finding:
    peer = shared.scaled_up(middle(samples, PEER), middle(samples, "start-up"), few, number)
    value = peer / middle(samples, "finish")
    note = shared.scaled_note(few, number)
    unit = f"× faster than {PEER}"
    return Finding(scenario, what, value, limit, unit, at_least=True, samples=samples, note=note)
