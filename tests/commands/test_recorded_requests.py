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
