"""Nobody who does not use the job store pays for its import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from datalad_hpc import command_suite

HEAVY = ("matplotlib", "numpy", "sqlalchemy", "sqlite3")

REPORT = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, sep="\\n", file=sys.stderr))
"""


def imported_by(code: str) -> set[str]:
    """Names of all modules that a Python process has imported when it ends."""
    ended = subprocess.run(
        [sys.executable, "-c", REPORT + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(ended.stderr.splitlines())


def heavy(modules: set[str]) -> set[str]:
    """Those of them that a start must not have."""
    return {name for name in modules if name.partition(".")[0] in HEAVY}


def test_an_import_of_the_engine_is_seen() -> None:
    assert "sqlalchemy" in heavy(imported_by("import datalad_hpc.store"))


def test_import_of_the_api() -> None:
    modules = imported_by("from datalad.api import finish, reschedule, schedule")
    assert "datalad_hpc.commands.schedule" in modules
    assert heavy(modules) == set()


@pytest.mark.parametrize(
    ("module", "command"), [(names[0], names[2]) for names in command_suite[1]]
)
def test_help_of_a_command(module: str, command: str) -> None:
    call = f"from datalad.cli.main import main; main(['datalad', '{command}', '--help'])"
    modules = imported_by(call)
    assert module in modules
    assert heavy(modules) == set()


def test_the_version_is_told() -> None:
    import datalad_hpc

    assert datalad_hpc.__version__[0].isdigit()
    assert not hasattr(datalad_hpc, "no_such_thing")
