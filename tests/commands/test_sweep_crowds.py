"""Thousands of tasks, and several finishes at once: what it costs, and that nothing is doubled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.finish.rounds import Round, Wishes, layout
from datalad_hpc.finishing import finish
from datalad_hpc.job import ClaimRole, Job, JobState, Request
from datalad_hpc.status import JobStatus, Phase, Submission, TaskStatus
from datalad_hpc.store import Store, open_store
from datalad_hpc.store.rows import now
from datalad_hpc.sweeps import batch_script_body
from datalad_hpc.workplace import Workplace
from tests.children import start
from tests.commands.conftest import Lab
from tests.commands.test_sweep_finish import FAILS, by_id, commits, sweep

THOUSANDS = 2_000
BATCHES = 4
"""Of so many jobs at a time they are committed."""


class Over:
    """A scheduler on which all tasks have ended, every tenth of them badly."""

    def expect(self, _number: int) -> None:
        """Nothing to get ready."""

    def version(self) -> str:
        return ""

    def status(self, keys: Any, *, facts: bool) -> dict[str, JobStatus]:
        return {key.job_id: JobStatus(key.job_id, tuple(map(_end, key.tasks))) for key in keys}


def _end(index: int) -> TaskStatus:
    if index % 10:
        return TaskStatus(index, "COMPLETED", Phase.COMPLETED, exit_code=0)
    return TaskStatus(index, "FAILED", Phase.FAILED, exit_code=1)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Gets the arguments of each process that is started from here."""
    found: list[Any] = []
    original = subprocess.Popen.__init__

    def init(self: Any, argv: Any, *arguments: Any, **options: Any) -> None:
        found.append(argv)
        original(self, argv, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", init)
    return found


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Iterator[tuple[Workplace, Store]]:
    """A dataset without an annex, where a file takes no time, and its store."""
    from datalad.api import create

    dataset = create(tmp_path / "plain", annex=False, result_renderer="disabled")
    with open_store(str(tmp_path / "jobs.db")) as store:
        yield Workplace.of(dataset, "finish jobs"), store


def ended_sweep(place: tuple[Workplace, Store], name: str, number: int) -> None:
    """Keep a sweep and make its outputs, as if its tasks had run; some change what is there."""
    workplace, store = place
    values = tuple({"v": f"{name}-{index:04}"} for index in range(number))
    claims = []
    for index, value in enumerate(values):
        output = claim_for(f"out/{value['v']}*.txt")
        log = claim_for(f"logs/{name}_{index}.out", ClaimRole.LOG)
        claims += [replace(output, task=index), replace(log, task=index)]
        for path in (f"out/{value['v']}-a.txt", log.path):
            (workplace.root / path).parent.mkdir(exist_ok=True)
            (workplace.root / path).write_text(f"{path}\n")
    request = Request("run {v}", "", (), (), task_outputs=("out/{v}*.txt",), sweep=values)
    job = store.reserve(
        Job(
            key=0,
            token=f"token-{name}-0123",
            state=JobState.RESERVED,
            scheduler="over",
            cluster="",
            job_id="",
            created=now(),
            submitted=None,
            request=request,
            script=batch_script_body([f"run {value['v']}" for value in values]),
            submit_line=(),
            tasks=tuple(range(number)),
            head="",
            commit="",
            ref="",
            claims=tuple(claims),
        )
    )
    logs = [claim for claim in claims if claim.role is ClaimRole.LOG]
    store.opened(job, Submission(name), logs)


@pytest.mark.parametrize("where", ["linear", "branches"])
def test_no_process_for_each_task(
    place: tuple[Workplace, Store], started: list[Any], where: str
) -> None:
    workplace, store = place
    counts = []
    number = THOUSANDS if where == "linear" else THOUSANDS // BATCHES
    wishes = Wishes(close_failed=True, layout=layout(branches=where == "branches", octopus=False))
    for name, tasks in (("few", 10), ("many", number)):
        ended_sweep(place, name, tasks)
        started.clear()
        results = list(finish(Round(workplace, store, lambda _name: Over(), wishes)))
        assert [res["status"] for res in results] == ["ok"] * tasks
        closed = sum("closed" in res["message"][1] for res in results)
        assert closed == tasks // 10
        counts.append(len(started))
    few, many = counts
    assert many <= few * max(1, number // (THOUSANDS // BATCHES)), started
    assert store.open_jobs() == []


def test_two_finishes_at_once(local_lab: Lab) -> None:
    """They take turns; what one has committed the other does not commit again."""
    lab = local_lab
    names = [f"n{number}" for number in range(12)]
    job = sweep(lab, FAILS.replace("bob", "n5"), names)
    lab.wait()
    both = [start(lab.finish) for _ in range(2)]
    results = [res for one in both for res in one.outcome().value]
    good = {f"{job}_{index}" for index in range(12) if index != 5}
    ok = [res["slurm_job_id"] for res in results if res["status"] == "ok"]
    assert sorted(ok) == sorted(good)
    assert set(commits(lab)) == good
    assert by_id(lab.finish(close_failed_jobs=True)) == {f"{job}_5": "ok"}
