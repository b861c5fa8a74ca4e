"""Environment and identity of one task of a local job."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from datalad_hpc.schedulers.local_job import LocalJob
from datalad_hpc.schedulers.local_tasks import (
    Task,
    alive,
    birth,
    exported,
    log_values,
    task_environment,
)
from datalad_hpc.schedulers.logs import NO_INDEX

SURROUNDINGS = {"HOME": "/h", "PATH": "/p", "A": "1", "B": "b c", "SLURM_JOB_ID": "9"}
BASIC = {"HOME": "/h", "PATH": "/p"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", {**BASIC, "A": "1", "B": "b c"}),
        ("ALL", {**BASIC, "A": "1", "B": "b c"}),
        ("NONE", BASIC),
        ("NIL", BASIC),
        ("A", {**BASIC, "A": "1"}),
        ("A,MISSING", {**BASIC, "A": "1"}),
        ("A=2,C=x=y", {**BASIC, "A": "2", "C": "x=y"}),
        ("ALL,A=2", {**BASIC, "A": "2", "B": "b c"}),
        # The quotes stay: so it was seen with Slurm 22.05.
        ("C='x,y',D=", {**BASIC, "C": "'x,y'", "D": ""}),
        ("SLURM_JOB_ID", {**BASIC, "SLURM_JOB_ID": "9"}),
    ],
)
def test_exported(wanted: str, expected: dict[str, str]) -> None:
    assert exported(wanted, SURROUNDINGS) == expected


JOB = LocalJob("t", "name", "user", "group", "", "/from", "/to", array="2,5", job_id=10)


def test_task_of_an_array() -> None:
    task = Task(JOB, 1)
    found = task_environment(task)
    assert found["SLURM_JOB_ID"] == "11"
    assert found["SLURM_ARRAY_JOB_ID"] == "10"
    assert found["SLURM_ARRAY_TASK_ID"] == "5"
    values = log_values(task)
    assert [values[letter] for letter in "AJajux"] == [10, 11, 5, 11, "user", "name"]


def test_plain_task() -> None:
    job = LocalJob("t", "name", "user", "group", "", "/from", "/to", job_id=10)
    assert "SLURM_ARRAY_JOB_ID" not in task_environment(Task(job, 0))
    assert log_values(Task(job, 0))["a"] == NO_INDEX


def test_a_process_is_known_by_its_birth() -> None:
    born = birth(os.getpid())
    assert born
    assert alive(os.getpid(), born)
    assert not alive(os.getpid(), f"{born}0")
    process = subprocess.Popen(["true"])
    limit = time.monotonic() + 10
    # Dead, although its number is not free yet.
    while birth(process.pid) and time.monotonic() < limit:
        time.sleep(0.01)
    assert birth(process.pid) == ""
    process.wait()


def test_where_there_is_no_birth_the_number_has_to_do() -> None:
    assert alive(os.getpid(), "")
    process = subprocess.Popen(["true"])
    process.wait()
    assert not alive(process.pid, "")
