"""Fixtures for tests on a Slurm that may be broken."""

from tests.slurm.private import cluster, cluster_of_this_run

__all__ = ["cluster", "cluster_of_this_run"]
