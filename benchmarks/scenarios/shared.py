"""The sides that several scenarios measure."""

from __future__ import annotations

from benchmarks import jobs
from benchmarks.bench import Bench, Side
from benchmarks.datasets import count_commits
from benchmarks.subject import LOGS, OUTPUTS, Subject

FLOOR = ("git", "-c", "annex.dotfiles=true", "annex", "add", "--quiet", "--", OUTPUTS, LOGS)
"""The bare command that nobody who annexes files can do without."""


def with_ended_jobs(bench: Bench, subject: Subject, number: int, peer: int = 0) -> Subject:
    """Give a dataset jobs that are COMPLETED, the first ones also in the peer's database."""
    bench.say(f"  {number} jobs in {subject.root.name}")
    jobs.add_ended_jobs(bench, subject, number)
    if peer:
        jobs.tell_peer(bench, subject, peer)
    subject.seal()
    return subject


def floor(bench: Bench, subject: Subject) -> Side:
    """Seconds of one ``git annex add`` of all that the jobs made."""

    def once() -> float:
        subject.restore(with_facts=True)
        return bench.ours.run(*FLOOR, folder=subject.root).seconds

    return once


def finish(bench: Bench, subject: Subject, *arguments: str, codes: tuple[int, ...] = (0,)) -> Side:
    """Seconds of one ``datalad finish`` of all jobs of the subject."""

    def once() -> float:
        subject.restore()
        before = count_commits(bench.ours, subject.root)
        argv = ("datalad", "finish", *arguments)
        seconds = bench.ours.run(*argv, folder=subject.root, codes=codes).seconds
        subject.expect_commits(bench.ours, before, len(subject.job_ids))
        return seconds

    return once


def peer_finish(bench: Bench, subject: Subject, number: int) -> Side:
    """Seconds of one ``datalad slurm-finish`` of the jobs that the peer was told of."""

    def once() -> float:
        subject.restore()
        before = count_commits(bench.peer, subject.root)
        seconds = bench.peer.run("datalad", "slurm-finish", folder=subject.root).seconds
        subject.expect_commits(bench.peer, before, number)
        return seconds

    return once


def scaled_up(seconds: float, start_up: float, measured: int, wanted: int) -> float:
    """Seconds for ``wanted`` jobs, from those for fewer; the start-up counts once."""
    return start_up + (seconds - start_up) * wanted / measured


def scaled_note(measured: int, wanted: int) -> str:
    """Says that the peer's figure was scaled."""
    if measured == wanted:
        return ""
    return f"datalad-slurm measured with {measured} and scaled to {wanted}"
