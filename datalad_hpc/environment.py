"""What a record tells of the environment: the host, its modules, and versions of programs.

What costs nothing is taken at the submission. What takes a process is asked once in a
round of ``finish``.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from datalad_hpc import process
from datalad_hpc.errors import BadRequest, ProcessFailed, SchedulerUnreachable
from datalad_hpc.job import Job, Request
from datalad_hpc.placeholders import is_submission
from datalad_hpc.plans.site_setup import modules_of
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.workplace import Workplace

SETTING = "datalad.hpc.record-environment"

_PATIENCE = 30.0
"""Seconds in which git-annex tells its version, or it is left out."""

LOADED = "LOADEDMODULES"
"""Variable in which Lmod and Environment Modules name what is loaded, with colons in between."""


def of_host(workplace: Workplace, request: Request) -> dict[str, Any]:
    """What is known of this host, and of the modules of a job, at its submission.

    Returns
    -------
    dict
      ``platform``, and ``modules`` if there are any; nothing if it is not to be recorded.
    """
    if not workplace.is_on(SETTING):
        return {}
    modules = _loaded(with_identity=workplace.is_on("datalad.hpc.record-identity"))
    if not is_submission(request.command):
        modules = list(dict.fromkeys([*modules, *modules_of(workplace)]))
    return {"platform": _platform(), **({"modules": modules} if modules else {})}


@cache
def _platform() -> str:
    """The system and its kernel, but not the host's name, from os-release(5) and uname(2)."""
    told = os.uname()
    kernel = f"{told.sysname} {told.release} {told.machine}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except OSError:
        return kernel


def _loaded(*, with_identity: bool) -> list[str]:
    """Modules that are loaded; the folder of one that is somebody's own would say whose."""
    names = [name for name in os.environ.get(LOADED, "").split(":") if name]
    return (
        names
        if with_identity
        else [name.rpartition("/")[2] if name[0] in "/~" else name for name in names]
    )


@dataclass(frozen=True)
class Versions:
    """Versions of the programs that have to do with the jobs of a round.

    Parameters
    ----------
    scheduler_named:
      Gives a scheduler by its name.
    """

    workplace: Workplace
    scheduler_named: Callable[[str], Scheduler]
    _schedulers: dict[str, dict[str, str]] = field(default_factory=dict)

    def told_with(self, job: Job) -> Job:
        """The job with all that its record tells of the environment."""
        if not self._wanted:
            return replace(job, environment={})
        versions = {**self._common, **self._of_scheduler(job.scheduler)}
        return replace(job, environment={**job.environment, "versions": versions})

    @cached_property
    def _wanted(self) -> bool:
        return self.workplace.is_on(SETTING)

    @cached_property
    def _common(self) -> dict[str, str]:
        import datalad

        import datalad_hpc

        versions = {"datalad": datalad.__version__, "datalad-hpc": datalad_hpc.__version__}
        with contextlib.suppress(ProcessFailed):
            argv = ["git-annex", "version", "--raw"]
            told = process.check(argv, folder="/", timeout=_PATIENCE).text.strip()
            versions["git-annex"] = told
        return versions

    def _of_scheduler(self, name: str) -> dict[str, str]:
        """Its version, if it has one of its own and tells it."""
        if name not in self._schedulers:
            told = ""
            with contextlib.suppress(SchedulerUnreachable, BadRequest):
                told = self.scheduler_named(name).version()
            self._schedulers[name] = {name: told} if told else {}
        return self._schedulers[name]
