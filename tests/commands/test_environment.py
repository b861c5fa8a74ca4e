"""What records tell of the environment."""

from __future__ import annotations

import getpass
import json
import os
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datalad
import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in
from tests.commands.test_schedule_options import record_of

COMMANDS = ["echo x > {outputs}", "sbatch job.sh"]
"""A plain one and one with a script of the user's."""


@pytest.fixture
def lab(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.delenv("LOADEDMODULES", raising=False)
    local_lab.script("echo x > out.txt")
    return local_lab


def environment_of(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = record_of(lab)["hpc"].get("environment", {})
    return found


def set_up(lab: Lab, name: str, value: str) -> None:
    lab.git("config", f"datalad.hpc.{name}", value)
    lab.dataset.config.reload(force=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_record_tells_of_host_and_programs(lab: Lab, command: str) -> None:
    assert lab.run(command, outputs=["out.txt"])["status"] == "ok"
    told = environment_of(lab)
    assert told.keys() == {"platform", "versions"}
    kernel = os.uname()
    assert told["platform"].endswith(f"{kernel.sysname} {kernel.release} {kernel.machine}")
    assert told["versions"].keys() == {"datalad", "datalad-hpc", "git-annex"}
    assert told["versions"]["datalad"] == datalad.__version__
    assert told["versions"]["datalad-hpc"] == version("datalad-hpc")
    assert told["versions"]["git-annex"].startswith("10.")
    text = json.dumps(told)
    assert len(text) < 500
    assert socket.gethostname() not in text
    assert getpass.getuser() not in told["platform"]


def test_modules_are_those_of_the_submission(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADEDMODULES", "gcc/12.2:/home/somebody/modules/own:fsl/6.0")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    monkeypatch.setenv("LOADEDMODULES", "other")
    lab.wait(job["slurm_job_id"])
    lab.finish()
    assert environment_of(lab)["modules"] == ["gcc/12.2", "own", "fsl/6.0"]
    set_up(lab, "record-identity", "yes")
    monkeypatch.setenv("LOADEDMODULES", "/home/somebody/modules/own")
    set_up(lab, "modules", "fsl/6.0")
    lab.run("sbatch job.sh", outputs=["out.txt"])
    assert environment_of(lab)["modules"] == ["/home/somebody/modules/own"]


def test_modules_of_a_plain_command_are_those_of_its_script(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADEDMODULES", "gcc/12.2")
    set_up(lab, "modules", "fsl/6.0 gcc/12.2")
    set_up(lab, "record-environment", "yes")
    job = lab.schedule("echo", outputs=["out.txt"])
    lab.wait(job["slurm_job_id"])
    lab.finish(commit_failed_jobs=True)
    assert environment_of(lab)["modules"] == ["gcc/12.2", "fsl/6.0"]


@pytest.mark.parametrize("when", ["schedule", "finish"])
def test_it_can_be_switched_off(lab: Lab, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    monkeypatch.setenv("LOADEDMODULES", "gcc")
    set_up(lab, "record-environment", "yes" if when == "finish" else "no")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait(job["slurm_job_id"])
    set_up(lab, "record-environment", "no" if when == "finish" else "yes")
    lab.finish()
    found = environment_of(lab)
    assert found.keys() == (set() if when == "finish" else {"versions"})


def test_versions_are_asked_for_once(lab: Lab, wrapped_annex: Path) -> None:
    for number in range(3):
        lab.schedule(f"echo > {number}.txt", outputs=[f"{number}.txt"])
    assert not wrapped_annex.exists() or "--raw" not in wrapped_annex.read_text()
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 3
    assert wrapped_annex.read_text().count("version --raw") == 1


def test_what_cannot_be_told_is_left_out(lab: Lab, before: Path) -> None:
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait(job["slurm_job_id"])
    stand_in(before, "git-annex", 'test "$1" != version && exec REAL "$@"\n')
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert environment_of(lab)["versions"].keys() == {"datalad", "datalad-hpc"}


@pytest.mark.slurm
def test_slurm_tells_its_version(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    assert lab.run("echo > out.txt", outputs=["out.txt"])["status"] == "ok"
    told = environment_of(lab)["versions"]["slurm"]
    assert told[0].isdigit()
    assert " " not in told
    stand_in(before, "sinfo", "exit 1\n")
    assert lab.run("echo > out.txt", outputs=["out.txt"])["status"] == "ok"
    assert "slurm" not in environment_of(lab)["versions"]
