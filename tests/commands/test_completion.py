"""What the Tab key offers where ids of jobs are wanted, asked of a real bash."""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from datalad_hpc import command_suite
from datalad_hpc.commands import completing
from datalad_hpc.commands.completing import AllJobIds, OpenJobIds, job_ids
from datalad_hpc.workplace import Workplace
from tests.commands.conftest import Lab

PRESS_TAB = """\
source <(datalad shell-completion)
COMP_LINE=$1 COMP_POINT=${#1}
_python_argcomplete datalad
printf '%s\\n' "${COMPREPLY[@]}"
"""

SWEEP = {"foreach": ["a=x,y,z"], "outputs": ["{a}.txt"]}


def offered(line: str, folder: Path) -> list[str]:
    """What bash would show for a line, options left out."""
    done = subprocess.run(
        ["bash", "-c", PRESS_TAB, "bash", line],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [word for word in done.stdout.split() if not word.startswith("-")]


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    """Job 1 is committed, job 2 open, and of the sweep 3 the task 1 is committed."""
    local_lab.script("echo $1 > $1")
    local_lab.run("sbatch job.sh one", outputs=["one"])
    for command, options in (
        ("sbatch job.sh two", {"outputs": ["two"]}),
        ("echo {a} > {outputs}", SWEEP),
    ):
        assert local_lab.schedule(command, **options)["status"] == "ok"
    local_lab.wait()
    local_lab.finish("3_1")
    assert set(local_lab.listed()) == {"2", "3"}
    return local_lab


def test_tab(lab: Lab) -> None:
    assert offered("datalad finish ", lab.root) == ["2", "3"]
    assert offered("datalad finish 2 3_", lab.root) == ["3_0", "3_2"]
    assert offered("datalad finish --slurm-job-id ", lab.root) == ["2", "3"]
    assert offered("datalad finish 1", lab.root) == []
    assert offered(f"datalad finish -d {lab.root} ", lab.root.parent) == ["2", "3"]
    assert offered(f"datalad -C {lab.root} finish ", lab.root.parent) == ["2", "3"]
    assert offered("datalad finish -d elsewhere ", lab.root) == []
    assert offered("datalad hpc-status ", lab.root) == ["1", "2", "3"]
    assert offered("datalad reschedule --failed ", lab.root) == ["2", "3"]
    assert offered("datalad reschedule ", lab.root) == []
    assert offered("datalad schedule --after 2 --after ", lab.root) == ["2", "3"]


def test_all_commands_complete_their_ids() -> None:
    from datalad.cli.parser import setup_parser

    parsers = setup_parser(["datalad"], return_subparsers=True)
    for command in (names[2] for names in command_suite[1]):
        for action in parsers[command]._actions:
            if "JOBID" in str(action.metavar):
                assert isinstance(action, OpenJobIds), f"{command}: {action.dest}"


def test_what_is_over_is_offered_to_commands_that_know_the_history(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = Workplace.of(lab.dataset, "complete")
    assert job_ids(workplace, "", with_history=True) == ["1", "2", "3"]
    assert job_ids(workplace, "3_", with_history=True) == ["3_0", "3_1", "3_2"]
    typed = argparse.Namespace(dataset=str(lab.root), change_path=None)
    assert AllJobIds.completer("3_1", typed) == ["3_1"]
    # An open job is offered however many came after it.
    monkeypatch.setattr(completing, "NEWEST", 1)
    assert job_ids(workplace, "", with_history=True) == ["2", "3"]


def test_tasks_of_an_array_are_part_of_the_history(local_lab: Lab) -> None:
    local_lab.script("true")
    job = local_lab.schedule("sbatch --array=2,5 job.sh", outputs=["x"])["slurm_job_id"]
    workplace = Workplace.of(local_lab.dataset, "complete")
    assert job_ids(workplace, f"{job}_", with_history=True) == [f"{job}_2", f"{job}_5"]
    assert job_ids(workplace, f"{job}_", with_history=False) == []
    local_lab.wait()


def test_trouble_offers_nothing_and_changes_nothing(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offer() -> list[str]:
        return AllJobIds.completer("", argparse.Namespace(dataset=str(local_lab.root)))

    path = local_lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    assert offer() == []
    assert not path.parent.exists()
    local_lab.script("true")
    local_lab.run("sbatch job.sh", outputs=["x"])
    assert offer() == ["1"]
    whole = path.read_bytes()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    assert offer() == []
    assert time.monotonic() - started < 5
    writer.close()
    path.write_bytes(b"no store" * 999)
    assert offer() == []
    path.write_bytes(whole)
    shutil.rmtree(local_lab.root / ".git")
    assert offer() == []


def test_no_scheduler_is_asked(lab: Lab, before: Path) -> None:
    for name in ("squeue", "sacct", "scontrol", "sbatch"):
        program = before / name
        program.write_text(f"#!/bin/sh\ntouch {before}/asked\n")
        program.chmod(0o755)
    with sqlite3.connect(lab.root / ".git" / "datalad" / "hpc" / "jobs.db") as store:
        store.execute("UPDATE jobs SET scheduler = 'slurm'")
    store.close()
    assert offered("datalad finish ", lab.root) == ["2", "3"]
    assert not (before / "asked").exists()
