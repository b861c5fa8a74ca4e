"""Jobs of one submission program have one status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from datalad_hpc.job import Job
from datalad_hpc.member import Member
from datalad_hpc.members import all_names, states_of
from datalad_hpc.polling import NOT_TOLD, Answers, ask, is_forgotten, unknown_text
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from tests.jobs import a_job

MEMBERS = (Member("7", token="one"), Member("8", token="two", tasks=(1, 2)))


def of(index: int | None, state: str = "COMPLETED") -> TaskStatus:
    return TaskStatus(index, state, Phase.FAILED if state == "FAILED" else Phase.COMPLETED)


def asked(told: Mapping[str, JobStatus | None], job: Job) -> Answers:
    """What is made of a scheduler's answer, which is asked for once."""
    queries = []

    class Oracle:
        def status(self, keys: Any, *, facts: bool) -> Mapping[str, JobStatus | None]:
            queries.append([(key.job_id, key.token, key.tasks) for key in keys])
            return told

    oracle: Any = Oracle()
    answers = ask([job], lambda _name: oracle, facts=True)
    assert queries == [[("7", "one", None), ("8", "two", (1, 2))]]
    return answers


def test_the_status_is_that_of_all() -> None:
    job = a_job(7, members=MEMBERS)
    told = {
        "7": JobStatus("7", (of(None),), {"name": "a"}),
        "8": JobStatus("8", (of(1), of(2, "FAILED")), {"name": "b"}),
    }
    status = asked(told, job).of(job)
    assert status
    assert status.phase is Phase.FAILED
    assert [(task.number, task.job_id, task.index) for task in status.tasks] == [
        (0, "7", None),
        (1, "8", 1),
        (2, "8", 2),
    ]
    assert status.facts == {"jobs": {"7": {"name": "a"}, "8": {"name": "b"}}}
    assert states_of(status) == {
        "7": {"COMPLETED": ""},
        "8": {"COMPLETED": "1", "FAILED": "2"},
    }
    assert all_names(job) == {"7", "8"}


def test_a_job_that_was_not_told_of_is_live() -> None:
    """Some of its tasks, or all of them; and only with time it is forgotten."""
    job = a_job(7, members=MEMBERS, submitted=datetime.now(timezone.utc))
    answers = asked({"8": JobStatus("8", (of(1),))}, job)
    status = answers.of(job)
    assert status
    assert status.phase is Phase.LIVE
    assert [task.state for task in status.tasks] == [NOT_TOLD, "COMPLETED", NOT_TOLD]
    assert not is_forgotten(job, answers)
    early = a_job(7, members=MEMBERS)
    answers = asked({"7": JobStatus("7", (of(None),))}, early)
    assert is_forgotten(early, answers)
    assert "slurm does not know job 8 any more" in unknown_text(early, answers)


def test_where_a_query_failed_nobody_is_forgotten() -> None:
    job = a_job(7, members=MEMBERS)
    assert not is_forgotten(job, asked({"7": JobStatus("7", (of(None),)), "8": None}, job))
    assert asked({"7": None, "8": None}, job).of(job) is None
