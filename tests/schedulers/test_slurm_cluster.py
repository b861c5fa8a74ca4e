"""What Slurm's programs print of a cluster."""

from __future__ import annotations

import socket

import pytest

from datalad_hpc.schedulers.slurm_cluster import (
    Node,
    accounting_in,
    clock_in,
    configuration_in,
    limits_in,
    nodes_in,
    partitions_in,
    submit_nodes,
)

PARTITIONS = (
    "PartitionName=long AllowGroups=ALL AllocNodes=login[1-2] Default=NO DefaultTime=01:00:00 "
    "MaxNodes=4 MaxTime=7-00:00:00 Nodes=n[1-9] State=UP TotalCPUs=288 TotalNodes=9\n"
    "PartitionName=short AllowGroups=ALL AllocNodes=ALL Default=YES DefaultTime=NONE "
    "MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=n1 State=DOWN TotalCPUs=32 TotalNodes=1\n"
)
CONFIGURATION = """\
Configuration data as of 1795277366
AccountingStorageType   = accounting_storage/none
DefMemPerNode           = UNLIMITED
MailProg                = /bin/mail
MaxArraySize            = 1001
MinJobAge               = 300 sec
SlurmctldHost[0]        = head(10.0.0.1)
"""


def test_partitions_with_their_limits_the_default_first() -> None:
    short, long = partitions_in(PARTITIONS)
    assert short.text == "short (1 node, the default, not up)"
    assert long.text == (
        "long (9 nodes, at most 7-00:00:00, by default 01:00:00, at most 4 nodes a job)"
    )
    assert long.facts["submit_hosts"] == "login[1-2]"
    assert "max_time" not in short.facts


def test_from_where_may_be_submitted_is_asked_only_where_it_is_limited() -> None:
    asked: list[str] = []

    def is_here(hosts: str) -> bool:
        asked.append(hosts)
        return False

    found = submit_nodes(partitions_in(PARTITIONS), is_here)
    assert [each.settings["PartitionName"] for each in found] == ["short"]
    assert asked == ["login[1-2]"]


def test_settings() -> None:
    settings = configuration_in(CONFIGURATION)
    assert settings["SlurmctldHost[0]"] == "head(10.0.0.1)"
    assert limits_in(settings) == {"MaxArraySize": "1001"}
    told = accounting_in(settings)
    assert (told.is_none, told.kept) == (True, 300)
    assert clock_in(CONFIGURATION) == 1795277366


def test_nothing_told_is_nothing_known() -> None:
    told = accounting_in(configuration_in(""))
    assert (told.is_none, told.kept) == (False, None)
    assert clock_in("Configuration data as of 2026-11-21T16:06:00") is None
    assert limits_in({}) == {}


@pytest.mark.parametrize(
    ("text", "here"),
    [
        (f"n1 {socket.gethostname()} 10.0.0.1", True),
        (f"{socket.gethostname().partition('.')[0]} x 10.0.0.1", True),
        ("n1 another-host 10.0.0.1", False),
    ],
)
def test_a_node_is_this_host_by_any_of_its_names(text: str, here: bool) -> None:
    (node,) = nodes_in(f"{text}\n{text}\n")
    assert isinstance(node, Node)
    assert node.is_here == here
