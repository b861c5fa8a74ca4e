"""The commands as they are typed: what is printed, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Lab


def datalad(lab: Lab, *arguments: str, folder: str = ".") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "datalad"), *arguments],
        cwd=lab.root / folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER", lab.scheduler)
    lab.script("mkdir -p out; echo $1 > out/$1.dat")
    return lab


def test_the_tour(lab: Lab) -> None:
    done = datalad(lab, "schedule", "-o", "out/a.dat", "-m", "words", "sbatch", "job.sh", "a")
    assert done.returncode == 0, done.stderr
    assert "schedule(ok): . (dataset) [job " in done.stdout
    failing = datalad(lab, "schedule", "-o", "x", "sbatch", "--wrap", "exit 2")
    assert failing.returncode == 0, failing.stderr
    lab.wait()
    table = datalad(lab, "finish", "--list-open-jobs").stdout.splitlines()
    assert table[0].split()[:2] == ["slurm-job-id", "slurm-job-status"]
    assert [row.split()[1] for row in table[1:]] == ["COMPLETED", "FAILED"]
    ids = [row.split()[0] for row in table[1:]]
    finished = datalad(lab, "finish", "-m", "more words")
    assert finished.returncode == 1
    assert f"finish(ok): . (dataset) [Job {ids[0]}: Completed, committed as" in finished.stdout
    assert f"Job {ids[1]} did not succeed" in finished.stdout
    closed = datalad(lab, "finish", "--close-failed-jobs", ids[1])
    assert closed.returncode == 0, closed.stdout
    again = datalad(lab, "reschedule")
    assert again.returncode == 0, again.stdout
    lab.wait()
    assert datalad(lab, "finish").returncode == 0
    assert lab.changes().splitlines() == [f"?? slurm-{ids[1]}.out"]


def test_json_gives_results(lab: Lab) -> None:
    job = json.loads(datalad(lab, "-f", "json", "schedule", "-o", "x", "sbatch", "job.sh").stdout)
    assert job["slurm_job_id"]
    lab.wait()
    listed = json.loads(datalad(lab, "-f", "json", "finish", "-l").stdout)
    assert listed["slurm_job_id"] == job["slurm_job_id"]
    assert listed["slurm_job_status"] == "COMPLETED"
    assert listed["status"] == "ok"


@pytest.mark.parametrize("mode", ["basic", "command"])
def test_dry_run_prints_what_would_run(local_lab: Lab, mode: str) -> None:
    local_lab.script("true")
    shown = datalad(local_lab, "schedule", "--dry-run", mode, "-o", "out/", "sbatch", "job.sh")
    assert shown.returncode == 0
    assert "sbatch job.sh" in shown.stdout
    assert ("folder:" in shown.stdout) is (mode == "basic")


def test_the_report_is_readable(local_lab: Lab) -> None:
    local_lab.script("echo x > out.txt")
    local_lab.run("sbatch job.sh", outputs=["out.txt"])
    shown = datalad(local_lab, "reschedule", "--report").stdout
    assert "would run: sbatch job.sh" in shown
    assert "  echo x > out.txt" in shown
    script = datalad(local_lab, "reschedule", "--script", "-").stdout
    assert script.startswith("#!/bin/sh")
    assert "sbatch job.sh" in script


def test_a_refusal_has_an_exit_code(local_lab: Lab) -> None:
    refused = datalad(local_lab, "schedule", "-o", "x", "sbatch", "none.sh")
    assert refused.returncode == 1
    assert "schedule(impossible)" in refused.stdout


def test_not_a_dataset(tmp_path: Path, local_lab: Lab) -> None:
    refused = datalad(local_lab, "finish", folder="..")
    assert refused.returncode != 0
    assert "No dataset found" in refused.stderr


@pytest.mark.parametrize("command", ["schedule", "finish", "reschedule"])
def test_help_has_an_example(local_lab: Lab, command: str) -> None:
    shown = datalad(local_lab, command, "--help").stdout
    assert "*Examples*" in shown
    assert f"% datalad {command}" in shown


def test_a_dataset_elsewhere(local_lab: Lab) -> None:
    """With -d, paths are relative to the dataset's root, wherever one stands."""
    local_lab.script("echo x > out.txt")
    root = str(local_lab.root)
    done = datalad(
        *(local_lab, "schedule", "-d", root, "--scheduler", "local", "-o", "out.txt"),
        *("sbatch", "job.sh"),
        folder="..",
    )
    assert done.returncode == 0, done.stdout
    local_lab.wait()
    assert datalad(local_lab, "finish", "-d", root, folder="..").returncode == 0
    again = datalad(local_lab, "reschedule", "-d", root, "--scheduler", "local", folder="..")
    assert again.returncode == 0, again.stdout
    assert "out.txt" in local_lab.committed()
    local_lab.wait()
