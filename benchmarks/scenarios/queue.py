"""``finish --list-open-jobs`` with a long queue."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import jobs
from benchmarks.bench import Bench, Side
from benchmarks.calls import CallCounter
from benchmarks.datasets import create
from benchmarks.findings import Finding, middle
from benchmarks.scenarios import shared
from benchmarks.subject import LOGS, Subject, expect_lines, output_paths

PEER = "datalad-slurm"
LIST = ("finish", "--list-open-jobs")


def list_1000(bench: Bench) -> Iterator[Finding]:
    """1,000 jobs that wait in the queue."""
    number, few = bench.scaled(1_000, 50), bench.scaled(20, 5)
    subject = _with_queue(bench, number, few)
    counter = CallCounter(bench.work / "list-calls", bench.ours)
    samples = bench.alternate(
        {
            "start-up": bench.start_up,
            "list": _listing(bench, subject, number),
            PEER: _peer_listing(bench, subject),
        },
        once=[PEER],
    )
    counter.tools.run("datalad", *LIST, folder=subject.root)
    calls = counter.counted()
    what = f"list {number:,} open jobs"
    beyond = middle(samples, "list") - middle(samples, "start-up")
    peer = shared.scaled_up(middle(samples, PEER), middle(samples, "start-up"), few, number)
    note = f"datalad-slurm: {peer:.0f} s; {shared.scaled_note(few, number)}"
    yield Finding("list-1000", what, beyond, 1, "s beyond start-up", samples=samples, note=note)
    yield Finding("list-1000", what, calls.total(), 2, "scheduler calls", note=_shown(calls))
    bench.cancel_jobs()


def _shown(calls: dict[str, int]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in sorted(calls.items()))


def _with_queue(bench: Bench, number: int, few: int) -> Subject:
    subject = Subject(bench.work / "list-1000")
    create(bench.ours, subject.root)
    (subject.root / LOGS).mkdir()
    argv = jobs.submission(bench, jobs.HELD)
    outputs = output_paths(range(number))
    bench.say(f"  {number} jobs in {subject.root.name}")
    jobs.schedule_many(bench.ours, subject.root, "schedule", argv, outputs)
    subject.job_ids = [job.job_id for job in jobs.open_jobs(subject.root)]
    jobs.tell_peer(bench, subject, few)
    return subject


def _listing(bench: Bench, subject: Subject, number: int) -> Side:
    def once() -> float:
        ran = bench.ours.run("datalad", *LIST, folder=subject.root)
        expect_lines(ran.output, "PENDING", number)
        return ran.seconds

    return once


def _peer_listing(bench: Bench, subject: Subject) -> Side:
    return lambda: bench.peer.run("datalad", "slurm-finish", LIST[1], folder=subject.root).seconds
