"""Pure: the file with the scheduler's facts, written when a job has ended."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from typing import Any

from datalad_hpc.earlier import attempts_of
from datalad_hpc.failures import BY_WHOM, failure_of, without_name
from datalad_hpc.globs import top_of
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job
from datalad_hpc.status import JobStatus, TaskStatus

FORMAT = 1
"""Version of the file's layout."""

# In full or abbreviated, as getopt takes them; flags may stand before a short option.
_LONG = r"--(?:acco\w*|uid?|gid?|mail-u\w*)"
_SHORT = r"-[HOQWhksv]*A"
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'])+"""
_IDENTITY_OPTION = re.compile(rf"(?<!\S)({_LONG}(?:=|\s+)|{_SHORT}\s*){_VALUE}")
"""An option that names people or their accounts, and its value, in a line of text."""
_IDENTITY_WORD = re.compile(rf"({_LONG}=|{_SHORT}).+", re.DOTALL)
_IDENTITY_NEXT = re.compile(f"{_LONG}|{_SHORT}")

HIDDEN = "…"

IDENTITY_OPTIONS = frozenset({"account", "gid", "mail-user", "uid"})
"""The same options by their long names."""

_NO_PATH_BEFORE = r"(?:(?<![\w.~}@%+-])|(?<=^-\w)|(?<=\s-\w))"
"""What may not stand before an absolute path, but for an option such as ``-o/data``."""
_NO_NAME_AFTER = r"(?![\w.~{$@%+*?\[\\-])"
"""What would go on with the name of the root's last folder."""


def facts_path(folder: str, logs: Sequence[Claim], job_id: str) -> str:
    """Where a job's facts are kept: beside its first log in the dataset, else in its folder.

    Parameters
    ----------
    folder:
      The job's folder, relative to the dataset's root.
    logs:
      Claims of the log files.
    job_id:
      The scheduler's id.
    """
    beside = _folder_of(logs[0]) if logs else folder
    return posixpath.join(beside, f"slurm-job-{job_id}.env.json")


def _folder_of(log: Claim) -> str:
    """The folder of a log; of the logs of an array, each in its own, the one above them."""
    folder = posixpath.dirname(log.path)
    return top_of(folder) if log.kind is ClaimKind.GLOB else folder


def facts_path_of(job: Job) -> str:
    """Where the facts of a job in the store are kept."""
    name = f"slurm-job-{job.job_id}.env.json"
    logs = [claim.path for claim in job.claims if claim.role is ClaimRole.LOG]
    return next((path for path in logs if posixpath.basename(path) == name), name)


def facts_text(job: Job, status: JobStatus, root: str, *, with_identity: bool) -> str:
    """What the scheduler knows at the end, as JSON.

    Parameters
    ----------
    job:
      The job.
    status:
      The scheduler's answer, with facts.
    root:
      The dataset's root; it is written as ``{dspath}``, since a clone lies elsewhere.
    with_identity:
      Whether user, group and account names are kept.
    """
    facts: dict[str, Any] = {
        "format": FORMAT,
        "scheduler": job.scheduler,
        "cluster": job.cluster,
        "job_id": job.job_id,
        "submit_line": [_neutral(word, root) for word in job.submit_line],
        "script": script_text(job.script, root, with_identity=with_identity),
        "tasks": [_task(task, status, with_identity=with_identity) for task in status.tasks],
        **status.facts,
    }
    if job.attempts:
        facts["attempts"] = attempts_of(job, with_identity=with_identity)
    if job.members:
        told = status.facts["jobs"]
        facts["jobs"] = [
            {
                "job_id": each.job_id,
                "cluster": each.cluster,
                "submit_line": [_neutral(word, root) for word in each.submit_line],
                "script": script_text(each.script, root, with_identity=with_identity),
                **told[each.job_id],
            }
            for each in job.members
        ]
    if with_identity:
        facts["identity"] = status.identity
    else:
        for each in (facts, *facts.get("jobs", ())):
            each["submit_line"] = _without_identity(each["submit_line"])
    return json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def script_text(script: str, root: str, *, with_identity: bool) -> str:
    """A batch script as it is kept: the root by its placeholder, and no names unless wanted."""
    text = _neutral(script, root)
    return text if with_identity else _hide(text)


def reason_text(reason: str, *, with_identity: bool) -> str:
    """Why a task ended, as it is kept."""
    return reason if with_identity else BY_WHOM.sub("", reason)


def _neutral(text: str, root: str) -> str:
    """The root by its placeholder, but not where it is a part of another path or name."""
    return re.sub(f"{_NO_PATH_BEFORE}{re.escape(root)}{_NO_NAME_AFTER}", "{dspath}", text)


def _task(task: TaskStatus, status: JobStatus, *, with_identity: bool) -> dict[str, Any]:
    failure = failure_of(task)
    if failure and not with_identity:
        failure = without_name(failure, status.identity.get("user", ""))
    return {
        **({"job_id": task.job_id} if task.job_id else {}),
        "index": task.index,
        "state": task.state,
        "reason": reason_text(task.reason, with_identity=with_identity),
        **({"failure": failure.as_json} if failure else {}),
        "exit_code": task.exit_code,
        "signal": task.signal,
        "elapsed": task.elapsed,
        "cpu_time": task.cpu_time,
        "peak_memory": task.peak_memory,
        "nodes": task.nodes,
        "started": task.started.isoformat() if task.started else None,
        "ended": task.ended.isoformat() if task.ended else None,
    }


def _hide(text: str) -> str:
    """Values of options that name people or their accounts, in ``#SBATCH`` lines."""
    lines = text.split("\n")
    return "\n".join(_hide_in(line) if line.startswith("#SBATCH") else line for line in lines)


def _hide_in(text: str) -> str:
    return _IDENTITY_OPTION.sub(rf"\1{HIDDEN}", text)


def _without_identity(words: Sequence[str]) -> list[str]:
    """The same in a list of arguments, where an option and its value may be two words."""
    hidden, previous = [], ""
    for word in words:
        found = _IDENTITY_WORD.fullmatch(word)
        if _IDENTITY_NEXT.fullmatch(previous):
            hidden.append(HIDDEN)
        else:
            hidden.append(found[1] + HIDDEN if found else _hide_in(word))
        previous = word
    return hidden
