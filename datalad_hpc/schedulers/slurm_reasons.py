"""Slurm's reasons why a job waits, and what each means for it; pure.

The words are those of JOB REASON CODES in squeue(1) and of Slurm's page on resource limits, from
22.05 on. Limits have names made of parts (``QOSMaxCpuPerUserLimit``, ``AssocGrpGRESMinutes``),
which tell what kind they are. Some reasons are sentences of their own.
"""

from __future__ import annotations

import re

from datalad_hpc.outlook import UNKNOWN, Chance, Outlook

CANCEL = "`datalad hpc-cancel {job}` ends it"
CHANGE = (
    "`datalad hpc-cancel {job}` ends it, and `datalad reschedule --failed {job} -r ...` then asks "
    "for something else"
)
RELEASE = "`scontrol release {job}` lets it go"


def _waits(why: str) -> Outlook:
    return Outlook(Chance.WAITS, why)


def _never(why: str, advice: str = CHANGE) -> Outlook:
    return Outlook(Chance.NEVER, why, advice)


def _unsure(why: str, advice: str = "") -> Outlook:
    return Outlook(Chance.UNKNOWN, why, advice)


def _of_budget(owner: str) -> Outlook:
    return _unsure(f"waits for its {owner} to have a budget again, which is used up")


QOS = "quality of service (QOS)"

_HELD = Outlook(Chance.HELD, "is held", RELEASE)

_SETUP = _unsure("waits for a setting of the cluster, which its administrators can tell more of")

_BY_WORD = {
    "Priority": _waits("waits for its turn, others come first"),
    "Resources": _waits("comes next, as soon as what it asks for is free"),
    "Dependency": _waits("waits for another job"),
    "JobArrayTaskLimit": _waits("waits for other tasks of its array"),
    "BeginTime": _waits("waits for the time at which it is to begin"),
    "Licenses": _waits("waits for a licence that is in use"),
    "Reservation": _waits("waits for its reservation to begin"),
    "Cleaning": _waits("waits for its last run to be cleaned up"),
    "Prolog": _waits("is being prepared"),
    "WaitingForScheduling": _waits("waits to be looked at"),
    "SchedDefer": _waits("waits to be looked at"),
    "FedJobLock": _waits("waits for the federation of clusters"),
    "BurstBufferResources": _waits("waits for room in the burst buffer"),
    "BurstBufferStageIn": _waits("waits for its files to be in the burst buffer"),
    "PowerReserved": _waits("waits for electric power"),
    "PowerNotAvail": _waits("waits for electric power"),
    "JobHeldUser": _HELD,
    "JobHeldAdmin": Outlook(
        Chance.HELD, "is held by an administrator", "only an administrator can let it go"
    ),
    "JobHoldMaxRequeue": Outlook(
        Chance.HELD, "is held, since it was put back into the queue too often", RELEASE
    ),
    "DependencyNeverSatisfied": _never("waits for a job that did not end as it was to", CANCEL),
    "PartitionTimeLimit": _never("asks for more time than its partition allows"),
    "PartitionNodeLimit": _unsure(
        "asks for more nodes than its partition allows, or for nodes that are down", CHANGE
    ),
    "PartitionConfig": _unsure("asks for nodes that its partition has not got now", CHANGE),
    "BadConstraints": _never("asks for what no node has"),
    "Constraints": _never("asks for what no node has"),
    "MaxMemPerLimit": _never("asks for more memory than the cluster allows"),
    "InvalidAccount": _never("has an account that is not known"),
    "InvalidQOS": _never(f"has a {QOS} that is not known"),
    "AccountNotAllowed": _never("has an account that its partition does not take"),
    "QOSNotAllowed": _never(f"has a {QOS} that its partition or account does not take"),
    "ReservationDeleted": _never("has a reservation that is gone"),
    "ReservationInvalid": _never("has a reservation that is not known"),
    "DeadLine": _never("cannot be over by its deadline"),
    "ReqNodeNotAvail": _unsure("asks for nodes that are down, reserved or in maintenance now"),
    "NodeDown": _unsure("asks for a node that is down"),
    "FrontEndDown": _unsure("waits for a front end that is down"),
    "PartitionDown": _unsure("has a partition that starts no jobs now"),
    "PartitionInactive": _unsure("has a partition that starts no jobs now"),
    "AccountingPolicy": _SETUP,
    "QOSUsageThreshold": _SETUP,
    "AssociationJobLimit": _waits("waits for other jobs of its account to end"),
    "AssociationResourceLimit": _waits("waits for other jobs of its account to end"),
    "AssociationTimeLimit": _of_budget("account"),
    "QOSTimeLimit": _of_budget(QOS),
    "QOSJobLimit": _waits(f"waits for other jobs of its {QOS} to end"),
    "QOSResourceLimit": _waits(f"waits for other jobs of its {QOS} to end"),
}

_HELD_WORDS = re.compile(r"\bheld\b")
"""Of sentences such as "job requeued in held state"."""

_NODES_DOWN = re.compile(r"^Nodes required for job are DOWN")

_OWNERS = {"Assoc": "account", "QOS": QOS, "": "account"}

_LIMIT = re.compile(r"(?P<whose>Assoc|QOS|)(?P<kind>Grp|Max|Min)(?P<rest>[A-Z]\w*)")
_BUDGET = re.compile(r"(?<!Run)Minutes|TimeLimit|^Wall")
_EACH = re.compile(r"Per(Job|Node)")


def outlook_of(reason: str) -> Outlook:
    """What a reason means for the job; see :meth:`.Scheduler.outlook`."""
    word = re.split(r"[,:\s(]", reason.strip(), maxsplit=1)[0]
    if known := _BY_WORD.get(word):
        return known
    if _HELD_WORDS.search(reason.replace("_", " ")):
        return _HELD
    if _NODES_DOWN.search(reason.replace("_", " ")):
        return _BY_WORD["ReqNodeNotAvail"]
    limit = _LIMIT.fullmatch(word)
    return _of_limit(limit["whose"], limit["kind"], limit["rest"]) if limit else UNKNOWN


def _of_limit(whose: str, kind: str, rest: str) -> Outlook:
    """What a limit means, by what it limits: each job, all jobs at a time, or all of a budget."""
    owner = _OWNERS[whose]
    if kind == "Min":
        return _never(f"asks for less than its {owner} demands")
    if kind == "Max" and _EACH.search(rest):
        return _never(f"asks for more than its {owner} allows one job")
    if kind == "Grp" and _BUDGET.search(rest):
        return _of_budget(owner)
    return _waits(f"waits for other jobs of its {'user' if 'PerUser' in rest else owner} to end")
