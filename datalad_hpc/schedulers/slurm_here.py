"""Where in a cluster we are: on a login node, on a compute node, inside a job."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from datalad_hpc.finding import Finding, Standing
from datalad_hpc.schedulers.slurm_cluster import Node
from datalad_hpc.schedulers.slurm_submit import INSIDE_A_JOB

OWN_NAME = "SLURMD_NODENAME"
"""Set for what runs on a compute node (man page of sbatch); salloc's shell may be elsewhere."""


def job_around_us() -> str:
    """Id of the job that we run in, empty outside of any."""
    return next((os.environ[name] for name in INSIDE_A_JOB if name in os.environ), "")


def this_node(nodes: Sequence[Node]) -> Finding:
    """What this machine is to the cluster.

    Parameters
    ----------
    nodes:
      All compute nodes; none where Slurm does not tell.
    """
    here = [node.name for node in nodes if node.is_here]
    own = os.environ.get(OWN_NAME, "")
    role = "compute" if here or own else "login"
    facts = {
        "role": role if nodes or own else "unknown",
        "host": socket.gethostname(),
        "nodes": here,
        "job": job_around_us(),
        "only_this_machine": bool(here) and len(here) == len(nodes),
    }
    standing = Standing.LIMITED if facts["role"] == "unknown" else Standing.OK
    return Finding("this node", standing, _text(facts, own), _advice(facts), facts)


def _text(facts: Mapping[str, Any], own: str) -> str:
    host, job = facts["host"], facts["job"]
    inside = f", inside job {job}" if job else ""
    if facts["role"] == "unknown":
        return f"{host}: Slurm does not tell whether it is a compute node{inside}"
    if facts["only_this_machine"] and not inside:
        return f"{host} is the whole cluster: you submit where jobs run"
    if facts["role"] == "compute":
        names = ", ".join(sorted({*facts["nodes"], own} - {""})[:3])
        return f"{host} is a compute node ({names}){inside}"
    return f"{host} is no compute node: a login node, or a host like one{inside}"


def _advice(facts: Mapping[str, Any]) -> str:
    if facts["role"] != "compute" or facts["only_this_machine"]:
        return ""
    return (
        "schedule and finish work here if the dataset is on a file system of all nodes; what is "
        "installed may differ from the login node"
    )
