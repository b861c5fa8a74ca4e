"""Jobs that run in an alternative directory, on each scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Lab, text_of


@pytest.fixture
def alternative(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_the_job_runs_there_and_its_outputs_come_back(lab: Lab, alternative: Path) -> None:
    lab.write("in/a b.dat", "A\n")
    lab.write("out/old.dat", "old\n")
    lab.script('pwd > out/where.txt; cat "$1" > out/copy.dat; test ! -L "$1"')
    done = lab.run(
        "sbatch --output=logs/%j.log job.sh '{inputs}'",
        inputs=["in/a b.dat"],
        outputs=["out/"],
        alt_dir=str(alternative),
    )
    assert done["status"] == "ok", text_of(done)
    job_id = done["slurm_job_id"]
    assert (lab.root / "out" / "where.txt").read_text() == f"{alternative}\n"
    assert lab.committed() == {
        "out/where.txt",
        "out/copy.dat",
        f"logs/{job_id}.log",
        f"logs/slurm-job-{job_id}.env.json",
    }
    assert lab.changes() == ""
    assert (lab.root / "out" / "old.dat").read_text() == "old\n"
    left = {path.relative_to(alternative) for path in alternative.rglob("*") if path.is_file()}
    assert left == {Path("in/a b.dat")}
    assert str(alternative) not in lab.message()


def test_nothing_comes_back_while_the_job_runs(lab: Lab, alternative: Path) -> None:
    lab.script("echo half > out.txt; until test -e go; do sleep 0.1; done; echo whole > out.txt")
    lab.schedule("sbatch job.sh", outputs=["out.txt"], alt_dir=str(alternative))
    while not (alternative / "out.txt").exists():
        pass
    assert lab.finish()[0]["status"] == "impossible"
    assert not (lab.root / "out.txt").exists()
    (alternative / "go").touch()
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "whole\n"


@pytest.mark.parametrize("wish", ["close_failed_jobs", "commit_failed_jobs"])
def test_what_a_failed_job_left_comes_back_only_if_it_is_wanted(
    local_lab: Lab, alternative: Path, wish: str
) -> None:
    lab = local_lab
    lab.write("out.txt", "old\n")
    lab.script("echo half > out.txt; exit 1")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"], alt_dir=str(alternative))
    lab.wait()
    (told,) = lab.finish()
    assert told["status"] == "impossible"
    assert (lab.root / "out.txt").read_text() == "old\n"
    (done,) = lab.finish(**{wish: True})
    assert done["status"] == "ok", text_of(done)
    assert lab.changes() == ""
    if wish == "commit_failed_jobs":
        assert (lab.root / "out.txt").read_text() == "half\n"
        assert f"slurm-{job['slurm_job_id']}.out" in lab.committed()
    else:
        assert (lab.root / "out.txt").is_symlink()
        assert (alternative / "out.txt").read_text() == "half\n"
        assert f"what it left stays in {alternative}" in text_of(done)


def test_reschedule_takes_its_own_alternative(local_lab: Lab, alternative: Path) -> None:
    lab = local_lab
    lab.script("pwd > where.txt")
    lab.run("sbatch job.sh", outputs=["where.txt"], alt_dir=str(alternative))
    lab.reschedule()
    lab.wait()
    lab.finish()
    assert (lab.root / "where.txt").read_text() == f"{lab.root}\n"
    lab.reschedule(alt_dir=str(alternative))
    lab.wait()
    lab.finish()
    assert (lab.root / "where.txt").read_text() == f"{alternative}\n"


def test_a_link_out_of_it_is_not_followed(
    local_lab: Lab, alternative: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret\n")
    local_lab.script(f"mkdir -p out; ln -s {secret} out/folder; ln -s {secret}/key out/file")
    done = local_lab.run("sbatch job.sh", outputs=["out/"], alt_dir=str(alternative))
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "out" / "folder").is_symlink()
    assert (local_lab.root / "out" / "file").is_symlink()
    assert (secret / "key").read_text() == "secret\n"
