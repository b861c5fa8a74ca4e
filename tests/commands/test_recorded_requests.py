"""What a job was given stands in its record, and is what it is given again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of
from tests.commands.test_schedule_options import record_of

GIVEN = "0:07 gpu qos=first mail-user=me@example.org"


def directives(script: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith("#SBATCH")]


def done_with(lab: Lab, command: str = "date > {outputs}") -> dict[str, str]:
    """The resources in the record of a job."""
    done = lab.run(command, outputs=["out.txt"], resources=GIVEN)
    assert done["status"] == "ok", text_of(done)
    resources: dict[str, str] = record_of(lab)["hpc"]["resources"]
    return resources


def clone_of(lab: Lab, path: Path) -> Lab:
    subprocess.run(["git", "clone", "-q", lab.root, path], check=True)
    return Lab(Dataset(path), lab.scheduler)


def test_names_are_not_recorded_but_known_where_it_was_scheduled(
    local_lab: Lab, tmp_path: Path
) -> None:
    lab = local_lab
    told = done_with(lab)
    assert told == {"time": "00:07:00", "gres": "gpu:1", "qos": "first"}
    all_of_them = [
        "#SBATCH --job-name=date",
        "#SBATCH --time=00:07:00",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --qos=first",
        "#SBATCH --mail-user=me@example.org",
    ]
    assert directives(record_of(lab)["hpc"]["script"]) == [
        *all_of_them[:-1],
        "#SBATCH --mail-user=…",
    ]
    (shown,) = lab.reschedule(report=True)
    assert directives(shown["script"]) == all_of_them
    (elsewhere,) = clone_of(lab, tmp_path / "clone").reschedule(report=True)
    assert sorted(directives(elsewhere["script"])) == sorted(all_of_them[:-2])
    assert not (tmp_path / "clone/.git/datalad/hpc/jobs.db").exists()
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    assert record_of(lab)["hpc"]["resources"] == told
    assert directives(lab.reschedule(report=True)[0]["script"]) == all_of_them


def test_names_are_recorded_if_wished(local_lab: Lab) -> None:
    local_lab.git("config", "datalad.hpc.record-identity", "yes")
    local_lab.dataset.config.reload(force=True)
    assert done_with(local_lab)["mail-user"] == "me@example.org"
    assert "#SBATCH --mail-user=me@example.org" in record_of(local_lab)["hpc"]["script"]


def test_a_command_for_sbatch_gets_them_again_on_its_line(local_lab: Lab) -> None:
    local_lab.script("date > out.txt")
    done_with(local_lab, "sbatch -t 5 job.sh")
    (shown,) = local_lab.reschedule(report=True)
    given = ["--time=00:07:00", "--gres=gpu:1", "--qos=first", "--mail-user=me@example.org"]
    assert shown["argv"] == ["sbatch", *given, "-t", "5", "job.sh"]
    assert record_of(local_lab)["cmd"] == "sbatch -t 5 job.sh"
    assert "script" not in record_of(local_lab)["hpc"]


@pytest.mark.slurm
def test_slurm_gives_them_again(dataset: Dataset) -> None:
    lab = Lab(dataset, "slurm")
    command = "scontrol show job $SLURM_JOB_ID | grep -o 'TimeLimit=[^ ]*' > {outputs}"
    done = lab.run(command, outputs=["out.txt"], resources="0:07")
    assert done["status"] == "ok", text_of(done)
    lab.git("rm", "-q", "out.txt")
    lab.save()
    (again,) = lab.reschedule(done["commit"])
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    assert (lab.root / "out.txt").read_text() == "TimeLimit=00:07:00\n"
    assert record_of(lab)["chain"] == [done["commit"]]
    assert record_of(lab)["hpc"]["resources"] == {"time": "00:07:00"}


def test_one_task_of_a_sweep_is_run_again_alone(lab: Lab) -> None:
    job = lab.schedule(
        "mkdir -p out; echo {sub} > {outputs}; date +%N >> {outputs}",
        outputs=["out/{sub}.txt"],
        message="about {sub}",
        resources="0:07",
        foreach=["sub=a b,it's,c"],
    )
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    done = lab.finish()
    assert [res["status"] for res in done] == ["ok"] * 3, list(map(text_of, done))
    commit = next(res["commit"] for res in done if "it's" in lab.message(res["commit"]))
    own = record_of(lab, commit)["hpc"]
    assert (own["task"], own["values"]) == (1, {"sub": "it's"})
    assert own["script"].startswith("#!/bin/bash\n")
    assert "case" not in own["script"]
    assert "a b" not in own["script"]
    assert {"started", "ended"} <= own.keys()
    assert not {"facts", "tasks"} & own.keys()
    (again,) = lab.reschedule(commit)
    assert again["status"] == "ok", text_of(again)
    assert again["outputs"] == ["out/it's.txt"]
    lab.wait()
    (repeated,) = lab.finish()
    assert repeated["status"] == "ok", text_of(repeated)
    assert "out/it's.txt" in lab.committed()
    assert {"out/a b.txt", "out/c.txt"}.isdisjoint(lab.committed())
    record = record_of(lab)
    assert record["chain"] == [commit]
    assert record["hpc"]["resources"] == {"time": "00:07:00"}
    assert "task" not in record["hpc"]
    assert "\n\nabout it's\n\n" in lab.message()
    assert (lab.root / "out/it's.txt").read_text().startswith("it's\n")


def test_rerun_runs_one_task_of_a_sweep(local_lab: Lab) -> None:
    lab = local_lab
    lab.git("config", "datalad.hpc.record-marker", "core")
    lab.dataset.config.reload(force=True)
    lab.schedule("date +%N > {outputs}", outputs=["{sub}.txt"], foreach=["sub=a b,{{c"])
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 2
    commit = lab.git("log", "-1", "--format=%H", "--", "a b.txt").strip()
    assert lab.message(commit).startswith("[DATALAD RUNCMD] date +%N > ")
    done = lab.dataset.rerun(commit, result_renderer="disabled", on_failure="ignore")
    assert {res["status"] for res in done} <= {"ok", "notneeded"}
    assert lab.committed() == {"a b.txt"}
    assert record_of(lab)["chain"] == [commit]


def test_a_job_tells_which_others_it_waited_for(local_lab: Lab) -> None:
    lab = local_lab
    first = lab.schedule("echo 1 > {outputs}", outputs=["one"])
    second = lab.schedule("echo 2 > {outputs}", outputs=["two"])
    last = lab.schedule("cat one two > {outputs}", inputs=["one", "two"], outputs=["both"])
    assert last["status"] == "ok", text_of(last)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 3
    record = record_of(lab)
    assert record["outputs"] == ["both"]
    earlier = [first["slurm_job_id"], second["slurm_job_id"]]
    assert record["hpc"]["waited_for"] == earlier
    assert "waited_for" not in record_of(lab, "HEAD^")["hpc"]
    # The others are over, and it is run again without them.
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert "waited_for" not in record_of(lab)["hpc"]
