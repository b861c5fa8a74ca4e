"""pytest plugin: what becomes of tests marked ``slurm`` where no Slurm answers.

They are skipped, and that is said loudly at the end. Where they are required (``CI=true`` or
``DATALAD_HPC_REQUIRE_SLURM=1``) they fail, and a test so marked that was skipped for any
other reason fails the whole run. ``tools/boot-slurm.sh`` boots a Slurm; ``DATALAD_HPC_NO_SLURM``
holds the reason if it could not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from functools import lru_cache

import pytest

QUESTIONS = (("sinfo", "--noheader"), ("sacct", "--noheader", "--starttime=now"))
"""A Slurm that can be tested on answers both; the second needs accounting."""

PATIENCE = 30
"""Seconds for each answer."""

ON = {"1", "true", "yes"}


def is_required() -> bool:
    """Whether a Slurm test that does not run is a failure."""
    return any(
        os.environ.get(name, "").lower() in ON for name in ("CI", "DATALAD_HPC_REQUIRE_SLURM")
    )


@lru_cache
def absence() -> str:
    """Why no Slurm can be tested on, as a sentence; empty where one answers."""
    complaint = next(filter(None, map(_complaint, QUESTIONS)), "")
    return complaint and (os.environ.get("DATALAD_HPC_NO_SLURM") or complaint)


def _complaint(question: tuple[str, ...]) -> str:
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError:
        return f"{question[0]} is not installed."
    except subprocess.TimeoutExpired:
        return f"{question[0]} did not answer within {PATIENCE} seconds."
    return f"{question[0]} failed: {answer.stderr.strip()}" if answer.returncode else ""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "slurm: needs a Slurm with accounting that answers")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Run no test that needs Slurm without one."""
    if item.get_closest_marker("slurm") and (reason := absence()):
        if is_required():
            pytest.fail(f"this test needs Slurm, which is required here: {reason}", pytrace=False)
        pytest.skip(f"no Slurm: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in each report whether its test needs Slurm."""
    report = yield
    report.needs_slurm = item.get_closest_marker("slurm") is not None  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped that is required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and is_required() and skipped_slurm_tests(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which tests did not run, and why."""
    skipped = skipped_slurm_tests(terminalreporter)
    if not skipped:
        return
    reasons = sorted({_reason(report) for report in skipped})
    title = "SLURM TESTS SKIPPED" + (", WHICH FAILS THIS RUN" if is_required() else "")
    terminalreporter.section(title, sep="#", red=True, bold=True)
    terminalreporter.line(f"Tests that need Slurm and did not run: {len(skipped)}", red=True)
    for reason in reasons:
        terminalreporter.line(f"  {reason}", red=True)


def skipped_slurm_tests(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    """The reports of tests that need Slurm and did not run."""
    return [
        report
        for report in reporter.stats.get("skipped", [])
        if getattr(report, "needs_slurm", False)
    ]


def _reason(report: pytest.TestReport) -> str:
    """The text that a skip was given, without file and line."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
