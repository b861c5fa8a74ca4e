"""Where no Slurm answers its tests are skipped loudly, or fail where they are required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# No settings of ours, and not DataLad's plugin, which wants git on PATH.
OPTIONS = ("-c", os.devnull, "-p", "no:datalad")

TESTS = """
import pytest

@pytest.mark.slurm
def test_on_slurm():
    pass

@pytest.mark.slurm
def test_skipped_for_a_reason_of_its_own():
    pytest.skip("no such partition")

def test_anywhere():
    pass
"""


def run_tests(folder: Path, *answering: str, **environment: str) -> tuple[int, str]:
    """Exit code and report of a run on a machine where only some programs answer."""
    (folder / "test_it.py").write_text(TESTS)
    (folder / "bin").mkdir()
    for name in answering:
        program = folder / "bin" / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.slurm.presence", *OPTIONS, "."],
        cwd=folder,
        env={"PATH": str(folder / "bin"), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended.returncode, ended.stdout


def test_skipped_loudly(tmp_path: Path) -> None:
    code, report = run_tests(tmp_path)
    assert code == 0
    assert "2 passed" not in report
    assert "SLURM TESTS SKIPPED" in report
    assert "no Slurm: sinfo is not installed." in report


def test_the_reason_of_the_boot_is_shown(tmp_path: Path) -> None:
    _, report = run_tests(tmp_path, DATALAD_HPC_NO_SLURM="You are not root.")
    assert "no Slurm: You are not root." in report


def test_accounting_is_needed_too(tmp_path: Path) -> None:
    _, report = run_tests(tmp_path, "sinfo")
    assert "no Slurm: sacct is not installed." in report


@pytest.mark.parametrize("variable", [{"CI": "true"}, {"DATALAD_HPC_REQUIRE_SLURM": "1"}])
def test_fails_where_required(tmp_path: Path, variable: dict[str, str]) -> None:
    code, report = run_tests(tmp_path, **variable)
    assert code == 1
    assert "which is required here: sinfo is not installed." in report
    assert "1 passed" in report
    assert "2 errors" in report


def test_any_skip_fails_where_required(tmp_path: Path) -> None:
    code, report = run_tests(tmp_path, "sinfo", "sacct", CI="true")
    assert code == 1
    assert "SLURM TESTS SKIPPED, WHICH FAILS THIS RUN" in report
    assert "no such partition" in report
    assert "2 passed, 1 skipped" in report


def test_runs_where_slurm_answers(tmp_path: Path) -> None:
    code, report = run_tests(tmp_path, "sinfo", "sacct")
    assert code == 0
    assert "2 passed, 1 skipped" in report
