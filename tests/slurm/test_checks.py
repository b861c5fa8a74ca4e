"""``hpc-check`` on a cluster without accounting, whose controller may be gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_hpc_check import checked
from tests.helpers import wait_for
from tests.slurm.private import LARGEST_ARRAY, NODES, PrivateCluster

pytestmark = pytest.mark.slurm


def test_without_accounting(dataset: Any, cluster: PrivateCluster) -> None:
    code, found = checked(Path(dataset.path))
    assert code == 0
    accounting = found["accounting"]
    assert (accounting["standing"], accounting["text"]) == ("missing", "there is none")
    assert "after 2 seconds (MinJobAge)" in accounting["advice"]
    assert found["site limits"]["found"]["MaxArraySize"] == str(LARGEST_ARRAY)
    assert sorted(found["this node"]["found"]["nodes"]) == sorted(NODES)
    assert "your limits" not in found


def test_partitions_that_a_user_has_to_know_of(dataset: Any, cluster: PrivateCluster) -> None:
    def shown() -> list[str]:
        return cluster.tell("scontrol", "show", "partition", "--oneliner").splitlines()

    def is_set(setting: str) -> bool:
        # On a busy machine the controller may be late, and is not waited for.
        for line in shown():
            cluster.tell("scontrol", "update", line.split()[0], setting)
        return all(f" {setting} " in line for line in shown())

    def change(setting: str) -> dict[str, Any]:
        wait_for(lambda: is_set(setting))
        return checked(Path(dataset.path))[1]["partitions"]

    try:
        assert "submit from one that the site names" in change("AllocNodes=n9")["advice"]
    finally:
        assert change("AllocNodes=ALL")["standing"] == "ok"


def test_a_controller_that_is_down(dataset: Any, cluster: PrivateCluster) -> None:
    with cluster.without_controller():
        code, found = checked(Path(dataset.path))
    assert code == 1
    assert found["controller"]["standing"] == "broken"
    assert "is DOWN" in found["controller"]["text"]
    assert "*" not in found["controller"]["text"]
    assert found["this node"]["found"]["role"] == "unknown"
    assert found["accounting"]["standing"] == "missing"
    assert found["job store"]["standing"] == "ok"
