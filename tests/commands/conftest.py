"""A dataset with jobs in it: what a user does, in a line each."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import git_says, wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
PLAIN = ("-c", "filter.annex.process=", "-c", "filter.annex.clean=", "-c", "filter.annex.smudge=")
"""Options with which Git takes a file as it is."""
QUIET = {"result_renderer": "disabled", "on_failure": "ignore", "return_type": "list"}


@dataclass
class Lab:
    """A dataset, and the scheduler that its jobs go to."""

    dataset: Dataset
    scheduler: str

    @property
    def root(self) -> Path:
        return Path(self.dataset.path)

    def script(self, text: str, name: str = "job.sh") -> None:
        """Commit a batch script to the dataset: to Git, as most keep code, and in no time."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_text(f"#!/bin/bash\n{text}\n")
        self.git(*PLAIN, "add", "--", name)
        if self.git(*PLAIN, "diff", "--cached", "--name-only", "--", name):
            self.git(*PLAIN, "commit", "--quiet", "--no-verify", "-m", f"Write {name}", "--", name)

    def write(self, name: str, text: str = "content\n") -> None:
        """Save a file in the dataset; it goes to the annex."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.save(name)

    def save(self, *paths: str) -> None:
        """Do as ``datalad save -r``, and by Git's own means where these do: in a third of the time.

        Hundreds of tests begin with it.
        """
        if self._has_subdatasets or not all(os.path.lexists(self.root / path) for path in paths):
            self.dataset.save(path=list(paths) or None, recursive=True, result_renderer="disabled")
            return
        self.git("annex", "add", "--quiet", "--", *(paths or (".",)))
        self.git("add", "--update", "--", *(paths or (".",)))
        if self.git("diff", "--cached", "--name-only", "-z"):
            self.git("commit", "--quiet", "--no-verify", "-m", "[DATALAD] Recorded changes")

    @property
    def _has_subdatasets(self) -> bool:
        return (self.root / ".gitmodules").exists() or not (self.root / ".git" / "annex").exists()

    def schedule(self, command: str | list[str], **options: Any) -> dict[str, Any]:
        """Schedule one job; the last result is the job's."""
        return self.schedule_all(command, **options)[-1]

    def schedule_all(self, command: Any, **options: Any) -> list[dict[str, Any]]:
        options.setdefault("scheduler", self.scheduler)
        return self.dataset.schedule(command, **QUIET, **options)

    def finish(self, *job_ids: str, **options: Any) -> list[dict[str, Any]]:
        return self.dataset.finish(list(job_ids) or None, **QUIET, **options)

    def listed(self) -> dict[str, dict[str, Any]]:
        """Open jobs by id."""
        found = self.dataset.finish(list_open_jobs=True, **QUIET)
        return {res["slurm_job_id"]: res for res in found if res.get("open_job")}

    def wait(self, *job_ids: str) -> None:
        """Until the scheduler says that jobs (all open ones) are over."""

        def over() -> bool:
            jobs = self.listed()
            wanted = job_ids or tuple(jobs)
            return all(
                all(state.split()[0] in OVER for state in jobs[job]["slurm_job_status"].split(", "))
                for job in wanted
            )

        wait_for(over, timeout=60, interval=0.05)

    def run(self, command: str | list[str], **options: Any) -> dict[str, Any]:
        """Schedule, wait and finish one job; gives the result of finish."""
        job = self.schedule(command, **options)
        assert job["status"] == "ok", job["message"]
        self.wait(job["slurm_job_id"])
        return self.finish(job["slurm_job_id"])[-1]

    def reschedule(self, *revision: str, **options: Any) -> list[dict[str, Any]]:
        options.setdefault("scheduler", self.scheduler)
        return self.dataset.reschedule(*revision, **QUIET, **options)

    def git(self, *arguments: str, folder: str = "") -> str:
        return git_says(self.root / folder, *arguments)

    def changes(self, folder: str = "") -> str:
        """What ``git status`` has to say; empty if all is committed."""
        return self.git("status", "--porcelain", folder=folder)

    def message(self, revision: str = "HEAD") -> str:
        return self.git("log", "-1", "--format=%B", revision)

    def committed(self, revision: str = "HEAD") -> set[str]:
        """Files that a commit touches."""
        shown = self.git("show", "--format=", "--name-only", "-z", "-m", "--first-parent", revision)
        return set(filter(None, shown.split("\0")))


@pytest.fixture
def lab(dataset: Dataset, scheduler_name: str) -> Lab:
    """On each scheduler in turn."""
    return Lab(dataset, scheduler_name)


@pytest.fixture
def local_lab(dataset: Dataset) -> Lab:
    """On the local scheduler only, where it makes no difference."""
    return Lab(dataset, "local")


def text_of(result: dict[str, Any]) -> str:
    """The message of a result as the user reads it."""
    message = result["message"]
    return message[0] % message[1:] if isinstance(message, tuple) else str(message)


@pytest.fixture
def inside(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Go into a folder of the dataset."""

    def go(folder: str) -> None:
        (local_lab.root / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(local_lab.root / folder)
        monkeypatch.setenv("PWD", os.getcwd())

    return go


@pytest.fixture
def wrapped_annex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a wrapper before git-annex notes how it was called."""
    real = shutil.which("git-annex")
    calls = tmp_path / "calls"
    wrapper = tmp_path / "wrapped" / "git-annex"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho " $* " >> {calls}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def stand_in(folder: Path, program: str, text: str) -> None:
    """Put a script in the place of a program; ``REAL`` in it is the real one."""
    folder.mkdir(exist_ok=True)
    # Not the stand-in of a moment ago: it would call itself.
    others = (path for path in os.environ["PATH"].split(os.pathsep) if path != str(folder))
    real = shutil.which(program, path=os.pathsep.join(others))
    assert real
    path = folder / program
    path.write_text("#!/bin/sh\n" + text.replace("REAL", real))
    path.chmod(0o755)


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH."""
    folder = tmp_path / "before"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def ask_store(lab: Lab, statement: str) -> list[Any]:
    path = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    with sqlite3.connect(path) as store:
        found = store.execute(statement).fetchall()
    store.close()
    return found


def let_time_pass(lab: Lab) -> None:
    """An hour for the jobs that are open."""
    early = "strftime('%Y-%m-%dT%H:%M:%S+00:00', submitted, '-1 hour')"
    ask_store(lab, f"UPDATE jobs SET submitted = {early} WHERE state = 'open'")
