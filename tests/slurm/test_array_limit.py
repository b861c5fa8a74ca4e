"""A cluster that takes arrays of five tasks only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from datalad_hpc.schedulers.slurm import Slurm
from tests.commands.conftest import Lab, ask_store, text_of
from tests.helpers import wait_for
from tests.slurm.private import LARGEST_ARRAY, PrivateCluster

if TYPE_CHECKING:
    from datalad.api import Dataset

VALUES = [f"v{number:02}" for number in range(2 * LARGEST_ARRAY + 1)]


def test_the_limit_is_that_of_the_cluster(cluster: PrivateCluster) -> None:
    assert Slurm().largest_array() == LARGEST_ARRAY
    assert cluster.tell("sbatch", f"--array=0-{LARGEST_ARRAY}", "--wrap=true") == ""
    accepted = cluster.tell("sbatch", f"--array=0-{LARGEST_ARRAY - 1}", "--wrap=true")
    assert accepted.startswith("Submitted batch job")


@pytest.mark.usefixtures("cluster")
def test_a_sweep_that_is_larger_becomes_several_arrays(dataset: Dataset) -> None:
    lab = Lab(dataset, "slurm")
    command = "n=$(ls run | wc -l); touch run/{v}; sleep 0.3; rm run/{v}; echo $n > {outputs}"
    (lab.root / "run").mkdir()
    jobs = lab.schedule_all(command, outputs=["{v}.txt"], foreach={"v": VALUES}, max_concurrent=1)
    assert [job["status"] for job in jobs] == ["ok"] * 3, text_of(jobs[-1])
    wait_for(lambda: written(lab) == dict.fromkeys(VALUES, "0\n"), timeout=60)
    # Each array has its own part of the claims.
    query = "SELECT path, job FROM claims WHERE role = 'output' ORDER BY job, task"
    held = dict(ask_store(lab, query))
    assert list(held) == [f"{value}.txt" for value in VALUES]
    assert max(Counter(held.values()).values()) <= LARGEST_ARRAY


def written(lab: Lab) -> dict[str, str]:
    return {path.stem: path.read_text() for path in lab.root.glob("v*.txt")}
