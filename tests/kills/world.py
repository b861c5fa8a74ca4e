"""A dataset, its scheduler and all that is around it: set back to one moment again and again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.children import Outcome
from tests.helpers import git_says, is_locked, wait_for
from tests.kills.points import Death, outcome_of

OVER = ("COMPLETED", "FAILED", "CANCELLED")
QUIET = {"result_renderer": "disabled", "on_failure": "ignore", "return_type": "list"}


@dataclass
class World:
    """All that a command could change, but for a real cluster."""

    top: Path
    scheduler: str
    alternative: Path
    """A directory for jobs, best on another file system."""

    @property
    def live(self) -> Path:
        """What is changed; it always lies at the same place."""
        return self.top / "live"

    @property
    def root(self) -> Path:
        """The dataset."""
        return self.live / "ds"

    @property
    def runs(self) -> list[str]:
        """Ids of the jobs that have really run, one for each time."""
        path = self.live / "runs"
        return path.read_text().split() if path.exists() else []

    # Moments

    def keep(self, moment: str) -> None:
        """Keep things as they are under a name."""
        self._wait_for_the_scheduler()
        for place in (self.live, self.alternative):
            _copy(place, self.top / moment / place.name)

    def set_back(self, moment: str) -> None:
        """Have things as they were."""
        self._wait_for_the_scheduler()
        for place in (self.live, self.alternative):
            _remove(place)
            _copy(self.top / moment / place.name, place)

    def _wait_for_the_scheduler(self) -> None:
        """Until the local scheduler's process has gone."""
        wait_for(lambda: not is_locked(self.live / "spool" / "dispatcher.lock"))

    # Commands, each in a process of its own

    def schedule(self, command: str, death: Death | None = None, **options: Any) -> Outcome:
        return self._outcome("schedule", (command,), death, scheduler=self.scheduler, **options)

    def reschedule(self, death: Death | None = None, **options: Any) -> Outcome:
        return self._outcome("reschedule", (), death, scheduler=self.scheduler, **options)

    def reschedule_failed(self, death: Death | None = None) -> Outcome:
        return self._outcome("reschedule", (), death, failed=True)

    def finish(self, death: Death | None = None, **options: Any) -> Outcome:
        return self._outcome("finish", (), death, **options)

    def listed(self) -> list[dict[str, Any]]:
        """Open jobs, oldest first."""
        found = self.finish(list_open_jobs=True).value
        return [result for result in found if result.get("open_job")]

    def command(self, name: str, *arguments: Any, **options: Any) -> Callable[[], Any]:
        """A command that is still to be called."""
        from datalad.api import Dataset

        return lambda: getattr(Dataset(self.root), name)(*arguments, **QUIET, **options)

    def _outcome(
        self, name: str, arguments: Sequence[Any], death: Death | None, **options: Any
    ) -> Outcome:
        return outcome_of(self.command(name, *arguments, **options), death)

    def wait(self) -> None:
        """Until all open jobs are over."""

        def over() -> bool:
            states = [result["slurm_job_status"] for result in self.listed()]
            words = [word for state in states for word in state.split(", ")]
            return all(word.split()[0] in OVER for word in words)

        wait_for(over, timeout=60, interval=0.1)

    # Looking

    def git(self, *arguments: str, folder: str = "") -> str:
        return git_says(self.root / folder, *arguments)

    def changes(self, folder: str = "") -> list[str]:
        """What ``git status`` has to say."""
        told = self.git("status", "--porcelain", "-z", "--untracked-files=all", folder=folder)
        return sorted(told.split("\0")[:-1])

    def rows(self, query: str) -> list[Any]:
        """An answer of the job store itself."""
        path = self.root / ".git" / "datalad" / "hpc" / "jobs.db"
        if not path.exists():
            return []
        store = sqlite3.connect(path)
        try:
            return store.execute(query).fetchall()
        finally:
            store.close()

    def assert_sound(self, *folders: str) -> None:
        """Neither Git nor git-annex has a complaint, and nothing of ours lies about."""
        for folder in ("", *folders):
            self.git("fsck", "--no-dangling", "--no-progress", folder=folder)
            told = self.git("annex", "fsck", "--quiet", "--in=here", folder=folder)
            assert told == "", told
        left = self.leftovers(*folders)
        assert left == [], left

    def leftovers(self, *folders: str) -> list[str]:
        """Files and refs of ours that should have gone."""
        found: list[str] = []
        for folder in ("", *folders):
            git_dir = self.root / folder / ".git"
            ours = git_dir / "datalad" / "hpc"
            # SQLite leaves a journal that is of no use to its next writer.
            found += [str(path) for path in ours.glob("*") if not path.name.startswith("jobs.db")]
            found += map(str, (git_dir / "annex" / "othertmp").glob("datalad-hpc*"))
            found += map(str, git_dir.glob("*.lock"))
            found += self.git(
                "for-each-ref", "refs/datalad", "refs/worktree", folder=folder
            ).split()
        return found


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=_unmoved)


def _unmoved(_folder: str, names: list[str]) -> list[str]:
    """Sockets and the like, which only a living process has a use for."""
    return [name for name in names if stat.S_ISSOCK(os.lstat(f"{_folder}/{name}").st_mode)]


def _remove(folder: Path) -> None:
    """Remove a folder, also the objects that git-annex protects."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder)
