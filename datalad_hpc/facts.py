"""Pure: the file with the scheduler's facts, written when a job has ended."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from typing import Any

from datalad_hpc.job import Claim, ClaimRole, Job, JobStatus, TaskStatus

FORMAT = 1
"""Version of the file's layout."""

_IDENTITY_OPTION = re.compile(
    r"(?P<option>(?<!\S)(?:--(?:account|uid|gid|mail-user)(?:=|\s+)|-A\s*))(?P<value>\S+)"
)
HIDDEN = "…"


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
    beside = posixpath.dirname(logs[0].path) if logs else folder
    return posixpath.join(beside, f"slurm-job-{job_id}.env.json")


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
        "script": _neutral(job.script, root),
        "tasks": [_task(task) for task in status.tasks],
        **status.facts,
    }
    if with_identity:
        facts["identity"] = status.identity
    else:
        facts["submit_line"] = _without_identity(facts["submit_line"])
        facts["script"] = _hide(facts["script"])
    return json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _neutral(text: str, root: str) -> str:
    return text.replace(root, "{dspath}")


def _task(task: TaskStatus) -> dict[str, Any]:
    return {
        "index": task.index,
        "state": task.state,
        "reason": task.reason,
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
    lines = (
        _IDENTITY_OPTION.sub(rf"\g<option>{HIDDEN}", line) if line.startswith("#SBATCH") else line
        for line in text.split("\n")
    )
    return "\n".join(lines)


def _without_identity(words: Sequence[str]) -> list[str]:
    """The same in a list of arguments, where an option and its value may be two words."""
    hidden, previous = [], ""
    for word in words:
        if previous in ("-A", "--account", "--uid", "--gid", "--mail-user"):
            hidden.append(HIDDEN)
        else:
            hidden.append(_IDENTITY_OPTION.sub(rf"\g<option>{HIDDEN}", word))
        previous = word
    return hidden
