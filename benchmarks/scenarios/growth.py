"""What ``finish`` must not depend on: tracked files, history, other open jobs."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import jobs
from benchmarks.bench import Bench
from benchmarks.datasets import add_history, create, track_files
from benchmarks.findings import Finding, Samples, middle
from benchmarks.scenarios import shared
from benchmarks.subject import Subject

JOBS = 5
SOME_ARE_OPEN = (0, 1)
"""Exit codes of ``finish``: 1 where it was asked for jobs that are not over yet."""


def finish_300k(bench: Bench) -> Iterator[Finding]:
    """5 jobs in a dataset with 300,000 tracked files, and in one with 10,000."""
    small, big = bench.scaled(10_000, 500), bench.scaled(300_000, 15_000)
    subjects = {}
    for tracked in (small, big):
        subject = Subject(bench.work / f"finish-tracked-{tracked}")
        create(bench.ours, subject.root)
        track_files(bench.ours, subject.root, tracked)
        subjects[tracked] = shared.with_ended_jobs(bench, subject, JOBS)
    samples = bench.alternate(
        {
            "start-up": bench.start_up,
            **{f"floor {n}": shared.floor(bench, subjects[n]) for n in subjects},
            **{f"finish {n}": shared.finish(bench, subjects[n]) for n in subjects},
        }
    )
    what = f"finish {JOBS} jobs: {big:,} tracked files against {small:,}"
    note = _note_on_floor(samples, f"floor {big}", f"floor {small}")
    yield _growth("finish-300k", what, samples, f"finish {big}", f"finish {small}", note)


def finish_history(bench: Bench) -> Iterator[Finding]:
    """5 jobs after 20,000 records and beside 5,000 other open jobs, and without all that."""
    records, waiting = bench.scaled(20_000, 1_000), bench.scaled(5_000, 100)
    young = Subject(bench.work / "finish-young")
    create(bench.ours, young.root)
    shared.with_ended_jobs(bench, young, JOBS)
    old = Subject(bench.work / "finish-old")
    create(bench.ours, old.root)
    add_history(bench.ours, old.root, records)
    shared.with_ended_jobs(bench, old, JOBS)
    jobs.add_waiting_jobs(bench, old.root, waiting)
    old.seal()
    samples = _measured(bench, young, old)
    what = f"finish {JOBS} jobs{{}}: {records:,} records and {waiting:,} other open jobs"
    named, every = what.format(", named"), what.format(", all asked for")
    yield _growth("finish-history", named, samples, "finish old, named", "finish young")
    note = f"the {waiting:,} that wait in the queue are asked for and reported too"
    yield _growth("finish-history", every, samples, "finish old, all", "finish young", note)
    bench.cancel_jobs()


def _measured(bench: Bench, young: Subject, old: Subject) -> Samples:
    return bench.alternate(
        {
            "start-up": bench.start_up,
            "floor young": shared.floor(bench, young),
            "floor old": shared.floor(bench, old),
            "finish young": shared.finish(bench, young),
            "finish old, named": shared.finish(bench, old, *old.job_ids),
            "finish old, all": shared.finish(bench, old, codes=SOME_ARE_OPEN),
        }
    )


def _growth(
    scenario: str, what: str, samples: Samples, more: str, less: str, note: str = ""
) -> Finding:
    value = middle(samples, more) / middle(samples, less)
    return Finding(scenario, what, value, 1.5, "× as long", samples=samples, note=note)


def _note_on_floor(samples: Samples, more: str, less: str) -> str:
    return f"the floor itself: {middle(samples, more) / middle(samples, less):.2f} ×"
