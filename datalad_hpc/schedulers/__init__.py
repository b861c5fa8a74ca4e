"""The clusters, and this machine. A new scheduler is one class and one entry point."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, distribution, entry_points

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.base import Scheduler

ENTRY_POINTS = "datalad_hpc.schedulers"

Setting = Callable[[str], str]
"""Gives a configuration item, empty where it is not set."""


def choose(name: str) -> tuple[str, str]:
    """Resolve ``auto``.

    Returns
    -------
    tuple
      The scheduler's name, and one line for the user that says why.
    """
    if name != "auto":
        return name, f"scheduler {name}, as asked for"
    if shutil.which("sbatch"):
        return "slurm", "scheduler slurm, since sbatch is on PATH"
    return "local", "scheduler local: sbatch is not on PATH, so the job runs on this machine"


def scheduler_loader(setting: Setting) -> Callable[[str], Scheduler]:
    """A function that gives a scheduler by its name, the same one each time.

    Parameters
    ----------
    setting:
      Where schedulers find their configuration.
    """

    @cache
    def load(name: str) -> Scheduler:
        # All that is installed is looked through only for somebody else's scheduler.
        found = _named(distribution("datalad-hpc").entry_points.select(group=ENTRY_POINTS))
        if name not in found:
            found = _named(entry_points(group=ENTRY_POINTS))
        if name not in found:
            known = ", ".join(["auto", *sorted(found)])
            raise BadRequest(f"there is no scheduler {name!r}; known are {known}")
        scheduler: Scheduler = found[name].load().configured(setting)
        return scheduler

    return load


def _named(found: EntryPoints) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in found}
