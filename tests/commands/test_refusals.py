"""Bad input gets a clear sentence and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Lab, text_of


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    local_lab.script("echo x > out.txt")
    local_lab.write("in.dat")
    return local_lab


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (None, {"outputs": ["x"]}, "no command"),
    ([], {"outputs": ["x"]}, "no command"),
    ("  ", {"outputs": ["x"]}, "no command"),
    ("sbatch job.sh", {}, "at least one output"),
    ("sbatch job.sh", {"outputs": ["../x"]}, "outside of the dataset"),
    ("sbatch job.sh", {"outputs": ["/etc/x"]}, "outside of the dataset"),
    ("sbatch job.sh", {"outputs": [".git/x"]}, "Git's own folder"),
    ("sbatch job.sh", {"outputs": [""]}, "empty path"),
    ("sbatch job.sh", {"outputs": ["x-{nobody}"]}, "placeholder"),
    ("sbatch job.sh {nobody}", {"outputs": ["x"]}, "placeholder"),
    ("sbatch job.sh {inputs[3]}", {"outputs": ["x"]}, "placeholder"),
    ("sbatch job.sh; rm -rf x", {"outputs": ["x"]}, "not run through a shell"),
    ("sbatch 'job.sh", {"outputs": ["x"]}, "not closed"),
    ("sbatch", {"outputs": ["x"]}, "neither a batch script nor --wrap"),
    ("sbatch none.sh", {"outputs": ["x"]}, "no batch script"),
    ("sbatch --array=5-1 job.sh", {"outputs": ["x"]}, "array"),
    ("sbatch --wait job.sh", {"outputs": ["x"]}, "--wait"),
    ("sbatch --chdir=nowhere job.sh", {"outputs": ["x"]}, "nowhere"),
    ("sbatch --output=logs/%j/log job.sh", {"outputs": ["x"]}, "named after the job's id"),
    ("sbatch --dependency=afterok:4711 job.sh", {"outputs": ["x"]}, "4711"),
    ("sbatch job.sh", {"outputs": ["x"], "alt_dir": "/does/not/exist"}, "does not exist"),
    ("sbatch job.sh", {"outputs": ["x"], "alt_dir": "."}, "lie in one another"),
    ("sbatch job.sh", {"outputs": ["x"], "scheduler": "pbs"}, "known are auto, local, slurm"),
    ("sbatch job.sh", {"outputs": ["x"], "inputs": ["none.dat"]}, "none.dat"),
]


@pytest.mark.parametrize(("command", "options", "words"), REFUSED)
def test_a_bad_request_changes_nothing(
    lab: Lab, command: Any, options: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.root)
    results = lab.schedule_all(command, **options)
    assert all(res["status"] in ("impossible", "error") for res in results)
    assert any(words in text_of(res) for res in results), [text_of(res) for res in results]
    assert lab.listed() == {}
    assert lab.changes() == ""


@pytest.mark.slurm
def test_the_words_of_sbatch_are_shown(lab: Lab) -> None:
    lab.scheduler = "slurm"
    lab.write("out.dat")
    refused = lab.schedule("sbatch --partition=nowhere job.sh", outputs=["out.dat"])
    assert refused["status"] == "impossible"
    assert "invalid partition specified: nowhere" in text_of(refused)
    assert lab.listed() == {}
    # The existing output had been made writable for the job and is as before.
    assert (lab.root / "out.dat").is_symlink()
    assert lab.changes() == ""


def test_a_claimed_output_names_its_holder(lab: Lab) -> None:
    lab.script("until test -e go; do sleep 0.1; done; echo x > out.txt")
    first = lab.schedule("sbatch job.sh", outputs=["out/"])
    for spelling in ("out", "./out", "out/x/y", str(lab.root / "out"), "o*", "**", "."):
        refused = lab.schedule("sbatch job.sh", outputs=[spelling])
        assert refused["status"] == "impossible", spelling
        assert f"job {first['slurm_job_id']}" in text_of(refused)
    assert lab.listed().keys() == {first["slurm_job_id"]}
    allowed = lab.schedule("sbatch job.sh", outputs=["out"], check_outputs=False)
    assert allowed["status"] == "ok"
    (lab.root / "go").touch()
    lab.wait()


def test_logs_are_claimed_too(lab: Lab) -> None:
    lab.script("until test -e go; do sleep 0.1; done")
    assert lab.schedule("sbatch -o my.log job.sh", outputs=["a"])["status"] == "ok"
    assert lab.schedule("sbatch -o my.log job.sh", outputs=["b"])["status"] == "impossible"
    assert lab.schedule("sbatch job.sh", outputs=["my.log"])["status"] == "impossible"
    assert lab.schedule("sbatch -o a/%j.log job.sh", outputs=["b"])["status"] == "impossible"
    (lab.root / "go").touch()
    lab.wait()


@pytest.mark.parametrize("job_id", ["4711", "x", "submission-00000000"])
def test_an_unknown_job_id(lab: Lab, job_id: str) -> None:
    (answer,) = lab.finish(job_id)
    assert answer["status"] == "impossible"
    assert f"no job {job_id}" in text_of(answer)


def test_branches_and_octopus_exclude_each_other(lab: Lab) -> None:
    (answer,) = lab.finish(branches=True, octopus=True)
    assert answer["status"] == "impossible"
    assert "choose one" in text_of(answer)


def test_more_outputs_need_one_job(lab: Lab) -> None:
    (answer,) = lab.finish(outputs=["x"])
    assert answer["status"] == "impossible"
    assert "exactly one job id" in text_of(answer)


def test_reschedule_without_a_record(lab: Lab) -> None:
    (answer,) = lab.reschedule()
    assert answer["status"] == "impossible"
    assert "no record" in text_of(answer)
    (answer,) = lab.reschedule("no-such-branch")
    assert "there is no commit 'no-such-branch'" in text_of(answer)
    (answer,) = lab.reschedule("--output=x")
    assert "there is no commit" in text_of(answer)


@pytest.mark.parametrize("record", ["{", "[]", '{"cmd": 3, "outputs": []}', '{"outputs": ["a"]}'])
def test_reschedule_of_a_broken_record(lab: Lab, record: str) -> None:
    message = (
        "[DATALAD SLURM RUN] Slurm job 1: Completed\n\n=== Do not change lines below ===\n"
        f"{record}\n^^^ Do not change lines above ^^^\n"
    )
    lab.git("commit", "--allow-empty", "-m", message)
    (answer,) = lab.reschedule()
    assert answer["status"] == "impossible"
    assert "record is broken" in text_of(answer)
    assert lab.listed() == {}


def test_not_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datalad.api import schedule
    from datalad.support.exceptions import NoDatasetFound

    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoDatasetFound, match="schedule a job"):
        schedule("sbatch job.sh", outputs=["x"])


@pytest.mark.parametrize("damage", ["rubbish", "newer", "locked"])
def test_a_store_that_cannot_be_used(lab: Lab, damage: str, monkeypatch: Any) -> None:
    assert lab.run("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"
    store = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    before = lab.git("rev-parse", "HEAD")
    holder = None
    if damage == "rubbish":
        store.write_bytes(b"no database" * 1000)
    elif damage == "newer":
        subprocess.run([sys.executable, "-c", _PRAGMA, store], check=True)
    else:
        lab.git("config", "datalad.hpc.store-timeout", "0.2")
        lab.dataset.config.reload(force=True)
        holder = subprocess.Popen([sys.executable, "-c", _HOLD, store], stdout=subprocess.PIPE)
        assert holder.stdout
        holder.stdout.readline()
    try:
        for answer in (lab.schedule("sbatch job.sh", outputs=["out.txt"]), *lab.finish()):
            assert answer["status"] == "error"
            assert "job store" in text_of(answer)
    finally:
        if holder:
            holder.kill()
            holder.communicate()
    assert lab.git("rev-parse", "HEAD") == before
    assert lab.changes() == ""


_PRAGMA = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 99')"
_HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(60)
"""
