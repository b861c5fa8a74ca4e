"""Sweeps: one row for the array, and tasks that are committed or given up one by one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import OutputsClaimed
from datalad_hpc.job import Claim, ClaimRole, Job, JobState, Part, Request, Unit
from datalad_hpc.status import Phase, Submission, TaskStatus
from datalad_hpc.store import Store
from tests.store.helpers import file_of

NewJob = Callable[..., Job]

DONE = (TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0),)
FAILED = (TaskStatus(None, "FAILED", Phase.FAILED, exit_code=3),)
PLAN = ("c" * 40, "refs/heads/main")


@pytest.fixture
def new_sweep(new_job: NewJob) -> NewJob:
    """Makes a sweep that was not kept yet: a folder and a log for each of its tasks."""

    def make(name: str, number: int, **fields: Any) -> Job:
        values = tuple({"sub": f"{name}-{index}"} for index in range(number))
        request = Request(
            "run {sub}", "", (), (), task_outputs=("out/{sub}/",), sweep=values, max_concurrent=7
        )
        claims = [
            replace(claim, task=index)
            for index, of_task in enumerate(values)
            for claim in (
                claim_for(f"out/{of_task['sub']}/"),
                claim_for(f"log-{name}-{index}", ClaimRole.LOG),
            )
        ]
        return new_job(request=request, tasks=tuple(range(number)), claims=tuple(claims), **fields)

    return make


@pytest.fixture
def sweep(store: Store, new_sweep: NewJob) -> Job:
    """One of four tasks, which is open."""
    job = store.reserve(new_sweep("s", 4))
    logs = [claim for claim in job.claims if claim.role is ClaimRole.LOG]
    store.opened(job, Submission("123"), logs)
    return the_sweep(store)


def the_sweep(store: Store) -> Job:
    (job,) = store.open_jobs()
    return job


def part_of(job: Job, index: int) -> Job:
    """What the story makes of a task."""
    return replace(
        job,
        request=replace(job.request, sweep=(), task_outputs=()),
        claims=tuple(replace(each, task=None) for each in job.claims if each.task == index),
        parts=(next(part for part in job.parts if part.index == index),),
    )


def finish(store: Store, job: Job, *indices: int) -> None:
    units = [Unit(job.key, index) for index in indices]
    store.plan_commits(dict.fromkeys(units, PLAN), dict.fromkeys(units, DONE))
    store.finished(units)


def states(job: Job) -> list[str]:
    return [part.state.value for part in job.parts]


def tasks_of(claims: Sequence[Claim]) -> set[int | None]:
    return {claim.task for claim in claims}


def test_a_sweep_comes_back_as_it_was(store: Store, new_sweep: NewJob) -> None:
    kept = store.reserve(new_sweep("s", 3))
    assert kept.parts == tuple(Part(index, values={"sub": f"s-{index}"}) for index in range(3))
    assert store.open_jobs() == store.unsettled_jobs() == [kept]
    assert kept.request.sweep == tuple(part.values for part in kept.parts)
    store.opened(kept, Submission("123"), ())
    assert store.jobs_named(["123"]) == store.open_jobs()
    assert the_sweep(store).request == kept.request


def test_logs_are_claimed_by_their_true_names(store: Store, new_sweep: NewJob) -> None:
    job = store.reserve(new_sweep("s", 2))
    logs = [replace(claim_for(f"log-123_{task}", ClaimRole.LOG), task=task) for task in (0, 1)]
    store.opened(job, Submission("123"), logs)
    kept = [claim for claim in the_sweep(store).claims if claim.role is ClaimRole.LOG]
    assert kept == logs


def test_jobs_that_are_reserved_together_are_kept_all_or_none(
    store: Store, new_sweep: NewJob, new_job: NewJob
) -> None:
    with pytest.raises(OutputsClaimed, match="out/b-1/"):
        store.reserve_all([new_sweep("a", 2), new_sweep("b", 2), new_job("out/b-1/x")])
    assert store.open_jobs() == []
    kept = store.reserve_all([new_sweep("a", 2), new_sweep("b", 3)])
    assert store.open_jobs() == kept
    assert [len(job.parts) for job in kept] == [2, 3]


def test_parts_that_are_over_hold_nothing_and_are_not_read_again(
    store: Store, sweep: Job, new_job: NewJob
) -> None:
    finish(store, sweep, 1)
    store.closed(part_of(sweep, 2), FAILED, "it failed")
    job = the_sweep(store)
    assert states(job) == ["open", "finished", "closed", "open"]
    assert (job.open_tasks, job.scheduler_key.tasks) == ((0, 3), (0, 3))
    assert tasks_of(job.claims) == {0, 3}
    store.reserve(new_job("out/s-1/x", "out/s-2/"))
    for held in ("out/s-0/x", "out/s-3", "log-s-0", "out/s-[03]/y"):
        with pytest.raises(OutputsClaimed, match=r"\(job 123\)"):
            store.reserve(new_job(held))


def test_a_claim_near_to_all_paths_meets_open_parts_only(
    store: Store, sweep: Job, new_job: NewJob
) -> None:
    finish(store, sweep, 0, 1, 2)
    with pytest.raises(OutputsClaimed, match=r"123"):
        store.reserve(new_job("?ut/s-3/x"))
    store.reserve(new_job("?ut/s-[012]/x"))


def test_a_planned_commit_is_known_to_the_next_round(store: Store, sweep: Job) -> None:
    unit = Unit(sweep.key, 2)
    store.plan_commits({unit: PLAN}, {unit: DONE})
    job = the_sweep(store)
    assert (job.commit, job.ref) == ("", "")
    assert [(part.commit, part.ref) for part in job.parts] == [("", ""), ("", ""), PLAN, ("", "")]
    assert job.parts[2].values == {"sub": "s-2"}
    assert states(job) == ["open"] * 4


@pytest.mark.parametrize(
    ("finished", "closed", "state"),
    [((0, 1, 2, 3), (), "finished"), ((1,), (0, 2, 3), "finished"), ((), (0, 1, 2, 3), "closed")],
)
def test_a_sweep_is_over_with_its_last_part(
    store: Store, sweep: Job, finished: Sequence[int], closed: Sequence[int], state: str
) -> None:
    finish(store, sweep, *finished)
    store.all_closed([(part_of(sweep, index), FAILED, "no use") for index in closed])
    assert store.open_jobs() == []
    (job,) = store.jobs_named(["123"])
    assert (job.state.value, job.note) == (state, "no use" if closed else "")
    assert sorted(states(job)) == sorted(["finished"] * len(finished) + ["closed"] * len(closed))


def test_to_close_a_sweep_is_to_close_its_open_parts(
    store: Store, sweep: Job, url: str, new_job: NewJob
) -> None:
    finish(store, sweep, 0)
    store.closed(the_sweep(store), (), "its worktree was removed")
    (job,) = store.jobs_named(["123"])
    assert (job.state, states(job)) == (JobState.FINISHED, ["finished"] + ["closed"] * 3)
    store.reserve(new_job("out/"))
    with sqlite3.connect(file_of(url)) as connection:
        kept = connection.execute("SELECT number, sweep_values, state, [commit] FROM tasks")
        assert kept.fetchall()[:2] == [
            (0, '{"sub": "s-0"}', "COMPLETED", PLAN[0]),
            (1, '{"sub": "s-1"}', "", ""),
        ]


def test_a_part_that_is_over_stays_what_it_is(store: Store, sweep: Job) -> None:
    """Two may have decided about it; what was first counts."""
    finish(store, sweep, 0)
    store.closed(part_of(sweep, 0), FAILED, "late")
    assert states(the_sweep(store)) == ["finished"] + ["open"] * 3


def test_more_outputs_of_a_part_are_kept_from_its_siblings(store: Store, sweep: Job) -> None:
    part = part_of(sweep, 1)
    more = store.claim_more(part, [claim_for("extra"), claim_for("out/s-1/")])
    assert tasks_of(more.claims) == {None}
    assert {claim.path for claim in the_sweep(store).claims if claim.task == 1} == {
        "out/s-1",
        "log-s-1",
        "extra",
    }
    with pytest.raises(OutputsClaimed, match="123"):
        store.claim_more(part_of(the_sweep(store), 2), [claim_for("extra")])
    finish(store, sweep, 1)
    store.claim_more(part_of(the_sweep(store), 2), [claim_for("extra")])


def test_ten_thousand_tasks_are_ordinary(store: Store, new_sweep: NewJob) -> None:
    job = new_sweep("s", 10_000)
    seconds = {"reserve": took(lambda: store.reserve(job)), "read": took(store.open_jobs)}
    kept = the_sweep(store)

    def finish_all() -> None:
        for start in range(0, 10_000, 500):
            finish(store, kept, *range(start, start + 500))

    seconds["finish"] = took(finish_all)
    assert store.open_jobs() == []
    assert (seconds["reserve"] < 4, seconds["read"] < 1, seconds["finish"] < 6) == (True,) * 3, (
        seconds
    )


def took(call: Callable[[], Any]) -> float:
    """Seconds of processor time: others may keep the machine busy."""
    before = time.process_time()
    call()
    return time.process_time() - before


def test_what_is_submitted_again_holds_nothing_of_tasks_that_are_over(
    store: Store, sweep: Job, new_job: NewJob
) -> None:
    finish(store, sweep, 0, 1, 2)
    store.reserve(new_job("out/s-0/"))
    before = [claim for claim in the_first(store).claims if claim.task == 0]
    for state in (JobState.RESERVED, JobState.SUBMITTING):
        store.move(sweep, state)
    store.opened(sweep, Submission("124"), [])
    assert [claim for claim in the_first(store).claims if claim.task == 0] == before == []
    # Others may have them, and are held responsible for them alone.
    store.reserve(new_job("out/s-1/"))
    assert len(store.makers([claim_for("out/s-0/")], "")) == 1
    with pytest.raises(OutputsClaimed):
        store.reserve(new_job("out/s-3/"))


def the_first(store: Store) -> Job:
    return store.open_jobs()[0]
