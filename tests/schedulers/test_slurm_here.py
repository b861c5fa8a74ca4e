"""Where in a cluster we are."""

from __future__ import annotations

import socket

import pytest

from datalad_hpc.finding import Standing
from datalad_hpc.schedulers.slurm_cluster import Node
from datalad_hpc.schedulers.slurm_here import this_node

HERE = Node("n1", socket.gethostname(), "10.0.0.1")
ELSEWHERE = Node("n2", "another-host", "10.0.0.2")


@pytest.fixture(autouse=True)
def outside_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_JOBID", "SLURMD_NODENAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("nodes", "role", "alone"),
    [
        ([HERE], "compute", True),
        ([HERE, ELSEWHERE], "compute", False),
        ([ELSEWHERE], "login", False),
        ([], "unknown", False),
    ],
)
def test_roles(nodes: list[Node], role: str, alone: bool) -> None:
    found = this_node(nodes)
    assert (found.found["role"], found.found["only_this_machine"]) == (role, alone)
    assert (found.standing is Standing.LIMITED) == (role == "unknown")
    assert found.found["job"] == ""


def test_the_shell_of_an_allocation_stays_a_login_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    found = this_node([ELSEWHERE])
    assert (found.found["role"], found.found["job"]) == ("login", "12")
    assert "inside job 12" in found.text


def test_a_job_knows_its_node_though_slurm_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    found = this_node([])
    assert found.found["role"] == "compute"
    assert "n7" in found.text
