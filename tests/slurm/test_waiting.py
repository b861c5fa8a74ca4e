"""``finish --wait`` while the cluster has troubles of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.commands.conftest import Lab
from tests.commands.soundness import assert_sound
from tests.commands.test_machine_signals import started
from tests.slurm.private import PrivateCluster

if TYPE_CHECKING:
    from datalad.api import Dataset


def test_a_controller_that_is_down_for_a_while(dataset: Dataset, cluster: PrivateCluster) -> None:
    lab = Lab(dataset, "slurm")
    dataset.config.set("datalad.hpc.poll-interval", "0.1", scope="local")
    lab.schedule("until test -e .git/go; do sleep 0.1; done; echo x > out", outputs=["out"])
    process = started(lab, "finish", "--wait", "--timeout", "60")
    assert process.stdout
    with cluster.without_controller():
        assert any("It is asked again" in line for line in process.stdout)
    (lab.root / ".git" / "go").touch()
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "The scheduler answers again" in said
    assert "It is asked again" not in said
    assert "committed as" in said
    assert_sound(lab.root)
