"""What is kept of jobs, who holds which path, and what remains."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import BadRequest, OutputsClaimed
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job, JobState, Request
from datalad_hpc.status import Phase, Submission, TaskStatus
from datalad_hpc.store import Store, open_store, rows

NewJob = Callable[..., Job]

WHEN = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=2)))
DONE = (TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0),)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
TIMES = st.datetimes(timezones=st.just(timezone.utc))
CLAIMS = st.lists(
    st.builds(
        Claim,
        TEXT,
        st.sampled_from(ClaimKind),
        st.sampled_from(ClaimRole),
        st.none() | st.integers(0, 4_000_000),
    ),
    max_size=3,
).map(tuple)
REQUESTS = st.builds(
    Request,
    command=TEXT,
    folder=TEXT,
    inputs=TEXTS,
    outputs=TEXTS,
    extra_inputs=TEXTS,
    message=TEXT,
    expand=st.none() | TEXT,
    assume_ready=st.none() | TEXT,
    check_outputs=st.booleans(),
    alternative=st.none() | TEXT,
    chain=TEXTS,
    jobs=st.none() | st.integers(0, 99),
    task_outputs=TEXTS,
    only_tasks=st.lists(st.integers(0, 9), max_size=3).map(tuple),
)
JOBS = st.builds(
    Job,
    key=st.just(0),
    token=st.just(""),
    state=st.sampled_from(JobState),
    scheduler=TEXT,
    cluster=TEXT,
    job_id=TEXT.filter(bool),
    created=TIMES,
    submitted=st.none() | TIMES,
    request=REQUESTS,
    script=st.text(),
    submit_line=st.lists(st.text(), max_size=3).map(tuple),
    tasks=st.none() | st.lists(st.integers(0, 9), max_size=3).map(tuple),
    head=TEXT,
    commit=TEXT,
    ref=TEXT,
    note=TEXT,
    claims=CLAIMS,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(JOBS)
def test_a_job_comes_back_as_it_was(store: Store, job: Job) -> None:
    job = replace(job, token=secrets.token_hex(8))
    kept = store.reserve(job, check=False)
    assert kept == replace(job, key=kept.key)
    assert kept in store.jobs_named([job.job_id])
    assert (kept in store.open_jobs()) is job.state.holds_claims


@pytest.mark.parametrize("field", ["command", "folder", "message"])
def test_what_is_not_utf8_is_refused_and_nothing_kept(
    store: Store, new_job: NewJob, field: str
) -> None:
    values = {"command": "x", "folder": "", "message": "", field: "a\udcff"}
    request = Request(inputs=(), outputs=("o",), **values)
    with pytest.raises(BadRequest, match=r"not valid UTF-8"):
        store.reserve(new_job("o", request=request))
    assert store.open_jobs() == []
    store.reserve(new_job("o"))


# Claims


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("out/x", "out/x"),
        ("out/", "out/x"),
        ("out/x", "out/"),
        (".", "out/x"),
        ("out/x", "."),
        ("out/*.txt", "out/a.txt"),
        ("out/a.txt", "o*/a.*"),
        ("out/[ab]*", "out/*z"),
    ],
)
def test_a_held_path_is_refused_and_its_job_named(
    store: Store, new_job: NewJob, held: str, wanted: str
) -> None:
    first = store.reserve(new_job(held))
    with pytest.raises(OutputsClaimed) as caught:
        store.reserve(new_job(wanted))
    assert f"{wanted} (job submission-{first.token[:8]})" in str(caught.value)
    store.opened(first, Submission("77"), ())
    with pytest.raises(OutputsClaimed, match=r"\(job 77\); finish .*`datalad finish 77`"):
        store.reserve(new_job(wanted))
    assert [job.key for job in store.open_jobs()] == [first.key]


def test_all_conflicts_are_named(store: Store, new_job: NewJob) -> None:
    for number, path in enumerate(("a", "b")):
        store.opened(store.reserve(new_job(path)), Submission(str(number)), ())
    with pytest.raises(OutputsClaimed, match=r"a \(job 0\), b \(job 1\); .*`datalad finish 0 1`"):
        store.reserve(new_job("a", "b", "c"))
    assert len(store.open_jobs()) == 2
    store.reserve(new_job("c"))


def test_a_jobs_own_claims_may_overlap(store: Store, new_job: NewJob) -> None:
    assert len(store.reserve(new_job("out/", "out/x", "out/*")).claims) == 3


def test_unchecked_paths_are_claimed_all_the_same(store: Store, new_job: NewJob) -> None:
    store.reserve(new_job("x"))
    store.reserve(new_job("x"), check=False)
    assert len(store.open_jobs()) == 2


def test_logs_are_claimed_by_their_true_names(store: Store, new_job: NewJob) -> None:
    log = claim_for("slurm-token.out", ClaimRole.LOG)
    job = store.reserve(new_job("out/", claims=(claim_for("out/"), log)))
    true = claim_for("slurm-7.out", ClaimRole.LOG)
    store.opened(job, Submission("7", "east"), [true])
    (kept,) = store.open_jobs()
    assert kept.claims == (claim_for("out/"), true)
    assert (kept.state, kept.job_id, kept.cluster) == (JobState.OPEN, "7", "east")
    store.reserve(new_job("slurm-token.out"))
    with pytest.raises(OutputsClaimed, match="job 7"):
        store.reserve(new_job("slurm-7.out"))


# From the first to the last


def test_a_job_lives_and_is_remembered(url: str, store: Store, new_job: NewJob) -> None:
    job = store.reserve(new_job("out", tasks=(0, 1)))
    store.move(job, JobState.SUBMITTING)
    assert [kept.state for kept in store.open_jobs()] == [JobState.SUBMITTING]
    store.opened(job, Submission("5"), [])
    (kept,) = store.open_jobs()
    assert kept.submitted
    assert datetime.now(timezone.utc) - kept.submitted < timedelta(minutes=1)
    ended = (
        TaskStatus(0, "COMPLETED", Phase.COMPLETED, exit_code=0, elapsed=1.5, started=WHEN),
        TaskStatus(1, "FAILED", Phase.FAILED, "NonZeroExitCode", 3, None, nodes="n1"),
    )
    store.plan_commits({job.unit: ("c" * 40, "refs/heads/main")}, {job.unit: ended})
    (kept,) = store.open_jobs()
    assert (kept.commit, kept.ref, kept.state) == ("c" * 40, "refs/heads/main", JobState.OPEN)
    with pytest.raises(OutputsClaimed):
        store.reserve(new_job("out"))
    store.finished([job.unit])
    assert store.open_jobs() == []
    (kept,) = store.jobs_named(["5"])
    assert (kept.state, kept.commit) == (JobState.FINISHED, "c" * 40)
    assert kept.claims == (claim_for("out"),)
    assert tasks_of(url) == [
        (0, "COMPLETED", "c" * 40),
        (1, "FAILED", "c" * 40),
    ]
    assert store.reserve(new_job("out")).key != job.key


def tasks_of(url: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        found = connection.execute('SELECT number, state, "commit" FROM tasks ORDER BY number')
        return found.fetchall()


def test_what_was_said_of_the_whole_job_stays(url: str, store: Store, new_job: NewJob) -> None:
    finished, closed = store.reserve(new_job("out")), store.reserve(new_job("other"))
    facts = {"name": "ä", "requested_cpus": 2, "jobs": {"7": {"time_limit": 60}}}
    plan = {finished.unit: ("c" * 40, "HEAD")}
    store.plan_commits(plan, {finished.unit: DONE}, facts={finished.unit: facts})
    # Nothing was told any more, or of an earlier attempt.
    for other in {}, {"name": "earlier", "attempt": "3"}:
        store.plan_commits(plan, {finished.unit: DONE}, facts={finished.unit: other})
    store.all_closed([(closed, DONE, "failed")], {closed.unit: {"name": "other"}})
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        kept = connection.execute("SELECT facts FROM jobs ORDER BY key").fetchall()
    assert [json.loads(told) for (told,) in kept] == [facts, {"name": "other"}]


def test_a_submitted_time_that_is_known_is_kept(store: Store, new_job: NewJob) -> None:
    job = store.reserve(new_job("out", submitted=WHEN))
    store.opened(job, Submission("5"), [])
    (kept,) = store.open_jobs()
    assert kept.submitted == WHEN


def test_a_plan_may_be_made_again(url: str, store: Store, new_job: NewJob) -> None:
    """After an interruption the next ``finish`` plans anew; its word counts."""
    job = store.reserve(new_job("out"))
    for commit in ("a" * 40, "b" * 40):
        store.plan_commits({job.unit: (commit, "HEAD")}, {job.unit: DONE})
    assert store.open_jobs()[0].commit == "b" * 40
    assert tasks_of(url) == [(rows.PLAIN_TASK, "COMPLETED", "b" * 40)]


@pytest.mark.parametrize("over", ["closed", "refused", "finished"])
def test_paths_are_free_again_once_a_job_is_over(
    url: str, store: Store, new_job: NewJob, over: str
) -> None:
    job = store.reserve(new_job("out"))
    if over == "closed":
        store.opened(job, Submission("5"), [])
        store.closed(job, DONE, "it failed")
        assert tasks_of(url) == [(rows.PLAIN_TASK, "COMPLETED", "")]
    elif over == "refused":
        store.move(job, JobState.REFUSED, note="sbatch said no")
    else:
        store.finished([job.unit])
    store.reserve(new_job("out"))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        states = connection.execute("SELECT state, note FROM jobs ORDER BY key").fetchall()
    notes = {"closed": "it failed", "refused": "sbatch said no", "finished": ""}
    assert states == [(over, notes[over]), ("reserved", "")]


def test_open_jobs_come_in_the_order_of_their_making(store: Store, new_job: NewJob) -> None:
    made = [store.reserve(new_job(str(number))) for number in range(12)]
    assert store.open_jobs() == made


def test_jobs_are_found_by_id_and_by_their_stand_in(store: Store, new_job: NewJob) -> None:
    one = store.reserve(new_job("a", token="aaaabbbbcccc"))
    two = store.reserve(new_job("b"))
    store.opened(two, Submission("12-3"), [])
    store.closed(two, (), "over")
    again = store.reserve(new_job("c"))
    store.opened(again, Submission("12-3"), [])

    def keys(*names: str) -> list[int]:
        return [job.key for job in store.jobs_named(names)]

    assert keys(one.label) == keys("submission-aaaabbbb") == [one.key]
    assert keys("12-3") == [two.key, again.key]
    assert keys("12-3", one.label) == [one.key, two.key, again.key]
    for strange in ("submission-", "submission-a", "submission-%", "-", "aaaabbbb", "", "'", "12"):
        assert keys(strange) == []
    assert keys() == []
    store.move(one, JobState.REFUSED)
    assert keys(one.label) == [one.key]


# Several datasets, several openings


def test_datasets_that_share_a_store_do_not_see_each_other(url: str, new_job: NewJob) -> None:
    with open_store(url, scope="/one") as one, open_store(url, scope="/two") as two:
        first = one.reserve(new_job("out"))
        assert two.open_jobs() == []
        two.reserve(new_job("out"))
        one.opened(first, Submission("5"), [])
        assert two.jobs_named(["5"]) == []
        assert [job.label for job in one.open_jobs()] == ["5"]
        with pytest.raises(OutputsClaimed):
            one.reserve(new_job("out"))


def test_two_openings_of_a_store_see_each_other(url: str, new_job: NewJob) -> None:
    with open_store(url) as one, open_store(url) as two:
        job = one.reserve(new_job("out"))
        with pytest.raises(OutputsClaimed):
            two.reserve(new_job("out/x"))
        two.closed(job, (), "")
        one.reserve(new_job("out/x"))


def test_a_store_is_there_when_it_is_opened_again(url: str, new_job: NewJob) -> None:
    with open_store(url) as store:
        job = store.reserve(new_job("out"))
    with open_store(url) as store:
        assert store.open_jobs() == [job]


@pytest.mark.parametrize("name", ["with blank", "a?b=c", "a#b", "a%20b", "ä", "a&b", "~"])
def test_a_path_may_stand_for_a_url(tmp_path: Path, new_job: NewJob, name: str) -> None:
    path = tmp_path / name / "jobs.db"
    with open_store(str(path)) as store:
        store.reserve(new_job("out"))
    assert path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_open_jobs_are_counted_by_scheduler(store: Store, new_job: NewJob) -> None:
    assert store.open_numbers() == {}
    jobs = [store.reserve(new_job(f"out/{n}")) for n in range(3)]
    store.reserve(new_job("out/3", scheduler="local"))
    store.finished([jobs[0].unit])
    assert store.open_numbers() == {"slurm": 2, "local": 1}


def test_claims_of_ten_thousand_tasks_are_ordinary(store: Store, new_job: NewJob) -> None:
    def an_array(name: str) -> Job:
        of_tasks = [replace(claim_for(f"out/{task}-{name}*"), task=task) for task in range(10_000)]
        return new_job(claims=(claim_for("whole.txt"), *of_tasks), tasks=tuple(range(10_000)))

    start = time.monotonic()
    kept = store.reserve(replace(an_array("a"), claims=an_array("a").claims[1:]))
    other = store.reserve(an_array("b"))
    with pytest.raises(OutputsClaimed, match=r"out/0-a\*.* and 9,991 more") as refused:
        store.reserve(replace(an_array("a"), token="another"))
    # A machine that does other things meanwhile may need a minute; comparing all with all takes
    # many.
    assert time.monotonic() - start < 120
    assert len(str(refused.value)) < 1000
    assert [job.claims for job in store.open_jobs()] == [kept.claims, other.claims]


def test_a_job_from_before_there_were_outputs_of_tasks(
    store: Store, url: str, new_job: NewJob
) -> None:
    job = store.reserve(new_job("out/", tasks=(1, 2)))
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw, raw:
        ((text,),) = raw.execute("SELECT details FROM jobs").fetchall()
        details = json.loads(text)
        del details["request"]["task_outputs"], details["request"]["only_tasks"]
        raw.execute("UPDATE jobs SET details = ?", [json.dumps(details)])
    assert store.open_jobs() == [job]


def test_tasks_that_a_commit_does_not_cover(store: Store, new_job: NewJob, url: str) -> None:
    job = store.reserve(new_job("out/", tasks=(1, 2, 3)))
    ended = [
        TaskStatus(1, "COMPLETED", Phase.COMPLETED),
        TaskStatus(2, "FAILED", Phase.FAILED),
        TaskStatus(3, "COMPLETED", Phase.COMPLETED),
    ]
    plan = {job.unit: ("c" * 40, "refs/heads/main")}
    store.plan_commits(plan, {job.unit: ended}, {job.unit: (2,)})
    assert store.left_out(job) == {2}
    # A later round may decide otherwise.
    store.plan_commits(plan, {job.unit: ended})
    assert store.left_out(job) == set()
