"""Why jobs wait on a cluster that has a partition with limits, and nodes that go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.commands.conftest import QUIET, Lab, text_of
from tests.helpers import wait_for
from tests.slurm.private import PrivateCluster

if TYPE_CHECKING:
    from datalad.api import Dataset


@pytest.mark.parametrize(
    ("options", "reason", "chance", "words"),
    [
        ("-p short -t 10", "PartitionTimeLimit", "never", "more time than its partition allows"),
        ("-p short -N 2", "PartitionConfig", "unknown", "nodes"),
        ("-N 2 -w n1 -H", "JobHeldUser", "held", "held"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_what_is_asked_for_may_be_too_much(
    dataset: Dataset, options: str, reason: str, chance: str, words: str
) -> None:
    lab = Lab(dataset, "slurm")
    lab.schedule(f"sbatch {options} --wrap true", outputs=["a"])

    def known() -> Any:
        (told,) = lab.dataset.hpc_status(**QUIET)
        return told.get("reason") == reason and told

    told = wait_for(known, interval=0.2)
    assert isinstance(told, dict)
    assert told["outlook"] == chance
    assert words in told["why"]
    assert told["failed"] is (chance == "never")
    assert told["slurm_job_id"] in told["advice"]


def test_a_controller_that_is_down_tells_nothing(dataset: Dataset, cluster: PrivateCluster) -> None:
    lab = Lab(dataset, "slurm")
    job = lab.schedule("sbatch -H --wrap true", outputs=["a"])["slurm_job_id"]
    with cluster.without_controller():
        error, told = lab.dataset.hpc_status(**QUIET)
    assert error["status"] == "error"
    assert "Slurm gave no answer" in text_of(error)
    assert (told["slurm_job_id"], told["state"], told["failed"]) == (job, "unknown", False)
    (told,) = lab.dataset.hpc_status(**QUIET)
    assert told["state"] == "waiting"
