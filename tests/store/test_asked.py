"""What was asked for is told to those who know the commit and the id of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from datalad_hpc.job import Job, Request
from datalad_hpc.status import Phase, Submission, TaskStatus
from datalad_hpc.store import Store, open_store

NewJob = Callable[..., Job]

DONE = (TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0),)


def finished(store: Store, job: Job, job_id: str, commit: str) -> None:
    kept = store.reserve(job)
    store.opened(kept, Submission(job_id), ())
    store.plan_commits({kept.unit: (commit, "refs/heads/main")}, {kept.unit: DONE})
    store.finished([kept.unit])


def test_only_the_job_of_both_the_commit_and_the_id(store: Store, new_job: NewJob) -> None:
    job = new_job("out")
    given = replace(job, request=replace(job.request, resources={"account": "us"}))
    finished(store, given, "7", "a" * 40)
    finished(store, new_job("other"), "8", "b" * 40)
    assert store.resources_of({"a" * 40: "7", "b" * 40: "8", "c" * 40: "9"}) == {
        "a" * 40: {"account": "us"},
        "b" * 40: {},
    }
    assert store.resources_of({"c" * 40: "7"}) == {}
    assert store.resources_of({"a" * 40: "8"}) == {}
    assert store.resources_of({}) == {}


def test_another_dataset_in_the_same_store_is_not_asked(url: str, new_job: NewJob) -> None:
    job = replace(new_job(), request=Request("x", "", (), (), resources={"account": "us"}))
    with open_store(url, scope="here") as store:
        finished(store, job, "7", "a" * 40)
        assert store.resources_of({"a" * 40: "7"}) == {"a" * 40: {"account": "us"}}
    with open_store(url, scope="there") as store:
        assert store.resources_of({"a" * 40: "7"}) == {}


def test_thousands_of_commits_are_asked_for_at_once(store: Store, new_job: NewJob) -> None:
    finished(store, new_job("out"), "7", "a" * 40)
    many = {f"{number:040}": str(number) for number in range(100, 3000)}
    assert store.resources_of({**many, "a" * 40: "7"}) == {"a" * 40: {}}
