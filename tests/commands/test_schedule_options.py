"""Every option of ``schedule`` does what it says."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc.commands import shared
from tests.commands.conftest import Lab, text_of


def record_of(lab: Lab, revision: str = "HEAD") -> dict[str, Any]:
    lines = lab.message(revision).splitlines()
    start = lines.index("=== Do not change lines below ===")
    end = lines.index("^^^ Do not change lines above ^^^")
    return json.loads("\n".join(lines[start + 1 : end]))


def test_placeholders(local_lab: Lab) -> None:
    lab = local_lab
    lab.git("config", "datalad.run.substitutions.who", "you and me")
    lab.dataset.config.reload(force=True)
    lab.write("in/a b.dat", "A\n")
    lab.write("in/c.dat", "C\n")
    lab.script('printf "%s\\n" "$@" > out.txt')
    done = lab.run(
        "sbatch job.sh {inputs} {inputs[1]} '{who}' {outputs[0]} {pwd} {dspath} {{x}}",
        inputs=["in/*.dat"],
        outputs=["out.txt"],
    )
    assert done["status"] == "ok", text_of(done)
    root = str(lab.root)
    assert (lab.root / "out.txt").read_text().splitlines() == [
        *("in/a b.dat", "in/c.dat", "in/c.dat", "you and me", "out.txt", root, root, "{x}")
    ]


def test_tmpdir_is_a_new_folder(local_lab: Lab) -> None:
    local_lab.script('test -d "$1" && test -w "$1" && echo "$1" > out.txt')
    assert local_lab.run("sbatch job.sh {tmpdir}", outputs=["out.txt"])["status"] == "ok"
    os.rmdir((local_lab.root / "out.txt").read_text().strip())


def test_placeholders_in_paths(local_lab: Lab) -> None:
    local_lab.git("config", "datalad.run.substitutions.sub", "s 1")
    local_lab.dataset.config.reload(force=True)
    local_lab.script('mkdir -p "$(dirname "$1")"; echo x > "$1"')
    done = local_lab.run("sbatch job.sh {outputs}", outputs=["out/{sub}/x.dat"])
    assert done["status"] == "ok", text_of(done)
    assert "out/s 1/x.dat" in local_lab.committed()
    assert record_of(local_lab)["outputs"] == ["out/s 1/x.dat"]


def test_inputs_are_retrieved_before_submission(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.write("in/a.dat", "A\n")
    local_lab.script("cat in/a.dat > out.txt")
    subprocess.run(["git", "clone", "-q", local_lab.root, tmp_path / "clone"], check=True)
    subprocess.run(["git", "annex", "init", "-q"], cwd=tmp_path / "clone", check=True)
    lab = Lab(Dataset(tmp_path / "clone"), "local")
    assert not (lab.root / "in" / "a.dat").exists()
    failed = lab.run("sbatch job.sh", outputs=["out.txt"])
    assert failed["slurm_job_status"] == "FAILED"
    lab.finish(close_failed_jobs=True)
    skipped = lab.run("sbatch job.sh", inputs=["in/"], outputs=["out.txt"], assume_ready="inputs")
    assert skipped["slurm_job_status"] == "FAILED"
    lab.finish(close_failed_jobs=True)
    done = lab.run("sbatch job.sh", inputs=["in/"], outputs=["out.txt"], jobs=2)
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "A\n"


def test_existing_outputs_are_made_writable_without_a_trace(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("out/a.dat", "old\n")
    lab.write("out/b.dat", "same\n")
    lab.script("until test -e go; do sleep 0.05; done; echo new >> out/a.dat")
    lab.schedule("sbatch job.sh", outputs=["out/"])
    for name in ("a", "b"):
        file = lab.root / "out" / f"{name}.dat"
        assert not file.is_symlink()
        assert file.stat().st_mode & stat.S_IWUSR
    assert lab.git("diff", "--cached", "--name-only") == ""
    (lab.root / "go").touch()
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert {"out/a.dat"} == {path for path in lab.committed() if path.startswith("out/")}
    assert (lab.root / "out" / "a.dat").read_text() == "old\nnew\n"
    for name in ("a", "b"):
        assert (lab.root / "out" / f"{name}.dat").is_symlink()
    assert lab.changes() == "?? go\n"
    assert lab.git("cat-file", "-p", "HEAD^:out/a.dat") != lab.git(
        "cat-file", "-p", "HEAD:out/a.dat"
    )


def test_a_closed_job_leaves_existing_outputs_as_they_were(local_lab: Lab) -> None:
    local_lab.write("out/a.dat", "old\n")
    local_lab.script("exit 1")
    failed = local_lab.run("sbatch --output=/dev/null job.sh", outputs=["out/"])
    assert failed["status"] == "impossible"
    local_lab.finish(close_failed_jobs=True)
    assert (local_lab.root / "out" / "a.dat").is_symlink()
    assert local_lab.changes() == ""


def test_assume_ready_outputs_are_not_touched(local_lab: Lab) -> None:
    local_lab.write("out/a.dat", "old\n")
    local_lab.script("true")
    local_lab.schedule("sbatch job.sh", outputs=["out/"], assume_ready="outputs")
    assert (local_lab.root / "out" / "a.dat").is_symlink()
    local_lab.wait()


@pytest.mark.parametrize("expand", [None, "inputs", "outputs", "both"])
def test_expand(local_lab: Lab, expand: str | None) -> None:
    local_lab.write("in/1.dat")
    local_lab.write("in/2.dat")
    local_lab.script("mkdir -p out; cp in/1.dat out/x1.dat; cp in/2.dat out/x2.dat")
    done = local_lab.run(
        "sbatch job.sh", inputs=["in/*.dat"], outputs=["out/x*.dat"], expand=expand
    )
    assert done["status"] == "ok", text_of(done)
    record = record_of(local_lab)
    inputs_expanded, outputs_expanded = (expand in (name, "both") for name in ("inputs", "outputs"))
    assert record["inputs"] == (["in/1.dat", "in/2.dat"] if inputs_expanded else ["in/*.dat"])
    assert record["outputs"] == (
        ["out/x1.dat", "out/x2.dat"] if outputs_expanded else ["out/x*.dat"]
    )


def test_a_glob_commits_what_matches(local_lab: Lab) -> None:
    local_lab.script("mkdir -p out; echo 1 > out/a.dat; echo 2 > out/b.log; echo 3 > out/c.dat")
    done = local_lab.run("sbatch job.sh", outputs=["out/*.dat"])
    assert done["status"] == "ok", text_of(done)
    assert {"out/a.dat", "out/c.dat"} < local_lab.committed()
    assert local_lab.changes() == "?? out/b.log\n"


def test_from_a_subfolder_paths_are_relative_to_it(local_lab: Lab, inside: Any) -> None:
    from datalad.api import schedule

    lab = local_lab
    lab.write("code/in.dat", "A\n")
    lab.script("cat $1 > $2; pwd > ../where.txt", name="code/job.sh")
    (lab.root / "res").mkdir()
    inside("code")
    schedule(
        "sbatch job.sh {inputs} {outputs[0]}",
        inputs=["in.dat"],
        outputs=["../res/x.dat", "../where.txt"],
        scheduler="local",
        result_renderer="disabled",
    )
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    record = record_of(lab)
    assert record["pwd"] == "code"
    assert record["outputs"] == ["res/x.dat", "where.txt"]
    assert (lab.root / "where.txt").read_text() == f"{lab.root / 'code'}\n"
    assert f"code/slurm-{done['slurm_job_id']}.out" in lab.committed()
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert record_of(lab)["pwd"] == "code"
    assert lab.changes() == ""


def test_dry_run_submits_nothing(local_lab: Lab) -> None:
    local_lab.script("#SBATCH --array=1-4\ntrue")
    (shown,) = local_lab.schedule_all("sbatch job.sh {outputs}", outputs=["out/"], dry_run="basic")
    assert shown["status"] == "ok"
    assert shown["dry_run"]["argv"] == ["sbatch", "job.sh", "out/"]
    assert shown["dry_run"]["tasks"] == [1, 2, 3, 4]
    assert local_lab.listed() == {}


@pytest.mark.parametrize("in_script", [True, False])
def test_logs_where_the_user_wants_them(local_lab: Lab, in_script: bool) -> None:
    options = "--output='logs/my log %j.txt' --error=logs/%x.err --job-name=nice"
    local_lab.script(f"{f'#SBATCH {options}' if in_script else ''}\necho a; echo b >&2; echo > x")
    done = local_lab.run(f"sbatch {'' if in_script else options} job.sh", outputs=["x"])
    assert done["status"] == "ok", text_of(done)
    job_id = done["slurm_job_id"]
    logs = {f"logs/my log {job_id}.txt", "logs/nice.err", f"logs/slurm-job-{job_id}.env.json"}
    assert logs < local_lab.committed()
    assert set(record_of(local_lab)["slurm_outputs"]) == logs


def test_wrap(local_lab: Lab) -> None:
    local_lab.write("in a.dat", "A\n")
    done = local_lab.run(
        ["sbatch", "--wrap", "cat {inputs} > {outputs}"], inputs=["in a.dat"], outputs=["o b.txt"]
    )
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "o b.txt").read_text() == "A\n"


def test_auto_takes_this_machine_where_there_is_no_sbatch(
    local_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A PATH with all that is needed, but without the cluster."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if program.name != "sbatch" and not (bare / program.name).exists():
                (bare / program.name).symlink_to(program)
    local_lab.script("echo x > out.txt")
    monkeypatch.setenv("PATH", str(bare))
    shared._say.cache_clear()
    with caplog.at_level("INFO", "datalad.hpc.commands"):
        job = local_lab.schedule("sbatch job.sh", outputs=["out.txt"], scheduler=None)
    assert job["scheduler"] == "local"
    assert "sbatch is not on PATH" in caplog.text
    local_lab.wait()


@pytest.mark.slurm
def test_auto_takes_slurm_where_there_is_one(dataset: Dataset, caplog: Any) -> None:
    lab = Lab(dataset, "auto")
    lab.script("echo x > $1")
    shared._say.cache_clear()
    with caplog.at_level("INFO", "datalad.hpc.commands"):
        jobs = [lab.schedule(f"sbatch job.sh {name}", outputs=[name]) for name in "ab"]
    assert [job["scheduler"] for job in jobs] == ["slurm", "slurm"]
    assert caplog.text.count("sbatch is on PATH") == 1, "once is enough"
    lab.wait()
    lab.finish()


def test_the_scheduler_can_be_configured(local_lab: Lab) -> None:
    local_lab.script("echo x > out.txt")
    local_lab.git("config", "datalad.hpc.scheduler", "local")
    local_lab.dataset.config.reload(force=True)
    assert local_lab.schedule("sbatch job.sh", outputs=["x"], scheduler=None)["scheduler"] == (
        "local"
    )
    local_lab.wait()


def test_jobs_are_handed_on_to_git_annex(local_lab: Lab, wrapped_annex: Path) -> None:
    local_lab.write("in.dat")
    local_lab.script("cp in.dat out.dat")
    subprocess.run(["git", "clone", "-q", local_lab.root, local_lab.root / ".." / "c"], check=True)
    copy = Lab(Dataset(local_lab.root / ".." / "c"), "local")
    copy.git("annex", "init", "-q")
    job = copy.schedule("sbatch job.sh", inputs=["in.dat"], outputs=["out.dat"], jobs=3)
    assert job["status"] == "ok", text_of(job)
    gets = [line.split() for line in wrapped_annex.read_text().splitlines() if " get " in line]
    assert any("-J3" in words for words in gets), gets
    copy.wait()


def test_expanded_outputs_are_what_is_there(local_lab: Lab) -> None:
    """Also where the job left a file as it was, or deleted one."""
    local_lab.write("out/same.dat", "same\n")
    local_lab.write("out/gone.dat", "gone\n")
    local_lab.script("rm out/gone.dat; echo new > out/new.dat")
    done = local_lab.run("sbatch job.sh", outputs=["out/"], expand="outputs")
    assert done["status"] == "ok", text_of(done)
    assert record_of(local_lab)["outputs"] == ["out/new.dat", "out/same.dat"]


def test_a_log_outside_of_the_dataset_is_named(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.script("echo x > out.txt")
    job = local_lab.schedule(f"sbatch -o {tmp_path}/%j.log job.sh", outputs=["out.txt"])
    assert f"{tmp_path}/{job['slurm_job_id']}.log is outside" in text_of(job)
    local_lab.wait()
    (done,) = local_lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert (tmp_path / f"{job['slurm_job_id']}.log").exists()


def test_folders_of_logs_are_made(local_lab: Lab) -> None:
    local_lab.script("#SBATCH --array=1-2 --output=logs/%x/%A_%a.log\necho x > out.txt")
    done = local_lab.run("sbatch job.sh", outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    assert [path.name for path in (local_lab.root / "logs").iterdir()] == ["job.sh"]
    assert f"logs/job.sh/{done['slurm_job_id']}_2.log" in local_lab.committed()
