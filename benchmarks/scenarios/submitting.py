"""``schedule`` of single jobs: from the command line, and many from one Python process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import jobs
from benchmarks.bench import Bench, Side
from benchmarks.calls import CallCounter
from benchmarks.datasets import create
from benchmarks.findings import Finding, middle
from benchmarks.subject import LOGS, Subject, output_of
from benchmarks.toolbox import Toolbox

PEER = "datalad-slurm"


def schedule_one(bench: Bench) -> Iterator[Finding]:
    """One job from the command line: a bare one, and one with an input and an existing output."""
    subject = _dataset(bench, "schedule-one")
    annexed = _annexed_files(bench, subject)
    following = jobs.numbered()
    samples = bench.alternate(
        {
            "start-up": bench.start_up,
            "sbatch": _bare(bench, subject),
            "schedule": scheduling(bench, bench.ours, "schedule", subject, following),
            PEER: scheduling(bench, bench.peer, "slurm-schedule", subject, following),
            "schedule again": _scheduling_again(bench, bench.ours, "schedule", subject, annexed),
            f"{PEER} again": _scheduling_again(
                bench, bench.peer, "slurm-schedule", subject, annexed
            ),
        },
        times=3,
    )
    counter = CallCounter(bench.work / "schedule-calls", bench.ours)
    scheduling(bench, counter.tools, "schedule", subject, following)()
    note = f"bare sbatch: {middle(samples, 'sbatch'):.3f} s, datalad alone: " + (
        f"{middle(samples, 'start-up'):.3f} s; {counter.counted().total()} scheduler call(s)"
    )
    unit = f"× {PEER}"
    value = middle(samples, "schedule") / middle(samples, PEER)
    yield Finding("schedule-one", "schedule one job", value, 1, unit, samples=samples, note=note)
    what = "schedule one job with an input, whose output exists"
    value = middle(samples, "schedule again") / middle(samples, f"{PEER} again")
    yield Finding("schedule-one", what, value, 1, unit, samples=samples)
    bench.cancel_jobs()


def _annexed_files(bench: Bench, subject: Subject) -> Iterator[str]:
    """Files that are there already, in Git and in the annex."""
    names = [f"annexed/{number}.dat" for number in range(2 * (bench.repetitions * 3 + 1))]
    for number, name in enumerate(names):
        path = subject.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([0, number]) * 1000)
    bench.ours.run("datalad", "save", "-m", "Annexed files", "annexed", folder=subject.root)
    return iter(names)


def _scheduling_again(
    bench: Bench, tools: Toolbox, command: str, subject: Subject, annexed: Iterator[str]
) -> Side:
    """Seconds of scheduling a job that reads one annexed file and will write another anew."""
    argv = jobs.submission(bench, jobs.HELD)
    source = next(annexed)

    def once() -> float:
        paths = ("-i", source, "-o", next(annexed))
        return tools.run("datalad", command, *paths, *argv, folder=subject.root).seconds

    return once


def schedule_1000(bench: Bench) -> Iterator[Finding]:
    """1,000 jobs from one Python process, beside 1,000 × sbatch."""
    number, few = bench.scaled(1_000, 50), bench.scaled(10, 3)
    subject = _dataset(bench, "schedule-1000")
    following = jobs.numbered()
    sides: dict[str, Side] = {
        "sbatch": lambda: _bare_many(bench, subject, number),
        "schedule": lambda: _many(bench, subject, bench.ours, "schedule", number, following),
        PEER: lambda: _many(bench, subject, bench.peer, "slurm_schedule", few, following),
    }
    samples = bench.alternate(sides, once=[PEER])
    value = middle(samples, "schedule") / middle(samples, "sbatch")
    each = middle(samples, PEER) / few / (middle(samples, "sbatch") / number)
    note = f"{PEER}: {each:.0f} × sbatch a job, measured with {few} jobs; start-up left out"
    what = f"schedule {number:,} jobs from Python in one process"
    yield Finding("schedule-1000", what, value, 5, "× sbatch a job", samples=samples, note=note)
    bench.cancel_jobs()


def _dataset(bench: Bench, name: str) -> Subject:
    subject = Subject(bench.work / name)
    create(bench.ours, subject.root)
    (subject.root / LOGS).mkdir()
    subject.seal()
    return subject


def scheduling(
    bench: Bench,
    tools: Toolbox,
    command: str,
    subject: Subject,
    following: Callable[[], int],
    *options: str,
    log: str = "slurm-%j.out",
) -> Side:
    """Seconds of scheduling one job on the command line, each time with another output."""
    argv = jobs.submission(bench, jobs.HELD, *options, log=log)

    def once() -> float:
        output = output_of(following())
        return tools.run("datalad", command, "-o", output, *argv, folder=subject.root).seconds

    return once


def _bare(bench: Bench, subject: Subject) -> Side:
    argv = jobs.submission(bench, jobs.HELD)
    return lambda: bench.ours.run(*argv, folder=subject.root).seconds


def _bare_many(bench: Bench, subject: Subject, number: int) -> float:
    bare = _bare(bench, subject)
    return sum(bare() for _ in range(number))


def _many(
    bench: Bench,
    subject: Subject,
    tools: Toolbox,
    command: str,
    number: int,
    following: Callable[[], int],
) -> float:
    """A fresh dataset each time: what is open already is not part of the question."""
    subject.restore()
    outputs = [output_of(following()) for _ in range(number)]
    argv = jobs.submission(bench, jobs.HELD)
    return jobs.schedule_many(tools, subject.root, command, argv, outputs)[0]
