"""Metadata operations on a file system that counts them: what a parallel one would suffer from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import jobs
from benchmarks.bench import Bench
from benchmarks.counting_fs import counted_mount
from benchmarks.datasets import create
from benchmarks.findings import Finding, Samples
from benchmarks.scenarios import shared
from benchmarks.subject import Subject

Action = Callable[[Path], object]
"""What is done in a dataset, given its root as seen through the counting file system."""


def slow_metadata(bench: Bench) -> Iterator[Finding]:
    """Operations of ``finish`` for each output file beside those of the floor; of ``schedule``."""
    number = bench.scaled(100, 10)
    subject = Subject(bench.work / "metadata" / "dataset")
    create(bench.ours, subject.root)
    shared.with_ended_jobs(bench, subject, number)
    files = number * (subject.shape.files + 2)
    floor = _counted(bench, subject, _floor(bench), with_facts=True)
    finish = _counted(bench, subject, _finish(bench))
    schedule = _counted(bench, subject, _schedule(bench))
    bench.cancel_jobs()
    samples: Samples = {
        "floor": [floor / files],
        "finish": [finish / files],
        "schedule": [schedule],
    }
    what = f"metadata operations per output file, finish {number} jobs"
    note = f"{finish / files:.1f} against {floor / files:.1f}, counted by a FUSE file system"
    unit = "× floor"
    yield Finding("slow-metadata", what, finish / floor, 1.15, unit, samples=samples, note=note)
    what = "metadata operations, schedule one job"
    yield Finding("slow-metadata", what, schedule, 600, "operations", samples=samples)


def _counted(bench: Bench, subject: Subject, action: Action, *, with_facts: bool = False) -> int:
    """Operations of an action, the dataset being as it was sealed."""
    subject.restore(with_facts=with_facts)
    target = bench.work / "mounted"
    with counted_mount(bench.ours, subject.root, target) as counts:
        action(target)
    return sum(counts.values())


def _floor(bench: Bench) -> Action:
    return lambda root: bench.ours.run(*shared.FLOOR, folder=root)


def _finish(bench: Bench) -> Action:
    return lambda root: bench.ours.run("datalad", "finish", folder=root)


def _schedule(bench: Bench) -> Action:
    argv = jobs.submission(bench, jobs.HELD)
    return lambda root: bench.ours.run("datalad", "schedule", "-o", "new/", *argv, folder=root)
