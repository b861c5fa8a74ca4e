"""Pure: a job and what became of it ↔ the record in JSON ↔ the commit message.

The layout is datalad-slurm's, so that its commits and ours are read by both;
what is ours alone stands below the key ``hpc``. See ``docs/source/design.rst``.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datalad_hpc.claims import shown
from datalad_hpc.errors import BrokenRecord
from datalad_hpc.job import ClaimRole, Job, JobStatus, Phase, Request, TaskStatus
from datalad_hpc.templates import glob_of, is_template
from datalad_hpc.wording import ranges

MARKER = "[DATALAD SLURM RUN]"
FORMAT = 1
"""Version of what stands below ``hpc``."""

_LAYOUT = """\
{marker} {subject}

{messages}=== Do not change lines below ===
{record}
^^^ Do not change lines above ^^^
"""

_START = "=== Do not change lines below ===\n"
_END = "\n^^^ Do not change lines above ^^^"

_SUBJECT = re.compile(r"Slurm job (?P<job_id>[^:\n]*): (?P<state>[^\n]*)")

_NO_ARGUMENT = re.compile("[\0\ud800-\udfff]")

_REQUIRED = {"cmd": str, "outputs": list}
_OPTIONAL = {
    "inputs": list,
    "extra_inputs": list,
    "slurm_outputs": list,
    "chain": list,
    "pwd": str,
    "dsid": str,
}


@dataclass(frozen=True)
class Record:
    """What a commit message tells of a job."""

    request: Request
    """What to run again; its ``chain`` does not name the commit itself yet."""
    dataset_id: str
    job_id: str
    state: str
    """The state in the subject line, such as ``Completed``."""
    messages: str
    """What the users wrote at schedule and at finish."""
    tasks: Mapping[str, str] = field(default_factory=dict)
    """Indices of an array's tasks by state; empty where the record does not tell."""
    covers: str = ""
    """Indices of the tasks whose outputs the commit holds, likewise."""

    @property
    def completed(self) -> bool:
        """Whether all tasks of the job succeeded."""
        return self.state == "Completed"


def state_word(status: JobStatus) -> str:
    """The job's state for the subject line: ``Completed``, ``Timeout``, ``Failed (1 of 3 tasks)``.

    An array whose tasks failed in different ways is ``Failed``.
    """
    if status.phase is Phase.COMPLETED:
        return "Completed"
    words = {task.state for task in status.tasks if task.phase is not Phase.COMPLETED}
    word = _capitalised(words.pop()) if len(words) == 1 else "Failed"
    if len(status.tasks) < 2:
        return word
    failed = sum(task.phase is not Phase.COMPLETED for task in status.tasks)
    return f"{word} ({failed} of {len(status.tasks)} tasks)"


def _capitalised(word: str) -> str:
    return word.replace("_", " ").capitalize()


def commit_message(
    job: Job,
    status: JobStatus,
    *,
    dataset_id: str,
    outputs: Sequence[str],
    facts_path: str,
    finish_message: str = "",
    left_out: Collection[int] = (),
) -> str:
    """The message of a finished job's commit.

    Parameters
    ----------
    job:
      The job, with all its claims.
    status:
      What the scheduler said at the end.
    dataset_id:
      DataLad's id of the dataset, empty where it has none.
    outputs:
      Outputs for the record, relative to the dataset's root.
    facts_path:
      Where the scheduler's facts are kept, relative to the dataset's root.
    finish_message:
      What the user wrote at finish; what was written at schedule follows it.
    left_out:
      Indices of the tasks whose outputs the commit does not hold.
    """
    record = _record(job, status, dataset_id, outputs, facts_path)
    if job.tasks is not None:
        record["hpc"] |= _of_tasks(job, status, left_out)
    messages = [text.strip("\n") for text in (finish_message, job.request.message) if text]
    return _LAYOUT.format(
        marker=MARKER,
        subject=f"Slurm job {job.job_id}: {state_word(status)}",
        messages="".join(f"{text}\n\n" for text in messages),
        record=json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False),
    )


def _record(
    job: Job, status: JobStatus, dataset_id: str, outputs: Sequence[str], facts_path: str
) -> dict[str, Any]:
    request = job.request
    return {
        "chain": list(request.chain),
        "cmd": request.command,
        "commit_id": job.head,
        "dsid": dataset_id,
        "extra_inputs": list(request.extra_inputs),
        "inputs": list(request.inputs),
        "outputs": list(outputs),
        "pwd": request.folder or ".",
        "slurm_job_id": int(job.job_id) if job.job_id.isdecimal() else job.job_id,
        "slurm_outputs": list(dict.fromkeys([*log_paths(job), facts_path])),
        "hpc": _own_part(job, status, facts_path),
    }


def log_paths(job: Job) -> list[str]:
    """The job's log files below the dataset's root; globs where a task's name is in them."""
    return [shown(claim) for claim in job.claims if claim.role is ClaimRole.LOG]


def _own_part(job: Job, status: JobStatus, facts_path: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "scheduler": job.scheduler,
        "cluster": job.cluster or status.facts.get("cluster", ""),
        "submitted": job.submitted.isoformat() if job.submitted else None,
        "state": state_word(status),
        "facts": facts_path,
        **_summary(status.tasks),
    }


def _of_tasks(job: Job, status: JobStatus, left_out: Collection[int]) -> dict[str, Any]:
    indices = [task.index for task in status.tasks if task.index is not None]
    return {
        "tasks": _tasks_by_state(status.tasks),
        "covers": ranges([index for index in indices if index not in left_out]),
        "task_outputs": list(job.request.task_outputs),
    }


def _summary(tasks: Sequence[TaskStatus]) -> dict[str, Any]:
    """The largest value over all tasks; the facts file has each task's own."""
    return {
        "exit_code": _largest([task.exit_code for task in tasks]),
        "elapsed": _largest([task.elapsed for task in tasks]),
        "peak_memory": _largest([task.peak_memory for task in tasks]),
        "nodes": sorted({task.nodes for task in tasks if task.nodes}),
    }


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _tasks_by_state(tasks: Sequence[TaskStatus]) -> dict[str, str]:
    of_state: dict[str, list[int]] = defaultdict(list)
    for task in tasks:
        if task.index is not None:
            of_state[task.state].append(task.index)
    return {state: ranges(indices) for state, indices in of_state.items()}


def read_record(message: str) -> Record | None:
    """The record in a commit message, ours or datalad-slurm's; ``None`` where there is none.

    Raises
    ------
    BrokenRecord
      The marker is there, but what follows cannot be used.
    """
    if not message.startswith(MARKER):
        return None
    # The last marker counts: a user's own message may quote one.
    end = message.rfind(_END)
    start = message.rfind(_START, 0, max(end, 0))
    if start < 0:
        raise BrokenRecord("the lines between the markers of the record are missing")
    fields = _fields(message[start + len(_START) : end])
    text = message[len(MARKER) : start].removeprefix(" ")
    subject = _SUBJECT.match(text)
    return Record(
        request=_request(fields),
        dataset_id=fields["dsid"],
        job_id=str(fields.get("slurm_job_id", "")),
        state=subject["state"].strip() if subject else "",
        messages=text.partition("\n")[2].strip("\n"),
        tasks=fields["hpc"]["tasks"],
        covers=fields["hpc"]["covers"],
    )


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Also numbers that are too long, and lists in lists without end.
        raise BrokenRecord(f"it is not valid JSON ({error})") from None
    if not isinstance(fields, dict):
        raise BrokenRecord("it is not a JSON object")
    for name, kind in _REQUIRED.items():
        if not isinstance(fields.get(name), kind):
            raise BrokenRecord(f"its field {name!r} is missing or not a {_called(kind)}")
    for name, kind in {**_REQUIRED, **_OPTIONAL}.items():
        # datalad-slurm writes null where a dataset has no id.
        value = fields[name] = kind() if fields.get(name) is None else fields[name]
        if not isinstance(value, kind):
            raise BrokenRecord(f"its field {name!r} is not a {_called(kind)}")
        if not all(map(_is_text, value if kind is list else [value])):
            raise BrokenRecord(
                f"its field {name!r} holds something that is not text or has no place in a name"
            )
    fields["hpc"] = _sound_own_part(fields.get("hpc"))
    return fields


def _sound_own_part(own: Any) -> dict[str, Any]:
    """What is ours alone, as far as it is read again."""
    known: dict[str, Any] = {"tasks": {}, "covers": "", "task_outputs": []}
    known |= own if isinstance(own, dict) else {}
    tasks, templates = known["tasks"], known["task_outputs"]
    sound = isinstance(tasks, dict) and isinstance(templates, list)
    if not (sound and all(map(_is_text, [*tasks.values(), *templates, known["covers"]]))):
        raise BrokenRecord("what its field 'hpc' tells of an array's tasks cannot be used")
    if not all(map(is_template, templates)):
        raise BrokenRecord("its field 'hpc.task_outputs' holds something without a lone {task}")
    return known


def _called(kind: type) -> str:
    return "list" if kind is list else "text"


def _is_text(value: Any) -> bool:
    """Whether it can be an argument of a program; JSON can spell NUL and half characters."""
    return isinstance(value, str) and not _NO_ARGUMENT.search(value)


def _request(fields: dict[str, Any]) -> Request:
    # datalad-slurm lists the logs among the outputs, and writes "./out".
    logs = {posixpath.normpath(path) for path in fields["slurm_outputs"]}
    outputs = [path for path in fields["outputs"] if posixpath.normpath(path) not in logs]
    task_outputs = fields["hpc"]["task_outputs"]
    of_tasks = set(map(glob_of, task_outputs))
    return Request(
        command=fields["cmd"],
        folder="" if fields["pwd"] == "." else fields["pwd"],
        inputs=tuple(fields["inputs"]),
        extra_inputs=tuple(fields["extra_inputs"]),
        outputs=tuple(path for path in outputs if path not in of_tasks),
        task_outputs=tuple(task_outputs),
        chain=tuple(fields["chain"]),
    )
