"""What Slurm offers here, for who has just come to a cluster: questions only, asked all at once."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from datalad_hpc.errors import SchedulerUnreachable
from datalad_hpc.finding import Finding, Inspection, Standing
from datalad_hpc.schedulers.base import Estimate
from datalad_hpc.schedulers.slurm_cluster import (
    SITE_LIMITS,
    Accounting,
    Node,
    accounting_in,
    clock_in,
    configuration_in,
    limits_in,
    nodes_in,
    partitions_in,
    submit_nodes,
)
from datalad_hpc.schedulers.slurm_here import this_node

NEEDED = ("sbatch", "squeue", "scontrol")
USEFUL = ("sacct", "scancel", "sinfo")

CLOCKS_APART = 5
"""Seconds. Slurm's own messages are refused where clocks are five minutes apart (man munge)."""

OWN_LIMITS = "Account,Partition,MaxJobs,MaxSubmit,MaxWall,QOS"
LIMITS_OF_QOS = "Name,MaxJobsPU,MaxSubmitPU,MaxWall,MaxTRESPU"

_NO_ACCOUNTING = "accounting storage is disabled"
"""What sacct says where none is configured."""

QUESTIONS = {
    "version": ("sinfo", "--version"),
    "controller": ("scontrol", "ping"),
    "configuration": ("scontrol", "show", "config"),
    "partitions": ("scontrol", "show", "partition", "--oneliner"),
    "nodes": ("sinfo", "--noheader", "--Node", "--all", "--format=%N %n %o"),
    "accounting": ("sacct", "--allocations", "--noheader", "--starttime=now", "--format=JobID"),
    "clusters": ("sacctmgr", "--noheader", "--parsable2", "show", "cluster", "format=Cluster"),
    "qos": ("sacctmgr", "--noheader", "--parsable2", "show", "qos", f"format={LIMITS_OF_QOS}"),
}

Ask = Callable[[Sequence[str]], str]


class Check:
    """One look at a cluster.

    Parameters
    ----------
    ask:
      Standard output of a query, as :meth:`.Slurm.ask`.
    estimate:
      What Slurm says of the smallest of jobs, which is not submitted.
    """

    def __init__(self, ask: Ask, estimate: Callable[[], Estimate]) -> None:
        self._when: dict[str, tuple[float, float]] = {}
        with ThreadPoolExecutor(max_workers=2 + len(QUESTIONS)) as pool:
            questions = {**QUESTIONS, "own limits": _own_limits_command()}
            self._answers: dict[str, Future[str]] = {
                what: pool.submit(self._asked, ask, what, argv) for what, argv in questions.items()
            }
            self._estimate = pool.submit(estimate)
        self._ask = ask
        self._settings = configuration_in(self._answer("configuration"))
        self._nodes = nodes_in(self._answer("nodes"))

    def inspection(self) -> Inspection:
        """All that was found."""
        checks = (
            self._programs,
            self._controller,
            self._node,
            self._accounting,
            self._partitions,
            self._test_job,
            self._limits,
            self._own_limits,
            self._clock,
            self._mail,
        )
        findings = tuple(found for check in checks for found in check())
        elsewhere = not all(node.is_here for node in self._nodes) if self._nodes else None
        return Inspection(findings, elsewhere)

    def _asked(self, ask: Ask, what: str, argv: Sequence[str]) -> str:
        """Ask, and note from when to when it took."""
        before = time.time()
        text = ask(argv)
        self._when[what] = (before, time.time())
        return text

    def _answer(self, what: str) -> str:
        """An answer, empty where there is none."""
        return "" if self._complaint(what) else self._answers[what].result()

    def _complaint(self, what: str) -> str:
        error = self._answers[what].exception()
        if error and not isinstance(error, SchedulerUnreachable):
            raise error
        return str(error) if error else ""

    def _programs(self) -> Iterator[Finding]:
        found = {name: shutil.which(name) or "" for name in (*NEEDED, *USEFUL)}
        version = next(reversed(self._answer("version").split()), "")
        facts = {"version": version, "programs": found}
        missing = [name for name, path in found.items() if not path]
        if not missing:
            yield Finding("Slurm", Standing.OK, version or "its version is not told", "", facts)
            return
        standing = Standing.BROKEN if set(missing) & set(NEEDED) else Standing.LIMITED
        advice = "put the folder with all of Slurm's programs on PATH, perhaps with `module load`"
        yield Finding("Slurm", standing, f"not on PATH: {', '.join(missing)}", advice, facts)

    def _controller(self) -> Iterator[Finding]:
        complaint = self._complaint("controller")
        told = complaint or self._answer("controller")
        # Where none is up a banner stands around it.
        lines = re.findall(r"Slurmctld\S* at \S+ is \S+", told)
        words = "; ".join(lines) or _one_line(told)
        facts = {"answers": any(line.endswith(" UP") for line in lines), "words": words}
        if facts["answers"]:
            yield Finding("controller", Standing.OK, words, "", facts)
            return
        yield Finding(
            "controller",
            Standing.BROKEN,
            words,
            "nothing can be submitted until it answers; open jobs stay as they are, so wait and "
            "run `datalad finish` then, or ask the site's support",
            facts,
        )

    def _node(self) -> Iterator[Finding]:
        yield this_node(self._nodes)

    def _accounting(self) -> Iterator[Finding]:
        told: Accounting = accounting_in(self._settings)
        complaint = self._complaint("accounting")
        clusters = self._answer("clusters").split()
        facts = {"kept_seconds": told.kept, "clusters": clusters, "answers": not complaint}
        if not complaint:
            text = f"sacct answers for {', '.join(clusters[:4]) or 'this cluster'}"
            yield Finding("accounting", Standing.OK, text, "", facts)
            return
        keeps = f"{told.kept} seconds" if told.kept else "a while"
        if told.is_none or _NO_ACCOUNTING in complaint:
            advice = (
                f"Slurm forgets an ended job after {keeps} (MinJobAge): call `datalad finish` "
                "before; peak memory is not recorded"
            )
            yield Finding("accounting", Standing.MISSING, "there is none", advice, facts)
            return
        advice = f"jobs that ended more than {keeps} ago stay open until it is back"
        yield Finding("accounting", Standing.LIMITED, _gist(complaint), advice, facts)

    def _partitions(self) -> Iterator[Finding]:
        if complaint := self._complaint("partitions"):
            yield Finding("partitions", Standing.LIMITED, _gist(complaint))
            return
        partitions = partitions_in(self._answer("partitions"))
        text = "; ".join(each.text for each in partitions[:6])
        more = f"; and {len(partitions) - 6} more" * (len(partitions) > 6)
        facts = {"partitions": [each.facts for each in partitions]}
        advice = ""
        if not any(each.is_default for each in partitions):
            advice = "none is the default: name one with each job, as in `-r partition=NAME`"
        elif not any(each.is_up for each in partitions):
            advice = "none is up: jobs would wait until one is"
        elif not submit_nodes(partitions, self._is_here):
            advice = "none takes jobs from this machine: submit from one that the site names"
        standing = Standing.LIMITED if advice else Standing.OK
        yield Finding("partitions", standing, text + more or "none", advice, facts)

    def _is_here(self, hosts: str) -> bool:
        """Whether this machine is in one of Slurm's lists of hosts."""
        try:
            listed = self._ask(["scontrol", "show", "hostnames", hosts]).split()
        except SchedulerUnreachable:
            return True
        return any(Node(name, name, name).is_here for name in listed)

    def _test_job(self) -> Iterator[Finding]:
        told = self._estimate.result()
        start = told.start.isoformat() if told.start else ""
        facts = {"accepted": told.accepted, "start": start}
        if told.accepted:
            text = f"would be taken, and start at {start}" if start else "would be taken"
            yield Finding("a small job", Standing.OK, text, "", facts)
        elif not self._complaint("controller"):
            advice = (
                "say what is lacking with each job (`-r account=NAME partition=NAME`), or once in "
                "the environment (SBATCH_ACCOUNT, SBATCH_PARTITION)"
            )
            text = _gist(told.words)
            yield Finding("a small job", Standing.LIMITED, text, advice, facts)

    def _limits(self) -> Iterator[Finding]:
        if not self._settings:
            return
        found = limits_in(self._settings)
        text = ", ".join(f"{SITE_LIMITS[name]} {value}" for name, value in found.items())
        advice = "larger sweeps become several arrays" if "MaxArraySize" in found else ""
        yield Finding("site limits", Standing.OK, text or "none told", advice, found)

    def _own_limits(self) -> Iterator[Finding]:
        if accounting_in(self._settings).is_none or self._complaint("own limits"):
            return
        own = _table(OWN_LIMITS, self._answer("own limits"))
        qos = _table(LIMITS_OF_QOS, self._answer("qos"))
        text = "; ".join(_limit_text(row) for row in own) or "no account of yours is known"
        of_qos = "; ".join(f"QOS {_limit_text(row)}" for row in qos if len(row) > 1)
        facts = {"associations": own, "qos": qos}
        whole = f"{text}; {of_qos}" if of_qos else text
        yield Finding("your limits", Standing.OK, whole, "", facts)

    def _clock(self) -> Iterator[Finding]:
        theirs = clock_in(self._answer("configuration"))
        if theirs is None:
            return
        before, after = self._when["configuration"]
        # It told whole seconds, and answered at some time in between.
        apart = round(theirs - min(max(theirs, before), after))
        facts = {"seconds_ahead": apart}
        if abs(apart) <= CLOCKS_APART:
            yield Finding("clock", Standing.OK, "that of the controller is ours", "", facts)
            return
        text = f"that of the controller is {abs(apart)} s {'ahead' if apart > 0 else 'behind'}"
        advice = "have the site set both right: times of jobs mislead, and Slurm may refuse us"
        yield Finding("clock", Standing.LIMITED, text, advice, facts)

    def _mail(self) -> Iterator[Finding]:
        if not (program := self._settings.get("MailProg", "")):
            return
        facts = {"program": program}
        host = self._settings.get("SlurmctldHost[0]", "").partition("(")[0]
        if Node(host, host, host).is_here and not os.access(program, os.X_OK):
            text, advice = f"{program} is not here", "--mail-type will send nothing"
            yield Finding("mail", Standing.MISSING, text, advice, facts)
        else:
            yield Finding("mail", Standing.OK, f"the controller mails with {program}", "", facts)


def _own_limits_command() -> tuple[str, ...]:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    show = ("sacctmgr", "--noheader", "--parsable2", "show", "assoc")
    return (*show, f"user={name}", f"format={OWN_LIMITS}")


def _table(names: str, text: str) -> list[dict[str, str]]:
    """Rows of sacctmgr's answer, without what is not set."""
    rows = [zip(names.split(","), line.split("|"), strict=False) for line in text.splitlines()]
    return [{name: value for name, value in row if value} for row in rows]


def _limit_text(row: Mapping[str, str]) -> str:
    first, *others = row.items()
    limits = ", ".join(f"{name} {value}" for name, value in others if name != "QOS")
    return f"{first[1]}: {limits or 'no limits'}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _gist(complaint: str) -> str:
    """The last of the errors that a program told of, which is the one that ended it."""
    return _one_line(complaint).rpartition("error: ")[2]
