"""The files of the local scheduler's spool."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.schedulers.local_job import Event, LocalJob, Progress
from datalad_hpc.schedulers.local_spool import Spool

JOB = LocalJob("token", "name", "user", "group", "2024-01-01T00:00:00+00:00", "/from", "/to")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "a" / "spool")
    spool.create()
    return spool


def add(spool: Spool, job: LocalJob = JOB) -> int:
    with spool.lock():
        return spool.add(job, b"#!/bin/sh\n", {"NAME": "value"})


def test_job_comes_back_as_it_was(spool: Spool) -> None:
    job = replace(JOB, arguments=("-x", "\udcff\n", "ü"), name="it's", output="%j", append=True)
    job_id = add(spool, job)
    assert spool.read(job_id) == replace(job, job_id=job_id)
    assert spool.environment(job_id) == {"NAME": "value"}
    assert spool.script(job_id).read_bytes() == b"#!/bin/sh\n"
    assert spool.script(job_id).stat().st_mode & 0o777 == 0o700


def test_ids(spool: Spool) -> None:
    ids = [add(spool), add(spool, replace(JOB, array="3-9:3")), add(spool)]
    assert ids == [1, 2, 5]
    assert spool.ids() == spool.queued() == ids


@pytest.mark.parametrize("damage", [b"", b"\0\0", None])
def test_lost_counter(spool: Spool, damage: bytes | None) -> None:
    add(spool)
    add(spool, replace(JOB, array="1-4"))
    counter = spool.folder / "next-id"
    counter.unlink() if damage is None else counter.write_bytes(damage)
    assert add(spool) == 6


def test_damaged_job_is_none(spool: Spool) -> None:
    job_id = add(spool)
    (spool.jobs / str(job_id) / "job.json").write_bytes(b"\0" * 100)
    assert spool.read(job_id) is None
    assert spool.read(77) is None


def test_later_field_is_left_aside(spool: Spool) -> None:
    job_id = add(spool)
    path = spool.jobs / str(job_id) / "job.json"
    path.write_text(path.read_text().replace("{", '{"added_later": 1, ', 1))
    assert spool.read(job_id) == replace(JOB, job_id=job_id)


def test_events(spool: Spool) -> None:
    job_id = add(spool, replace(JOB, array="0-2"))
    job = spool.read(job_id)
    assert job
    spool.record(job_id, Event(0, "t", pid=3, born="b"))
    spool.record(job_id, Event(1, "t", pid=4))
    spool.record(job_id, Event(0, "t", state="COMPLETED", exit_code=0, elapsed=0.5))
    progress = spool.progress(job)
    assert progress.started == {0: Event(0, "t", pid=3, born="b"), 1: Event(1, "t", pid=4)}
    assert progress.ended == {0: Event(0, "t", state="COMPLETED", exit_code=0, elapsed=0.5)}
    assert (progress.running, progress.completed, progress.over) == (1, 1, False)


@given(cut=st.integers(1, 60))
def test_torn_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    spool.create()
    job_id = add(spool)
    job = spool.read(job_id)
    assert job
    path = spool.jobs / str(job_id) / "events.jsonl"
    spool.record(job_id, Event(None, "t", pid=3, born="0123456789/42"))
    whole = path.read_bytes()
    spool.record(job_id, Event(None, "t", state="FAILED", exit_code=1, reason="it was cut off"))
    path.write_bytes(path.read_bytes()[: max(len(whole), -1 - cut)])
    torn = path.read_bytes()[: len(whole) + cut]
    path.write_bytes(torn)
    assert spool.progress(job).ended == {}
    spool.record(job_id, Event(None, "t", state="NODE_FAIL"))
    assert spool.progress(job).ended[None].state == "NODE_FAIL"
    assert len(spool.progress(job).started) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "COMPLETED", "FAILED"]))))
def test_counts_are_those_of_the_events(steps: list[tuple[int, str]]) -> None:
    progress = Progress(tuple(range(6)))
    for task, state in steps:
        # As it is: no start behind the end.
        if state or task not in progress.ended:
            progress.apply(Event(task, "", state=state))
    assert progress.running == len(progress.unended)
    completed = [event for event in progress.ended.values() if event.state == "COMPLETED"]
    assert progress.completed == len(completed)
    assert progress.over == (len(progress.ended) == 6)


def test_right_to_dispatch_is_one_s(spool: Spool) -> None:
    with spool.lock(), spool.dispatching() as right:
        assert right is not None
        with spool.dispatching() as other:
            assert other is None
    with spool.lock(), spool.dispatching() as right:
        assert right is not None


def test_lock_keeps_others_out(spool: Spool) -> None:
    order: list[str] = []

    def other() -> None:
        with spool.lock():
            order.append("other")

    thread = threading.Thread(target=other)
    with spool.lock():
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_retire(spool: Spool) -> None:
    job_id = add(spool)
    spool.retire(job_id)
    assert spool.queued() == []
    assert spool.environment(job_id) == {}
    assert spool.read(job_id)
    spool.retire(job_id)
