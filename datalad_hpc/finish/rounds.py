"""One round of ``finish``: what was asked for, and what it works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from datalad_hpc.commit.recording import Layout
from datalad_hpc.commit.repository import Repository
from datalad_hpc.environment import Versions
from datalad_hpc.errors import BadRequest
from datalad_hpc.record import Style
from datalad_hpc.schedulers.base import Scheduler
from datalad_hpc.store import Store
from datalad_hpc.workplace import Workplace

ACTION = "finish"

HPC_MARKER, CORE_MARKER = MARKERS = ("hpc", "core")
"""Whose marker the records of plain commands have: ours, or that of DataLad core's ``run``."""


def layout(*, branches: bool, octopus: bool) -> Layout:
    """Where the commits go, as the options say.

    Raises
    ------
    BadRequest
      Both were asked for.
    """
    if branches and octopus:
        raise BadRequest("--branches and --octopus exclude each other: choose one")
    if branches:
        return Layout.BRANCHES
    return Layout.OCTOPUS if octopus else Layout.LINEAR


@dataclass(frozen=True)
class Wishes:
    """What the user asked ``finish`` for."""

    job_ids: tuple[str, ...] = ()
    message: str = ""
    outputs: tuple[str, ...] = ()
    """More outputs of the one named job, relative to the workplace's folder."""
    close_failed: bool = False
    commit_failed: bool = False
    commit_good: bool = False
    """Commit arrays of which some tasks failed for the tasks that completed."""
    layout: Layout = Layout.LINEAR
    jobs: int | None = None


@dataclass(frozen=True)
class Round:
    """All that the steps of the story need."""

    workplace: Workplace
    store: Store
    scheduler_named: Callable[[str], Scheduler]
    wishes: Wishes
    written: dict[Path, Repository] = field(default_factory=dict)
    """Repositories that have got commits in this round, by their top."""
    action: str = ACTION
    """Name of the command, for the results."""

    @property
    def root(self) -> Path:
        """The dataset's root."""
        return self.workplace.root

    @cached_property
    def style(self) -> Style:
        """How records are written.

        Raises
        ------
        BadRequest
          The configured marker is none.
        """
        marker = self.workplace.setting("datalad.hpc.record-marker").lower()
        if marker not in MARKERS:
            raise BadRequest(
                f"the setting datalad.hpc.record-marker is {marker!r}; it can be "
                f"{' or '.join(MARKERS)} (`git config datalad.hpc.record-marker {HPC_MARKER}`)"
            )
        return Style(
            dataset_id=self.workplace.dataset_id,
            root=str(self.root),
            for_rerun=marker == CORE_MARKER,
            with_identity=self.workplace.is_on("datalad.hpc.record-identity"),
        )

    @cached_property
    def versions(self) -> Versions:
        """Versions of programs for the records."""
        return Versions(self.workplace, self.scheduler_named)
