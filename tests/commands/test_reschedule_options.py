"""Every option of ``reschedule`` does what it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    # In the annex: a clone has to get it.
    local_lab.write("job.sh", "#!/bin/bash\nmkdir -p out; echo $1 >> out/$1.dat\n")
    for name in "ab":
        assert local_lab.run(f"sbatch job.sh {name}", outputs=[f"out/{name}.dat"])["status"] == "ok"
    local_lab.write("unrelated.txt")
    return local_lab


def test_a_range(lab: Lab) -> None:
    (none,) = lab.reschedule()
    assert none["status"] == "impossible"
    assert [res["outputs"] for res in lab.reschedule(since="HEAD~2")] == [["out/b.dat"]]
    lab.wait()
    lab.finish()
    results = lab.reschedule("HEAD~1", since="")
    assert [res["outputs"] for res in results] == [["out/a.dat"], ["out/b.dat"]]
    lab.wait()
    lab.finish()
    assert (lab.root / "out" / "b.dat").read_text() == "b\n" * 3


def test_report_shows_and_submits_nothing(lab: Lab) -> None:
    shown = lab.reschedule(since="", report=True)
    assert [res["command"] for res in shown] == ["sbatch job.sh a", "sbatch job.sh b"]
    assert all("echo $1 >> out" in res["script"] for res in shown)
    assert lab.listed() == {}


def test_script_takes_the_commands(lab: Lab) -> None:
    (written,) = lab.reschedule(since="", script=str(lab.root / "again.sh"))
    assert written["status"] == "ok"
    text = (lab.root / "again.sh").read_text()
    assert text.index("sbatch job.sh a") < text.index("sbatch job.sh b")
    assert f"cd {lab.root}" in text
    subprocess.run(["sh", "-n", lab.root / "again.sh"], check=True)
    assert lab.listed() == {}


def test_failed_jobs_only_on_request(lab: Lab) -> None:
    lab.script("exit 1", name="fails.sh")
    lab.run("sbatch fails.sh", outputs=["x"])
    lab.finish(commit_failed_jobs=True)
    (none,) = lab.reschedule()
    assert none["status"] == "impossible"
    assert "--with-failed-jobs" in text_of(none)
    (again,) = lab.reschedule(with_failed_jobs=True)
    assert again["status"] == "ok", text_of(again)
    lab.wait()


def test_a_claimed_output_is_refused_and_the_rest_goes_on(lab: Lab) -> None:
    lab.script("until test -e go; do sleep 0.1; done", name="waits.sh")
    lab.schedule("sbatch waits.sh", outputs=["out/a.dat"])
    first, second = lab.reschedule(since="")
    assert first["status"] == "impossible"
    assert "out/a.dat" in text_of(first)
    assert second["status"] == "ok"
    (lab.root / "go").touch()
    lab.wait()


def test_a_fresh_clone_retrieves_what_the_record_needs(lab: Lab, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", lab.root, tmp_path / "clone"], check=True)
    subprocess.run(["git", "annex", "init", "-q"], cwd=tmp_path / "clone", check=True)
    clone = Lab(Dataset(tmp_path / "clone"), "local")
    assert not (clone.root / "job.sh").exists()
    (shown,) = clone.reschedule("HEAD~1", report=True)
    assert "get it first" in text_of(shown)
    (again,) = clone.reschedule("HEAD~1")
    assert again["status"] == "ok", text_of(again)
    clone.wait()
    (done,) = clone.finish()
    assert done["status"] == "ok", text_of(done)
    assert (clone.root / "out" / "b.dat").read_text() == "b\n"
    # The other output has no content here, and is still the link that it was.
    assert (clone.root / "out" / "a.dat").is_symlink()
    assert clone.changes() == ""


def test_assume_ready(lab: Lab) -> None:
    (again,) = lab.reschedule("HEAD~1", assume_ready="outputs")
    assert again["status"] == "ok"
    assert (lab.root / "out" / "b.dat").is_symlink()
    lab.wait()


def test_another_dataset_is_refused(lab: Lab) -> None:
    lab.git("config", "-f", ".datalad/config", "datalad.dataset.id", "0-0")
    lab.git("commit", "-q", "-am", "another id")
    lab.dataset.config.reload(force=True)
    (refused,) = lab.reschedule("HEAD~2")
    assert refused["status"] == "impossible"
    assert "another dataset" in text_of(refused)


@pytest.mark.parametrize("outputs", ['["../../x"]', '["/etc/x"]', '[".git/hooks/post-commit"]'])
def test_a_record_cannot_write_outside(lab: Lab, outputs: str) -> None:
    message = (
        "[DATALAD SLURM RUN] Slurm job 1: Completed\n\n=== Do not change lines below ===\n"
        f'{{"cmd": "sbatch job.sh x", "outputs": {outputs}}}\n'
        "^^^ Do not change lines above ^^^\n"
    )
    lab.git("commit", "-q", "--allow-empty", "-m", message)
    (refused,) = lab.reschedule()
    assert refused["status"] == "impossible"
    assert lab.listed() == {}


def test_a_record_of_datalad_slurm(lab: Lab) -> None:
    message = """\
[DATALAD SLURM RUN] Slurm job 11: Completed

their words

=== Do not change lines below ===
{
 "alt_dir": "",
 "chain": [],
 "cmd": "sbatch job.sh z",
 "extra_inputs": [],
 "inputs": [],
 "outputs": ["./out/z.dat", "slurm-11.out", "slurm-job-11.env.json"],
 "pwd": ".",
 "slurm_job_id": 11,
 "slurm_outputs": ["slurm-11.out", "slurm-job-11.env.json"]
}
^^^ Do not change lines above ^^^
"""
    lab.git("commit", "-q", "--allow-empty", "-m", message)
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    assert again["outputs"] == ["out/z.dat"]
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert "out/z.dat" in lab.committed()
    assert "their words" in lab.message()
