"""Peak memory of ``finish``."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import SCRIPTS, Bench
from benchmarks.datasets import create
from benchmarks.findings import Finding, middle
from benchmarks.scenarios import shared
from benchmarks.subject import Shape, Subject

MEGABYTE = 1e6


def memory(bench: Bench) -> Iterator[Finding]:
    """2,000 jobs of 10 files each; our own process only, not git or git-annex."""
    number = bench.scaled(2_000, 50)
    subject = Subject(bench.work / "memory", Shape(binary=8, text=2))
    create(bench.ours, subject.root)
    shared.with_ended_jobs(bench, subject, number)
    report = bench.work / "memory.peak"

    def peak(*arguments: str) -> float:
        script = str(SCRIPTS / "peak_memory.py")
        bench.ours.run("python", script, str(report), *arguments, folder=subject.root)
        return int(report.read_text()) * 1024 / MEGABYTE

    def finishing() -> float:
        subject.restore()
        return peak("finish")

    samples = bench.alternate({"alone": lambda: peak("--version"), "finish": finishing})
    what = f"peak memory, finish of {number:,} jobs × {subject.shape.files} files"
    note = f"`datalad --version` alone: {middle(samples, 'alone'):.0f} MB"
    yield Finding("memory", what, middle(samples, "finish"), 200, "MB", samples=samples, note=note)
