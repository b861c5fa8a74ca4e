"""Array jobs: thousands of tasks that are one job to ``schedule`` and ``finish``."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import jobs
from benchmarks.bench import Bench
from benchmarks.calls import CallCounter
from benchmarks.datasets import create
from benchmarks.findings import Finding, middle
from benchmarks.scenarios import shared
from benchmarks.scenarios.submitting import scheduling
from benchmarks.subject import LOGS, OUTPUTS, Shape, Subject

PEER = "datalad-slurm"
TASK_LOGS = "slurm-%A_%a.out"
ONE_LOG = "slurm-%A.out"


def schedule_array(bench: Bench) -> Iterator[Finding]:
    """An array of 10,000 tasks beside one plain job."""
    tasks, few = bench.scaled(10_000, 1_000), bench.scaled(100, 20)
    subject = Subject(bench.work / "schedule-array")
    create(bench.ours, subject.root)
    (subject.root / LOGS).mkdir()
    following = jobs.numbered()

    def array(number: int) -> str:
        return f"--array=0-{number - 1}"

    ours = (bench, bench.ours, "schedule", subject, following)
    peers = (bench, bench.peer, "slurm-schedule", subject, following)
    samples = bench.alternate(
        {
            "start-up": bench.start_up,
            "plain": scheduling(*ours),
            "array": scheduling(*ours, array(tasks), log=TASK_LOGS),
            PEER: scheduling(*peers, array(few), log=TASK_LOGS),
        },
        once=[PEER],
    )
    counter = CallCounter(bench.work / "array-calls", bench.ours)
    counted = (bench, counter.tools, "schedule", subject, following)
    scheduling(*counted, array(tasks), log=TASK_LOGS)()
    calls = counter.counted().total()
    what = f"schedule an array of {tasks:,} tasks"
    value = middle(samples, "array") / middle(samples, "plain")
    peer = shared.scaled_up(middle(samples, PEER), middle(samples, "start-up"), few, tasks)
    note = f"{PEER}: {peer:.0f} s; {shared.scaled_note(few, tasks)} tasks"
    yield Finding("schedule-array", what, value, 1.5, "× one plain job", samples=samples, note=note)
    yield Finding("schedule-array", what, calls, 3, "scheduler calls")
    bench.cancel_jobs()


def finish_array(bench: Bench) -> Iterator[Finding]:
    """An array of 10,000 tasks of one file each."""
    tasks = bench.scaled(10_000, 200)
    subject = Subject(bench.work / "finish-array", Shape(binary=tasks, text=0))
    create(bench.ours, subject.root)
    (subject.root / LOGS).mkdir()
    argv = jobs.submission(bench, f"--array=0-{tasks - 1}", log=ONE_LOG)
    jobs.schedule_many(bench.ours, subject.root, "schedule", argv, [f"{OUTPUTS}/00000/"])
    subject.job_ids = [job.job_id for job in jobs.open_jobs(subject.root)]
    bench.say(f"  waiting for {tasks:,} tasks")
    jobs.wait_until_completed(bench, subject.job_ids, tasks)
    subject.seal()
    samples = bench.alternate(
        {
            "start-up": bench.start_up,
            "floor": shared.floor(bench, subject),
            "finish": shared.finish(bench, subject),
        }
    )
    what = f"finish an array of {tasks:,} tasks × 1 file"
    value = middle(samples, "finish") / middle(samples, "floor")
    yield Finding("finish-array", what, value, 1.3, "× floor", samples=samples)
