"""Real jobs: scheduled by ours, known to the peer too, and waited for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import SCRIPTS, Bench
from benchmarks.datasets import SCRIPT
from benchmarks.errors import BenchmarkError
from benchmarks.subject import LOGS, Subject, log_of, output_paths
from benchmarks.toolbox import Toolbox
from datalad_hpc.job import Claim, ClaimKind, Job
from datalad_hpc.store import open_store

PATIENCE = 1800
"""Seconds for all jobs of a dataset to end."""

HELD = "--hold"
"""Option for jobs that have to be in the queue and need not run."""

BURST = 500
"""Jobs that are handed to one process at a time."""


def submission(bench: Bench, *options: str, log: str = "slurm-%j.out") -> list[str]:
    """The command that is scheduled."""
    return ["sbatch", f"--job-name={bench.job_name}", f"--output={LOGS}/{log}", *options, SCRIPT]


def schedule_many(
    tools: Toolbox, root: Path, command: str, argv: Sequence[str], outputs: Sequence[str]
) -> tuple[float, list[str]]:
    """Schedule jobs one by one in one Python process.

    Parameters
    ----------
    command:
      Name of the command in ``datalad.api``.
    argv:
      What to submit.
    outputs:
      One output for each job.

    Returns
    -------
    tuple
      Seconds without those of starting Python, and what the process said of each job.
    """
    asked = json.dumps({"command": command, "argv": list(argv), "outputs": list(outputs)})
    script = str(SCRIPTS / "schedule_many.py")
    answer = json.loads(tools.run("python", script, folder=root, stdin=asked.encode()).output)
    if len(answer["messages"]) != len(outputs):
        raise BenchmarkError(f"{tools.name} scheduled {answer['messages']} of {len(outputs)} jobs")
    return float(answer["seconds"]), list(answer["messages"])


def add_ended_jobs(bench: Bench, subject: Subject, number: int) -> None:
    """Schedule jobs of ours, and wait until all are COMPLETED."""
    (subject.root / LOGS).mkdir(exist_ok=True)
    outputs = output_paths(range(number))
    for start in range(0, number, BURST):
        some = outputs[start : start + BURST]
        schedule_many(bench.ours, subject.root, "schedule", submission(bench), some)
    subject.job_ids = [job.job_id for job in open_jobs(subject.root)]
    wait_until_completed(bench, subject.job_ids)


def wait_until_completed(bench: Bench, job_ids: Sequence[str], tasks: int = 1) -> None:
    """Wait for jobs of ``tasks`` tasks each.

    Raises
    ------
    BenchmarkError
      One of them failed, or it took too long.
    """
    give_up = time.monotonic() + PATIENCE
    name, wanted = bench.job_name, len(job_ids) * tasks
    while bench.ours.run("squeue", "-h", "-n", name, folder=bench.work).output:
        _be_patient(give_up)
    while _completed(bench, job_ids) < wanted:
        _be_patient(give_up)


def _completed(bench: Bench, job_ids: Sequence[str]) -> int:
    states: list[str] = []
    for start in range(0, len(job_ids), BURST):
        ids = ",".join(job_ids[start : start + BURST])
        argv = ("sacct", "-n", "-X", "-P", "-o", "State", "-j", ids)
        states += bench.ours.run(*argv, folder=bench.work).output.split()
    return states.count("COMPLETED")


def _be_patient(give_up: float) -> None:
    if time.monotonic() > give_up:
        raise BenchmarkError("the jobs did not all complete; look at them with sacct")
    time.sleep(0.5)


def tell_peer(bench: Bench, subject: Subject, number: int) -> None:
    """Enter the first jobs in the peer's own database, by its own function."""
    rows = [
        {"slurm_job_id": job, "output": output.rstrip("/"), "log": log_of(job)}
        for job, output in zip(subject.job_ids[:number], output_paths(range(number)), strict=True)
    ]
    script = str(SCRIPTS / "enter_in_peer.py")
    bench.peer.run("python", script, folder=subject.root, stdin=json.dumps(rows).encode())


def store_of(root: Path) -> str:
    """Our job store of a dataset."""
    return str(root / ".git" / "datalad" / "hpc" / "jobs.db")


def open_jobs(root: Path) -> list[Job]:
    """Our open jobs of a dataset."""
    with open_store(store_of(root)) as store:
        return store.open_jobs()


def add_waiting_jobs(bench: Bench, root: Path, number: int) -> None:
    """Add jobs that Slurm holds in its queue; they are entered in our store directly."""
    with open_store(store_of(root)) as store:
        model = store.open_jobs()[0]
        for position, job_id in enumerate(_held_jobs(bench, root, number)):
            claim = Claim(f"waiting/{position:05}", ClaimKind.FOLDER)
            token = f"{model.token}-{position}"
            job = replace(model, key=0, token=token, job_id=job_id, claims=(claim,))
            store.reserve(job, check=False)


def _held_jobs(bench: Bench, root: Path, number: int) -> Iterator[str]:
    argv = submission(bench, HELD, "--parsable")
    for _ in range(number):
        yield bench.ours.run(*argv, folder=root).output.strip()


def numbered(start: int = 0) -> Callable[[], int]:
    """A counter."""
    position = start - 1

    def following() -> int:
        nonlocal position
        position += 1
        return position

    return following
