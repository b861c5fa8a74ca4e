"""Outputs that each task of an array has for itself: what is reserved, and what is refused."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest

from tests.commands.conftest import Lab, text_of

WAITS = "until test -e go; do sleep 0.05; done; mkdir -p out; echo x > out/$SLURM_ARRAY_TASK_ID"


def claimed(lab: Lab) -> set[tuple[str, str, int | None]]:
    """Path, kind and task of each declared output that is kept in the store."""
    path = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    with contextlib.closing(sqlite3.connect(path)) as store:
        found = store.execute("SELECT path, kind, task FROM claims WHERE role = 'output'")
        return set(found.fetchall())


def test_each_task_has_a_claim_of_its_own(local_lab: Lab) -> None:
    lab = local_lab
    lab.script(WAITS)
    declared = ["sum.txt", "out/{task}", "{task}/", "{{task}}/{task}-*.dat"]
    job = lab.schedule("sbatch --array=1,3 job.sh", outputs=declared)
    assert job["status"] == "ok", text_of(job)
    assert job["outputs"] == declared
    assert claimed(lab) == {
        ("sum.txt", "file", None),
        *((f"out/{task}", "file", task) for task in (1, 3)),
        *((f"{task}", "folder", task) for task in (1, 3)),
        *(("{task}/" + f"{task}-*.dat", "glob", task) for task in (1, 3)),
    }
    refused = lab.schedule("sbatch --array=3-4 job.sh", outputs=["out/{task}"])
    assert refused["status"] == "impossible"
    assert "out/3" in text_of(refused)
    other = lab.schedule("sbatch --array=0,2 job.sh", outputs=["out/{task}"])
    assert other["status"] == "ok", text_of(other)
    (lab.root / "go").touch()
    lab.wait()


def test_an_array_asked_for_in_the_script_from_a_folder(local_lab: Lab, inside: Any) -> None:
    lab = local_lab
    lab.script("#SBATCH -a 4-5\nmkdir -p out; echo x > out/$SLURM_ARRAY_TASK_ID", name="in/job.sh")
    inside("in")
    from datalad.api import schedule

    (job,) = schedule(
        "sbatch job.sh {outputs}",
        outputs=["out/{task}", "../x-{task}"],
        scheduler="local",
        result_renderer="disabled",
    )
    assert job["status"] == "ok"
    assert {path for path, _, _ in claimed(lab)} == {"in/out/4", "in/out/5", "x-4", "x-5"}
    lab.wait()


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("sbatch job.sh", {}, "is no array"),
        ("sbatch --array=1-2 job.sh {task}", {}, r"$SLURM_ARRAY_TASK_ID"),
        ("sbatch --array=1-2 --wrap 'echo {task}'", {}, r"$SLURM_ARRAY_TASK_ID"),
        ("sbatch --array=1-2 job.sh", {"inputs": ["in/{task}"]}, r"$SLURM_ARRAY_TASK_ID"),
        ("sbatch --array=1-2 job.sh", {"outputs": ["out/{task:03}"]}, "plain number only"),
        ("sbatch --array=1-2 job.sh", {"outputs": ["out/{task}*"]}, "task 11"),
        ("sbatch --array=1-2 job.sh", {"outputs": ["out/", "out/{task}"]}, "overlap"),
        ("sbatch --array=1-2 job.sh", {"outputs": ["out/1", "out/{task}"]}, "overlap"),
        ("sbatch --array=1-2 job.sh", {"outputs": ["../{task}"]}, "outside of the dataset"),
        ("sbatch --array=1-2 job.sh", {"outputs": [".git/{task}"]}, "Git's own folder"),
    ],
)
def test_what_cannot_be_is_refused(
    local_lab: Lab, command: str, options: dict[str, Any], sentence: str
) -> None:
    local_lab.script("true")
    refused = local_lab.schedule(command, **{"outputs": ["out/{task}"], **options})
    assert refused["status"] == "impossible"
    assert sentence in text_of(refused)
    assert local_lab.listed() == {}


def test_a_placeholder_of_the_users_own_comes_first(local_lab: Lab) -> None:
    local_lab.script("echo x > mine")
    local_lab.git("config", "datalad.run.substitutions.task", "mine")
    local_lab.dataset.config.reload(force=True)
    done = local_lab.run("sbatch job.sh {task}", outputs=["{task}"])
    assert done["status"] == "ok", text_of(done)
    assert "mine" in local_lab.committed()


def test_a_link_that_a_task_would_write_through(local_lab: Lab) -> None:
    """Whatever the spelling: the folder of task 3 is a link to one that another job holds."""
    lab = local_lab
    lab.script(WAITS)
    (lab.root / "real").mkdir()
    (lab.root / "out").mkdir()
    (lab.root / "out" / "3").symlink_to("../real")
    assert lab.schedule("sbatch job.sh", outputs=["real/x"])["status"] == "ok"
    refused = lab.schedule("sbatch --array=1-3 job.sh", outputs=["out/{task}/x"])
    assert refused["status"] == "impossible"
    assert "real/x" in text_of(refused)
    (lab.root / "go").touch()
    lab.wait()
