"""One task of a local job: its environment, its streams, its process.

The variables are those that slurmd sets for a batch script (see "OUTPUT
ENVIRONMENT VARIABLES" in sbatch(1)), as far as they mean something here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from datalad_hpc import process
from datalad_hpc.errors import HpcError, ProcessFailed
from datalad_hpc.schedulers.local_job import Event, LocalJob
from datalad_hpc.schedulers.local_spool import now
from datalad_hpc.schedulers.logs import NO_INDEX, log_path

CLUSTER = "local"
PARTITION = "local"

BASIC_VARIABLES = ("HOME", "LOGNAME", "MAIL", "PATH", "SHELL", "TMPDIR", "USER")
"""What a task has even with ``--export=NONE``, as after a login."""


@dataclass(frozen=True)
class Task:
    """One task: a job, and which element of its array."""

    job: LocalJob
    position: int

    @property
    def index(self) -> int | None:
        """The array index; None for a plain job."""
        return self.job.indices[self.position]

    @property
    def raw_id(self) -> int:
        """An id of its own, as each task has in Slurm."""
        return self.job.job_id + self.position


def host() -> str:
    """The short name of this machine."""
    return socket.gethostname().split(".")[0]


def exported(wanted: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What ``--export`` lets through of the submitter's environment.

    Parameters
    ----------
    wanted:
      ``ALL`` (also when empty), ``NONE``, ``NIL``, or names and assignments
      with commas between them, ``ALL`` among them or not. A comma in quotes
      belongs to the value, and the quotes too: Slurm 22.05 keeps them.
    environment:
      The submitter's.

    Returns
    -------
    dict
      Variables, without those that an enclosing job has from its scheduler.
    """
    own = {name: value for name, value in environment.items() if not name.startswith("SLURM_")}
    items = re.findall(r"""(?:'[^']*'|"[^"]*"|[^,])+""", wanted) or ["ALL"]
    if "ALL" in items:
        chosen = dict(own)
    else:
        chosen = {name: own[name] for name in BASIC_VARIABLES if name in own}
    for item in items:
        name, assigned, value = item.partition("=")
        if assigned:
            chosen[name] = value
        elif name in environment:
            chosen[name] = environment[name]
    return chosen


def task_environment(task: Task) -> dict[str, str]:
    """The variables that tell a task who it is."""
    job, node = task.job, host()
    cpus = job.cpus_per_task or "1"
    values: dict[str, object] = {
        "ENVIRONMENT": "BATCH",
        "PWD": job.folder,
        "SLURM_JOB_ID": task.raw_id,
        "SLURM_JOBID": task.raw_id,
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_USER": job.user,
        "SLURM_JOB_UID": os.getuid(),
        "SLURM_JOB_PARTITION": PARTITION,
        "SLURM_CLUSTER_NAME": CLUSTER,
        "SLURM_SUBMIT_DIR": job.submit_folder,
        "SLURM_SUBMIT_HOST": node,
        "SLURM_JOB_NODELIST": node,
        "SLURM_NODELIST": node,
        "SLURMD_NODENAME": node,
        "SLURM_JOB_NUM_NODES": 1,
        "SLURM_NNODES": 1,
        "SLURM_NTASKS": 1,
        "SLURM_NPROCS": 1,
        "SLURM_TASKS_PER_NODE": 1,
        "SLURM_CPUS_ON_NODE": cpus,
        "SLURM_JOB_CPUS_PER_NODE": cpus,
        "SLURM_PROCID": 0,
        "SLURM_LOCALID": 0,
        "SLURM_NODEID": 0,
        **({"SLURM_CPUS_PER_TASK": cpus} if job.cpus_per_task else {}),
        **_array_variables(task),
    }
    return {name: str(value) for name, value in values.items()}


def _array_variables(task: Task) -> dict[str, object]:
    indices = [index for index in task.job.indices if index is not None]
    if not indices:
        return {}
    return {
        "SLURM_ARRAY_JOB_ID": task.job.job_id,
        "SLURM_ARRAY_TASK_ID": task.index,
        "SLURM_ARRAY_TASK_COUNT": len(indices),
        "SLURM_ARRAY_TASK_MIN": indices[0],
        "SLURM_ARRAY_TASK_MAX": indices[-1],
        "SLURM_ARRAY_TASK_STEP": indices[1] - indices[0] if len(indices) > 1 else 1,
    }


def log_values(task: Task) -> dict[str, str | int]:
    """What the letters in the pattern of a log file stand for."""
    return {
        "A": task.job.job_id,
        "J": task.raw_id,
        "N": host(),
        "a": NO_INDEX if task.index is None else task.index,
        "b": 0 if task.index is None else task.index % 10,
        "j": task.raw_id,
        "u": task.job.user,
        "x": task.job.name,
    }


def start(
    task: Task,
    script: Path,
    environment: Mapping[str, str],
    prepare: Callable[[], None],
) -> int:
    """Start a task and leave it to be reaped.

    Parameters
    ----------
    task:
      Which one.
    script:
      What it executes.
    environment:
      What it has beside the scheduler's own variables.
    prepare:
      Called in the new process, before it becomes the script.

    Returns
    -------
    int
      Number of the process.

    Raises
    ------
    LogError
      A stream could not be opened.
    OSError, ProcessFailed
      The script could not be started.
    """
    argv = [str(script), *task.job.arguments]
    environment = {**environment, **task_environment(task)}
    with _umask(task.job.umask), _streams(task) as (stdin, output, errors):
        try:
            started = process.detach(
                argv,
                folder=task.job.folder,
                environment=environment,
                stdin=stdin,
                output=output,
                errors=errors,
                prepare=prepare,
            )
        except (OSError, ProcessFailed) as error:
            errors.write(f"The script could not be started: {error}\n".encode())
            raise
    # Reaped by its number, together with what it used.
    started.returncode = 0
    return started.pid


class LogError(HpcError):
    """The file of a task's stream could not be opened."""


@contextlib.contextmanager
def _umask(wanted: int) -> Iterator[None]:
    # For the logs and the task; the dispatcher has no threads that it could disturb.
    usual = os.umask(wanted)
    try:
        yield
    finally:
        os.umask(usual)


@contextlib.contextmanager
def _streams(task: Task) -> Iterator[tuple[IO[bytes], IO[bytes], IO[bytes]]]:
    output, error = _path(task, task.job.output), _path(task, task.job.error)
    if task.job.error is None:
        error = output
    source = os.devnull if task.job.input is None else _path(task, task.job.input)
    try:
        with contextlib.ExitStack() as stack:
            stdin = stack.enter_context(open(source, "rb"))
            written = stack.enter_context(_open_log(output, task.job.append))
            complaints = written
            if error != output:
                complaints = stack.enter_context(_open_log(error, task.job.append))
            opened = stack.pop_all()
    except (OSError, ValueError) as failure:
        raise LogError(f"its log or its input cannot be opened: {failure}") from failure
    with opened:
        yield stdin, written, complaints


def _path(task: Task, given: str | None) -> str:
    """Where a pattern leads; the folder is never made, as Slurm does not make it."""
    return log_path(task.job.folder, given, log_values(task))


def _open_log(path: str, append: bool) -> IO[bytes]:
    # Appending even to an emptied file: several tasks may share one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
    return open(os.open(path, flags, 0o666), "wb", buffering=0)


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def birth(pid: int) -> str:
    """What tells a process from all others that have had its number, or will.

    Returns
    -------
    str
      The boot of the machine and the start within it (field 22 of proc_pid_stat(5));
      empty where there is no such process, or only its exit code, or no /proc.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # The name before may hold blanks and brackets.
    state, *values = text.rpartition(")")[2].split()
    return "" if state in "ZX" else f"{_boot()}/{values[18]}"


def alive(pid: int, born: str) -> bool:
    """Whether a process, as it was recorded, still runs."""
    if born:
        return birth(pid) == born
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lost(start: Event) -> Event:
    """The end of a task that nobody saw, so that its exit code is not known."""
    reason = "how it ended is not known: what runs the queue was killed meanwhile"
    return Event(start.task, now(), state="NODE_FAIL", reason=reason)
