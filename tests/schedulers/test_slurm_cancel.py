"""scancel: what it is told, and what its complaints mean."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.schedulers.slurm_cancel import (
    IDS_PER_CALL,
    RANGES_PER_ID,
    cancel_commands,
    refusals_in,
)
from datalad_hpc.schedulers.slurm_submit import query_environment
from datalad_hpc.status import JobKey

ERROR = "scancel: error: Kill job error on job id"


def whole(job_id: str, cluster: str = "") -> Cancellation:
    return Cancellation(JobKey(job_id, cluster, "token", datetime.now(timezone.utc)))


def some(job_id: str, *tasks: int) -> Cancellation:
    return Cancellation(whole(job_id).key, tasks)


@pytest.mark.parametrize(
    ("wanted", "commands"),
    [
        ([], []),
        ([whole("7")], [["scancel", "7"]]),
        ([whole("7"), some("8", 0, 1, 2, 5)], [["scancel", "7", "8_[0-2,5]"]]),
        ([some("8", 4)], [["scancel", "8_[4]"]]),
        ([some("8")], []),
        (
            [whole("7"), whole("7", "one"), whole("9", "one")],
            [["scancel", "7"], ["scancel", "--clusters=one", "7", "9"]],
        ),
    ],
)
def test_commands(wanted: list[Cancellation], commands: list[list[str]]) -> None:
    assert list(cancel_commands(wanted)) == commands


def test_many_jobs_are_named_in_chunks() -> None:
    first, second = cancel_commands([whole(str(number)) for number in range(IDS_PER_CALL + 1)])
    assert (len(first), second) == (IDS_PER_CALL + 1, ["scancel", str(IDS_PER_CALL)])


def test_a_long_list_of_tasks_is_divided() -> None:
    ((_, first, second),) = cancel_commands([some("7", *range(0, 2 * RANGES_PER_ID + 2, 2))])
    assert first.count(",") == RANGES_PER_ID - 1
    assert second == f"7_[{2 * RANGES_PER_ID}]"


@pytest.mark.parametrize(
    ("code", "words", "refused"),
    [
        (0, "", {}),
        (0, f"{ERROR} 7: Job/step already completing or completed", {}),
        (1, f"{ERROR} 7_[0,9]: Invalid job id specified", {}),
        (210, f"{ERROR} 7: Access/permission denied", {"7": "Access/permission denied"}),
        (
            210,
            f"{ERROR} 6: Invalid job id specified\n{ERROR} 7_3: Access/permission denied",
            {"7": "Access/permission denied"},
        ),
    ],
)
def test_refusals(code: int, words: str, refused: dict[str, str]) -> None:
    assert refusals_in(code, words) == refused


@pytest.mark.parametrize(
    "words",
    [
        f"{ERROR} 7: Unable to contact slurm controller (connect failure)",
        f"{ERROR} 7: Socket timed out on send/recv operation",
        "scancel: error: No cluster 'one' known by database.",
        "",
    ],
)
def test_no_usable_answer(words: str) -> None:
    with pytest.raises(SchedulerUnreachable, match="scancel failed"):
        refusals_in(1, words)


def test_the_users_own_settings_do_not_narrow_what_is_cancelled() -> None:
    assert "SCANCEL_STATE" not in query_environment({"SCANCEL_STATE": "PENDING"})
