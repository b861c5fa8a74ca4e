"""Each scheduler is asked once, and what it did not tell is live."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from datalad_hpc.errors import BadRequest, HpcError, SchedulerUnreachable
from datalad_hpc.job import JobState
from datalad_hpc.polling import NOT_TOLD, ask, complete, expect, is_forgotten, unknown_text
from datalad_hpc.status import JobKey, JobStatus, Phase, TaskStatus
from tests.jobs import a_job


def done(job_id: str, *indices: int | None) -> JobStatus:
    tasks = (TaskStatus(index, "COMPLETED", Phase.COMPLETED) for index in indices or (None,))
    return JobStatus(job_id, tuple(tasks))


class Oracle:
    """A scheduler that knows some jobs and counts how often it is asked."""

    def __init__(self, *known: str, failure: HpcError | None = None) -> None:
        self.known, self.failure = known, failure
        self.asked: list[tuple[list[str], bool]] = []
        self.expected = 0

    def expect(self, number: int) -> None:
        self.expected = number

    def status(self, jobs: Sequence[JobKey], *, facts: bool) -> Mapping[str, JobStatus]:
        self.asked.append(([key.job_id for key in jobs], facts))
        if self.failure:
            raise self.failure
        return {name: done(name) for name in self.known}


def test_each_scheduler_is_asked_once_for_all_its_jobs() -> None:
    oracles: dict[str, Any] = {"slurm": Oracle("1", "3"), "local": Oracle("2")}
    jobs = [a_job(1), a_job(2, scheduler="local"), a_job(3), a_job(4)]
    answers = ask(jobs, oracles.__getitem__, facts=True)
    assert oracles["slurm"].asked == [(["1", "3", "4"], True)]
    assert oracles["local"].asked == [(["2"], True)]
    assert sorted(answers.statuses) == [1, 2, 3]
    assert answers.of(jobs[0]) == done("1")
    assert answers.of(jobs[3]) is None
    assert answers.failures == []


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.OPEN])
def test_jobs_that_no_scheduler_can_know_are_passed_over(state: JobState) -> None:
    oracle: Any = Oracle("1")
    answers = ask([a_job(1, state=state)], lambda _name: oracle, facts=False)
    assert oracle.asked == []
    assert answers.statuses == {}


def test_schedulers_hear_how_many_jobs_are_coming() -> None:
    slurm = Oracle()

    def scheduler_named(name: str) -> Any:
        if name != "slurm":
            raise BadRequest(f"there is no scheduler {name}")
        return slurm

    expect({"gone": 3, "slurm": 7}, scheduler_named)
    assert slurm.expected == 7


def test_no_jobs_are_no_question() -> None:
    answers = ask([], {}.__getitem__, facts=False)
    assert (answers.statuses, answers.failures) == ({}, [])


def test_a_scheduler_without_an_answer_stops_no_other() -> None:
    failure = SchedulerUnreachable("slurmctld is away")
    oracles: dict[str, Any] = {"slurm": Oracle(failure=failure), "local": Oracle("2")}
    jobs = [a_job(1), a_job(2, scheduler="local")]
    answers = ask(jobs, oracles.__getitem__, facts=False)
    assert answers.failures == [failure]
    assert answers.unreachable == {"slurm"}
    assert sorted(answers.statuses) == [2]


def test_a_scheduler_that_is_not_there_any_more_stops_no_other() -> None:
    oracle: Any = Oracle("2")

    def named(name: str) -> Any:
        if name == "gone":
            raise BadRequest("there is no scheduler 'gone'")
        return oracle

    jobs = [a_job(1, scheduler="gone"), a_job(2)]
    answers = ask(jobs, named, facts=False)
    assert [str(failure) for failure in answers.failures] == ["there is no scheduler 'gone'"]
    assert sorted(answers.statuses) == [2]
    assert "left as it is, since gone gave no answer" in unknown_text(jobs[0], answers)


def test_tasks_that_were_not_told_of_may_still_run() -> None:
    job = a_job(1, tasks=(0, 1, 5))
    status = complete(job, done("1", 1))
    assert [(task.index, task.state) for task in status.tasks] == [
        (1, "COMPLETED"),
        (0, NOT_TOLD),
        (5, NOT_TOLD),
    ]
    assert status.phase is Phase.LIVE
    assert complete(job, done("1", 0, 1, 5)).phase is Phase.COMPLETED
    assert complete(a_job(1), done("1")) == done("1")


def test_an_array_of_which_one_task_is_told_is_not_over() -> None:
    class Half(Oracle):
        def status(self, jobs: Sequence[JobKey], *, facts: bool) -> Mapping[str, JobStatus]:
            return {"1": JobStatus("1", done("1", 0).tasks, {"name": "x"}, {"user": "y"})}

    half: Any = Half()
    job = a_job(1, tasks=(0, 1))
    status = ask([job], lambda _name: half, facts=True).of(job)
    assert status
    assert status.phase is Phase.LIVE
    assert (status.facts, status.identity) == ({"name": "x"}, {"user": "y"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": JobState.SUBMITTING, "job_id": ""}, "submission-token-1-.* stay reserved"),
        ({"state": JobState.RESERVED, "job_id": ""}, "stay reserved"),
        ({"submitted": timedelta(seconds=1)}, r"slurm does not know job 1 \(yet\).*try again"),
        ({"submitted": timedelta(hours=1)}, "does not know job 1 any more.*by name"),
    ],
)
def test_why_nothing_is_known_is_said(fields: dict[str, Any], words: str) -> None:
    if ago := fields.get("submitted"):
        fields = {**fields, "submitted": datetime.now(timezone.utc) - ago}
    job = a_job(1, **fields)
    oracle: Any = Oracle()
    text = unknown_text(job, ask([job], lambda _name: oracle, facts=False))
    assert re.search(words, text)


def test_jobs_with_the_same_id_are_asked_for_one_after_another() -> None:
    oracle: Any = Oracle("1", "2")
    answers = ask([a_job(1), a_job(2), a_job(3, job_id="1")], lambda _name: oracle, facts=False)
    assert [ids for ids, _ in oracle.asked] == [["1", "2"], ["1"]]
    assert sorted(answers.statuses) == [1, 2, 3]


def test_nothing_is_forgotten_of_which_nothing_could_be_said() -> None:
    class Silent(Oracle):
        def status(self, jobs: Sequence[JobKey], *, facts: bool) -> Any:
            return {"1": None}

    oracle: Any = Silent()
    jobs = [a_job(1), a_job(2)]
    answers = ask(jobs, lambda _name: oracle, facts=False)
    assert [is_forgotten(job, answers) for job in jobs] == [False, True]
    assert "gave no answer about it" in unknown_text(jobs[0], answers)


def test_tasks_that_are_not_known_for_long_are_forgotten() -> None:
    job = a_job(1, tasks=(0, 1, 2))
    oracle: Any = Oracle()
    answers = ask([], lambda _name: oracle, facts=False)
    answers.statuses[1] = complete(job, done("1", 1))
    assert is_forgotten(job, answers)
    assert "does not know tasks 0,2 of job 1 any more" in unknown_text(job, answers)
    running = JobStatus("1", (TaskStatus(1, "RUNNING", Phase.LIVE),))
    answers.statuses[1] = complete(job, running)
    assert not is_forgotten(job, answers)
