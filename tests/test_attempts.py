"""A task belongs to the newest attempt that was submitted for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from datalad_hpc.attempt import Attempt
from datalad_hpc.earlier import attempts_of
from datalad_hpc.finish.asked_memory import with_asked_memory
from datalad_hpc.job import Job
from datalad_hpc.members import all_names, as_attempted, attempts_at, scheduler_keys
from datalad_hpc.outlook import UNKNOWN
from datalad_hpc.polling import NOT_TOLD, status_of
from datalad_hpc.results import explain
from datalad_hpc.shares import asked_by_id
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from datalad_hpc.statuses.choosing import Chosen
from datalad_hpc.statuses.views import View
from datalad_hpc.store.attempt_json import attempt_json, attempt_of
from tests.jobs import a_job

WHEN = datetime(2026, 1, 2, tzinfo=timezone.utc)


def an_attempt(job_id: str, *tasks: int, ended: tuple[TaskStatus, ...] = ()) -> Attempt:
    return Attempt(job_id, "", f"t{job_id}", WHEN, WHEN, tasks or None, ended=ended)


def failed(index: int | None) -> TaskStatus:
    return TaskStatus(index, "FAILED", Phase.FAILED, exit_code=3, elapsed=2.0, started=WHEN)


def done(*indices: int) -> tuple[TaskStatus, ...]:
    return tuple(TaskStatus(index, "COMPLETED", Phase.COMPLETED) for index in indices)


def an_array() -> Job:
    """Tasks 0 to 3: of these 1 to 3 failed at first, and 2 and 3 once more, and 3 runs again."""
    first = an_attempt("7", 0, 1, 2, 3, ended=(failed(1), failed(2), failed(3)))
    second = an_attempt("8", 1, 2, 3, ended=(failed(3),))
    job = a_job(9, tasks=(0, 1, 2, 3))
    return replace(job, job_id="9", token="t9", attempts=(first, second), tried=(3,))


def test_each_id_is_asked_for_its_own_tasks() -> None:
    keys = [(key.job_id, key.token, key.tasks) for key in scheduler_keys(an_array())]
    assert keys == [("9", "t9", (3,)), ("8", "t8", (1, 2)), ("7", "t7", (0,))]
    assert all_names(an_array()) == {"7", "8", "9"}


def test_the_answers_make_one_status() -> None:
    # Of earlier attempts all tasks are told.
    told = {
        "7": JobStatus("7", (*done(0), failed(1), failed(2), failed(3)), {"name": "old"}),
        "8": JobStatus("8", (*done(1, 2), failed(3)), {"name": "newer"}),
        "9": JobStatus("9", done(3), {"name": "newest"}),
    }
    status = status_of(an_array(), told)
    assert status.phase is Phase.COMPLETED
    assert [(task.index, task.job_id) for task in status.tasks] == [
        (0, "7"),
        (1, "8"),
        (2, "8"),
        (3, "9"),
    ]
    assert status.facts["name"] == "newest"
    assert "tasks 1-2 of job 8: COMPLETED" in explain(status)
    del told["8"]
    assert [task.state for task in status_of(an_array(), told).tasks][1:3] == [NOT_TOLD, NOT_TOLD]


def test_a_plain_job_is_asked_for_under_its_newest_id_alone() -> None:
    before = an_attempt("7", ended=(failed(None),))
    job = replace(a_job(9), job_id="9", token="t9", attempts=(before,))
    assert [key.job_id for key in scheduler_keys(job)] == ["9"]
    running = TaskStatus(None, "RUNNING", Phase.LIVE)
    status = status_of(job, {"9": JobStatus("9", (running,))})
    assert status.tasks == (running,)


def test_what_a_task_was_tried_in() -> None:
    job = an_array()
    assert [each.job_id for each in attempts_at(job, 3)] == ["7", "8"]
    assert [each.job_id for each in attempts_at(job, 2)] == ["7"]
    assert attempts_at(job, 0) == ()
    assert [as_attempted(job, task).job_id for task in range(4)] == ["7", "8", "8", "9"]
    assert [each.job_id for each in as_attempted(job, 2).attempts] == ["7"]


def test_attempts_come_back_from_the_store() -> None:
    for attempt in an_array().attempts:
        assert attempt_of(attempt_json(attempt)) == attempt


def test_what_a_record_tells() -> None:
    first, second = attempts_of(an_array(), with_identity=False)
    assert (first["tasks"], second["tasks"]) == ({"FAILED": "1-3"}, {"FAILED": "3"})
    assert second["failures"] == [{"cause": "exit-code", "exit_code": 3, "tasks": "3"}]
    assert second["elapsed"] == 2.0


def test_a_task_has_the_limit_of_the_attempt_that_ran_it() -> None:
    asked = replace(an_attempt("7", 0, 1), asked={"time": "1:00:00"})
    job = replace(a_job(8, tasks=(0, 1)), attempts=(asked,), tried=(1,))
    answer = JobStatus("8", (failed(1),), {"time_limit": 7200, "attempt": "8"})

    def limit(*tasks: int, told: JobStatus | None = answer, of: Job = job) -> float | None:
        chosen = Chosen(of, frozenset(("7", task) for task in tasks) or None)
        view = View(chosen, told, None, WHEN, lambda _reason: UNKNOWN)
        return view.facts.get("time_limit")

    assert (limit(0), limit(1), limit()) == (3600, 7200, 7200)
    assert (limit(0, told=None), limit(1, told=None)) == (3600, None)
    kept = replace(job, attempts=(replace(asked, facts={"time_limit": 1800}),))
    assert limit(0, of=kept) == 1800
    # The retried task is over already, the other is not.
    about_first = JobStatus("8", done(0), {"time_limit": 1200, "attempt": "7"})
    assert (limit(0, told=about_first), limit(1, told=about_first)) == (1200, None)


def test_memory_that_was_asked_for_is_known_before_the_scheduler_tells() -> None:
    job = replace(a_job(7), submit_line=("sbatch", "--mem=2G", "x"), script="#!/bin/sh\n")

    def memory(status: JobStatus, of: Job = job) -> int | None:
        return asked_by_id(of, with_asked_memory(of, status))["7"].memory

    assert memory(JobStatus("7", done(0), {"requested_cpus": 1})) == 2 * 2**30
    assert memory(JobStatus("7", done(0), {"requested_memory": "1G"})) == 2**30
    assert memory(JobStatus("7", done(0), {"attempt": "6"})) is None
    in_script = replace(job, submit_line=("sbatch", "x"), script="#!/bin/sh\n#SBATCH --mem=3G\n")
    assert memory(JobStatus("7", done(0)), in_script) == 3 * 2**30
    assert memory(JobStatus("7", done(0)), replace(job, submit_line=("sbatch", "x"))) is None
