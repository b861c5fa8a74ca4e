"""What all tests stand on: a home of their own, real datasets, both schedulers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.helpers import is_locked, soak, wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

pytest_plugins = ["tests.slurm.presence", "tests.slurm.leftovers"]

# How long an example takes is the machine's business, which may do other things meanwhile.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

GIT_CONFIG = """\
[user]
    name = Tester
    email = tester@example.com
[init]
    defaultBranch = main
[protocol "file"]
    allow = always
[maintenance]
    auto = false
[gc]
    auto = 0
"""
"""Subdatasets are cloned from local paths; nothing runs behind a test's back."""

FOREIGN = ("GIT_", "DATALAD_", "SLURM_", "SBATCH_", "XDG_", "PYTHONUNBUFFERED")
"""Beginnings of variables that would let the caller's own settings in."""

OURS = ("DATALAD_HPC_NO_SLURM", "DATALAD_HPC_REQUIRE_SLURM", "DATALAD_HPC_SOAK")
"""Variables that are meant for the tests (see ``tests/slurm/presence.py`` and ``helpers.py``)."""


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder with an identity for Git, and nothing of the caller's."""
    import datalad

    folder = tmp_path_factory.mktemp("home")
    (folder / ".gitconfig").write_text(GIT_CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN) and name not in OURS]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        # git-annex and datalad stand beside the Python that runs the tests.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if annex := git_annex_of_wheel(tmp_path_factory.mktemp("annex")):
            patch.setenv("PATH", f"{annex}{os.pathsep}{os.environ['PATH']}")
        datalad.cfg.reload(force=True)
        yield folder
    datalad.cfg.reload(force=True)


def git_annex_of_wheel(folder: Path) -> Path | None:
    """A folder with git-annex itself, in whose place its wheel has a script in Python.

    That takes four times as long to start, and each test starts several.
    """
    wheel = find_spec("git_annex")
    if wheel is None or wheel.origin is None:
        return None
    (folder / "git-annex").symlink_to(Path(wheel.origin).with_name("git-annex"))
    return folder


@pytest.fixture(scope="session")
def dataset_template(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that nobody works in: ``datalad create`` takes long, a copy does not."""
    from datalad.api import create

    folder = tmp_path_factory.mktemp("template") / "ds"
    create(folder, result_renderer="disabled")
    return folder


@pytest.fixture
def dataset(dataset_template: Path, tmp_path: Path, local_spool: Path) -> Dataset:
    """A fresh dataset; the local scheduler keeps its spool beside it."""
    from datalad.api import Dataset

    return Dataset(shutil.copytree(dataset_template, tmp_path / "ds", symlinks=True))


@pytest.fixture
def local_spool(tmp_path: Path) -> Iterator[Path]:
    """A spool of the local scheduler for this test alone, which ends when its jobs have."""
    import datalad

    folder = tmp_path / "spool"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATALAD_HPC_LOCAL_SPOOL", str(folder))
        datalad.cfg.reload(force=True)
        yield folder
        wait_for(lambda: not is_locked(folder / "dispatcher.lock"))
    datalad.cfg.reload(force=True)


@pytest.fixture(params=[pytest.param("slurm", marks=pytest.mark.slurm), "local"])
def scheduler_name(request: pytest.FixtureRequest, local_spool: Path) -> str:
    """Each scheduler in turn."""
    return str(request.param)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the tests have counted, for who lets them run long."""
    if not soak(0, 1):
        return
    terminalreporter.section("counted")
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if report.when == "call":
                terminalreporter.line(f"{report.nodeid}: {name}: {value}")
