"""What Slurm's reasons mean for a job."""

from __future__ import annotations

import pytest

from datalad_hpc.outlook import Chance
from datalad_hpc.schedulers.slurm_reasons import outlook_of

WAITS, HELD, NEVER, UNKNOWN = Chance.WAITS, Chance.HELD, Chance.NEVER, Chance.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "chance", "words"),
    [
        ("Priority", WAITS, "turn"),
        ("Resources", WAITS, "free"),
        ("Dependency", WAITS, "another job"),
        ("BeginTime", WAITS, "time"),
        ("JobArrayTaskLimit", WAITS, "array"),
        ("Licenses", WAITS, "licence"),
        ("AssocGrpCpuLimit", WAITS, "other jobs of its account"),
        ("AssocGrpCPURunMinutesLimit", WAITS, "other jobs of its account"),
        ("AssocMaxJobsLimit", WAITS, "other jobs of its account"),
        ("QOSMaxJobsPerUserLimit", WAITS, "other jobs of its user"),
        ("QOSMaxGRESPerUser", WAITS, "other jobs of its user"),
        ("MaxCpuPerAccount", WAITS, "other jobs of its account"),
        ("JobHeldUser", HELD, "is held"),
        ("JobHeldAdmin", HELD, "administrator"),
        ("job_requeued_in_held_state", HELD, "is held"),
        ("job requeued in held state", HELD, "is held"),
        ("launch failed requeued held", HELD, "is held"),
        ("DependencyNeverSatisfied", NEVER, "a job that did not end"),
        ("PartitionTimeLimit", NEVER, "more time"),
        ("BadConstraints", NEVER, "no node"),
        ("InvalidAccount", NEVER, "account"),
        ("InvalidQOS", NEVER, "QOS"),
        ("AssocMaxWallDurationPerJobLimit", NEVER, "more than its account allows one job"),
        ("QOSMaxCpuPerJobLimit", NEVER, "more than its quality of service (QOS) allows one job"),
        ("QOSMaxMemoryPerNode", NEVER, "allows one job"),
        ("QOSMinCpuNotSatisfied", NEVER, "less than"),
        ("QOSMinGRES", NEVER, "less than"),
        ("ReqNodeNotAvail", UNKNOWN, "down"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", UNKNOWN, "down"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions",
            UNKNOWN,
            "down",
        ),
        ("PartitionNodeLimit", UNKNOWN, "nodes"),
        ("PartitionConfig", UNKNOWN, "nodes"),
        ("AssocGrpCPUMinutesLimit", UNKNOWN, "budget"),
        ("QOSGrpGRESMinutes", UNKNOWN, "budget"),
        ("AssociationTimeLimit", UNKNOWN, "budget"),
    ],
)
def test_a_reason_tells_whether_a_job_can_start(reason: str, chance: Chance, words: str) -> None:
    outlook = outlook_of(reason)
    assert outlook.chance is chance
    assert words in outlook.why


@pytest.mark.parametrize("reason", ["", "SomethingNew", "Maximum", "Grpx"])
def test_what_is_not_known_is_not_guessed(reason: str) -> None:
    outlook = outlook_of(reason)
    assert outlook.chance is UNKNOWN
    assert outlook.can_start is None


def test_what_cannot_start_by_itself_has_an_advice() -> None:
    for reason in ("JobHeldUser", "JobHeldAdmin", "DependencyNeverSatisfied", "QOSMinNode"):
        outlook = outlook_of(reason)
        assert outlook.can_start is False
        assert outlook.advice
    assert outlook_of("Priority").can_start is True
    assert outlook_of("Priority").advice == ""
