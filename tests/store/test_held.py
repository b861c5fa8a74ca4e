"""Which claims are looked at when a job wants paths, and what that costs."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from datalad_hpc.claims import claim_for, collide
from datalad_hpc.errors import InputsClaimed, OutputsClaimed
from datalad_hpc.job import Claim, ClaimRole, Job, JobState, Unit
from datalad_hpc.status import Submission
from datalad_hpc.store import Store, open_store
from tests.store.helpers import file_of, put_in

NewJob = Callable[..., Job]

PARTS = st.sampled_from("a b ab a1 * a* *b ** [a] a[1] .a \U0010ffff a\U0010ffff ä".split())  # noqa: SIM905
PATHS = st.lists(PARTS, max_size=3).map("/".join).map(lambda path: path or ".")
ROLES = st.sampled_from(ClaimRole)
CLAIMS = st.builds(claim_for, PATHS | PATHS.map("{}/".format), ROLES)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(CLAIMS, max_size=5), st.lists(CLAIMS, min_size=1, max_size=3))
def test_paths_are_refused_exactly_if_a_held_one_collides(
    url: str, new_job: NewJob, held: list[Claim], wanted: list[Claim]
) -> None:
    with open_store(url, scope=secrets.token_hex(8)) as store:
        put_in(store, [new_job(claims=(claim,)) for claim in held])
        if any(collide(one, other) for one in held for other in wanted):
            with pytest.raises(OutputsClaimed):
                store.reserve(new_job(claims=tuple(wanted)))
        else:
            store.reserve(new_job(claims=tuple(wanted)))


def test_more_is_refused_that_another_job_holds_but_not_ones_own(
    store: Store, new_job: NewJob
) -> None:
    other = store.reserve(new_job("other/"))
    mine = store.reserve(new_job("mine/"))
    more = store.claim_more(mine, [claim_for("mine/x"), claim_for("mine/*.txt")])
    assert store.open_jobs() == [other, more]
    for path in ("other/x", "o*", "."):
        with pytest.raises(OutputsClaimed, match=rf"job {other.label}\)"):
            store.claim_more(more, [claim_for(path)])
    assert store.claim_more(more, []) == more
    with pytest.raises(OutputsClaimed, match=rf"job {mine.label}\)"):
        store.reserve(new_job("mine/y"))


def test_a_job_without_outputs_is_in_nobodys_way(store: Store, new_job: NewJob) -> None:
    store.reserve(new_job("."))
    store.reserve(new_job())


@pytest.mark.parametrize("over", ["closed", "refused", "finished"])
def test_a_job_that_is_over_is_not_looked_at_any_more(
    url: str, store: Store, new_job: NewJob, over: str
) -> None:
    job = store.reserve(new_job("out", "*.txt", "."))
    assert stems_of(url) == ["", "", "out/"]
    {
        "closed": lambda: store.closed(job, (), ""),
        "refused": lambda: store.move(job, JobState.REFUSED),
        "finished": lambda: store.finished([job.unit]),
    }[over]()
    assert stems_of(url) == []


def stems_of(url: str) -> list[str]:
    with sqlite3.connect(file_of(url)) as connection:
        found = connection.execute("SELECT stem FROM claims WHERE stem IS NOT NULL ORDER BY stem")
        return [stem for (stem,) in found]


@pytest.mark.parametrize("path", ["out", "out/x", "o*", "."])
def test_a_job_that_was_taken_for_over_holds_its_paths_again(
    store: Store, new_job: NewJob, path: str
) -> None:
    job = store.reserve(new_job("out"))
    store.move(job, JobState.REFUSED)
    store.opened(job, Submission("7"), ())
    with pytest.raises(OutputsClaimed, match="job 7"):
        store.reserve(new_job(path))


# Cost, in what does not depend on the machine


@contextmanager
def counted(store: Store) -> Iterator[dict[str, int]]:
    """Count statements, and the instructions of SQLite's machine by hundreds."""
    counts = {"statements": 0, "instructions": 0}

    def count_instructions() -> None:
        counts["instructions"] += 100

    def executed(*_any: object) -> None:
        counts["statements"] += 1

    driver: Any = store._connection.connection.dbapi_connection
    driver.set_progress_handler(count_instructions, 100)
    event.listen(store._connection.engine, "before_cursor_execute", executed)
    yield counts
    event.remove(store._connection.engine, "before_cursor_execute", executed)
    driver.set_progress_handler(None, 0)
    assert counts["statements"], "nothing was counted"


def cost(store: Store, job: Job) -> int:
    """Instructions that it takes to reserve a job, and to say that it is over."""
    with counted(store) as counts:
        store.finished([store.reserve(replace(job, token=secrets.token_hex(8))).unit])
    return counts["instructions"]


@pytest.mark.parametrize("wanted", ["out/new/", "out/new*", "deep/er/new.dat"])
def test_other_open_jobs_cost_nothing(store: Store, new_job: NewJob, wanted: str) -> None:
    job = new_job(wanted, claims=(claim_for(wanted), claim_for("slurm-token_*.out")))
    alone = cost(store, job)
    many = [(f"out/{number}/", f"slurm-{number}_*.out") for number in range(1000)]
    put_in(store, [new_job(*paths) for paths in many])
    assert cost(store, job) <= 1.5 * alone + 1000


@pytest.mark.parametrize("wanted", ["out/x", "out/", "o*"])
def test_jobs_that_are_over_cost_nothing(store: Store, new_job: NewJob, wanted: str) -> None:
    alone = cost(store, new_job(wanted))
    put_in(store, [new_job("out/x") for _number in range(1000)])
    store.finished([job.unit for job in store.open_jobs()])
    assert cost(store, new_job(wanted)) <= 1.5 * alone + 1000


def test_thousands_of_outputs_take_no_more_statements_than_one(
    store: Store, new_job: NewJob
) -> None:
    """And no more values in a statement than SQLite allows."""
    with counted(store) as one:
        store.reserve(new_job("out/one"))
    many = [f"run/{number % 7}/part-{number}.dat" for number in range(2000)]
    with counted(store) as two_thousand:
        store.reserve(new_job(*many))
    assert two_thousand["statements"] == one["statements"] < 12
    with pytest.raises(OutputsClaimed, match=r"run/6/part-1000.dat \(job"):
        store.reserve(new_job(*(f"other/{number}" for number in range(2000)), many[1000]))


def test_finishing_many_takes_no_more_statements_than_one(store: Store, new_job: NewJob) -> None:
    put_in(store, [new_job(f"out/{number}") for number in range(51)])
    first, *others = [job.unit for job in store.open_jobs()]

    def finish(keys: list[Unit]) -> int:
        with counted(store) as counts:
            store.plan_commits(dict.fromkeys(keys, ("c" * 40, "HEAD")), dict.fromkeys(keys, ()))
            store.finished(keys)
        return counts["statements"]

    assert finish(others) == finish([first])
    assert store.open_jobs() == []
    store.plan_commits({}, {})
    store.finished([])


def test_a_job_has_to_know_of_the_open_jobs_that_make_what_it_reads(
    store: Store, new_job: NewJob
) -> None:
    first, second = store.reserve(new_job("out/")), store.reserve(new_job("tab/*.tsv"))
    store.closed(store.reserve(new_job("out2/")), (), "")
    elsewhere = store.reserve(new_job("there/", worktree="worktrees/other"))
    for paths, makers in [
        (["out/x"], [first]),
        (["."], [first, second]),
        (["tab/1.tsv", "out/x/y"], [first, second]),
        (["tab/1.txt", "out2/x", "there/x"], []),
    ]:
        read = tuple(map(claim_for, paths))
        assert store.makers(read, "") == makers
        if makers:
            with pytest.raises(InputsClaimed):
                store.reserve(new_job("mine", depends_on=(elsewhere.key,)), read=read)
        known = tuple(maker.key for maker in makers)
        job = store.reserve(new_job("mine", depends_on=known), read=read)
        assert store.jobs_of([job.key]) == [job]
        store.finished([job.unit])
    read = (claim_for("there/x"), claim_for("out/x"))
    assert store.makers(read, "worktrees/other") == [elsewhere]
    assert store.makers((), "") == []


def test_a_job_that_writes_what_it_reads_does_not_wait_for_itself(
    store: Store, new_job: NewJob
) -> None:
    job = store.reserve(new_job("out/"), read=[claim_for("out/x")])
    assert job.depends_on == ()


def test_what_nobody_makes_costs_one_query(store: Store, new_job: NewJob) -> None:
    put_in(store, [new_job(f"out/{number}/") for number in range(1000)])
    with counted(store) as without:
        store.reserve(new_job("mine/1"))
    read = [claim_for("raw/sub-01.nii"), claim_for("code/")]
    with counted(store) as reading:
        store.reserve(new_job("mine/2"), read=read)
    # The paths go into a table that is there for the query.
    assert reading["statements"] == without["statements"] + 4
    assert reading["instructions"] <= without["instructions"] + 1000
