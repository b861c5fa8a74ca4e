"""``datalad hpc-log --follow``: what is there, what is added, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, stand_in, text_of
from tests.helpers import wait_for

STEPS = """\
echo first
until test -e "$0.go" -o -e go; do sleep 0.05; done
echo last
"""


Follow = Callable[..., "Following"]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Start to follow; whoever is left at the end of a test is ended, and so are its jobs."""
    with contextlib.ExitStack() as stack:

        def started(lab: Lab, *arguments: str) -> Following:
            following = Following(lab, *arguments)
            stack.callback(following.end)
            return following

        yield started


class Following:
    """A running ``datalad hpc-log -f``."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self.lab = lab
        self.out, self.err = lab.root.parent / "shown", lab.root.parent / "said"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                ["datalad", "hpc-log", "-f", *arguments],
                cwd=lab.root,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def shows(self, text: str) -> None:
        wait_for(lambda: text in self.out.read_text())

    def says(self, text: str) -> None:
        wait_for(lambda: text in self.err.read_text())

    def ended(self) -> tuple[int, str, str]:
        """Exit code, log and words."""
        return self.process.wait(60), self.out.read_text(), self.err.read_text()

    def end(self) -> None:
        (self.lab.root / "go").touch()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def scheduled(lab: Lab, command: str) -> str:
    job = lab.schedule(command, outputs=["out/"])
    assert job["status"] == "ok", job["message"]
    return str(job["slurm_job_id"])


def test_to_the_end_of_a_running_job(lab: Lab, follow: Follow) -> None:
    lab.script(STEPS + "exit 4")
    job_id = scheduled(lab, "sbatch job.sh")
    following = follow(lab)
    following.shows("first\n")
    assert following.process.poll() is None
    (lab.root / "go").touch()
    code, shown, said = following.ended()
    assert (code, shown) == (0, "first\nlast\n")
    assert f"Job {job_id}: FAILED (exit code 4) after " in said
    assert f"datalad finish --close-failed-jobs {job_id}" in said


def test_before_there_is_a_log(lab: Lab, follow: Follow) -> None:
    lab.script("until test -e go; do sleep 0.05; done")
    first = scheduled(lab, "sbatch job.sh")
    lab.script("echo here", "second.sh")
    job = lab.schedule(f"sbatch -d afterok:{first} second.sh", outputs=["x"])
    job_id = job["slurm_job_id"]
    following = follow(lab, job_id)
    following.says(f"Job {job_id} has no log yet: PENDING")
    following.says("; waiting for it\n")
    (lab.root / "go").touch()
    code, shown, said = following.ended()
    assert (code, shown) == (0, "here\n")
    assert f"Job {job_id}: COMPLETED after" in said
    assert f"`datalad finish {job_id}` commits it" in said


def test_what_an_earlier_job_has_left_is_not_the_log(local_lab: Lab, follow: Follow) -> None:
    """It lies where that of a job will be which has not begun."""
    lab = local_lab
    (lab.root / "same.log").write_text("of an earlier job\n")
    lab.script("until test -e go; do sleep 0.05; done")
    first = scheduled(lab, "sbatch job.sh")
    command = f"sbatch -d afterok:{first} -o same.log --wrap 'echo new'"
    job_id = lab.schedule(command, outputs=["x"])["slurm_job_id"]
    (told,) = lab.dataset.hpc_log(job_id, **QUIET)
    assert told["status"] == "impossible"
    assert "same.log is older than the job" in text_of(told)
    following = follow(lab, job_id)
    following.says("has no log yet")
    (lab.root / "go").touch()
    assert following.ended()[:2] == (0, "new\n")


def test_several_tasks_at_a_time(local_lab: Lab, follow: Follow) -> None:
    lab = local_lab
    lab.script("echo begin\n" + STEPS.replace("last", "last of $SLURM_ARRAY_TASK_ID"))
    job_id = scheduled(lab, "sbatch --array=1-2 job.sh")
    wait_for(lambda: all((lab.root / f"slurm-{job_id}_{n}.out").exists() for n in (1, 2)))
    following = follow(lab, "-n", "1", job_id)
    following.shows("_2.out <==\nfirst\n")
    (lab.root / "go").touch()
    code, shown, said = following.ended()
    assert code == 0
    headings = [f"==> {job_id}_{task} slurm-{job_id}_{task}.out <==\n" for task in (1, 2)]
    assert shown.startswith(f"{headings[0]}first\n{headings[1]}first\n")
    assert "begin" not in shown
    for task in (1, 2):
        assert shown.count(f"last of {task}\n") == 1
        assert f"Job {job_id}_{task}: COMPLETED" in said


@pytest.mark.parametrize("way", ["cut short", "replaced"])
def test_a_log_that_begins_again(local_lab: Lab, follow: Follow, way: str) -> None:
    lab = local_lab
    lab.script("echo a long first line\n" + STEPS)
    job_id = scheduled(lab, "sbatch --open-mode=append job.sh")
    following = follow(lab, job_id)
    following.shows("first\n")
    log = lab.root / f"slurm-{job_id}.out"
    if way == "cut short":
        os.truncate(log, 0)
    else:
        log.rename(log.with_name("old.out"))
        log.write_text("new\n")
    following.says("begins again")
    (lab.root / "go").touch()
    code, shown, _ = following.ended()
    assert code == 0
    assert shown == "a long first line\nfirst\n" + ("last\n" if way == "cut short" else "new\n")


def test_ctrl_c_ends_it_and_leaves_the_job_alone(lab: Lab, follow: Follow) -> None:
    lab.script(STEPS)
    job_id = scheduled(lab, "sbatch job.sh")
    following = follow(lab)
    following.shows("first\n")
    os.killpg(following.process.pid, signal.SIGINT)
    code, shown, said = following.ended()
    assert code == 130
    assert shown == "first\n"
    assert said.startswith("Stopped by SIGINT: nothing was changed")
    assert "Traceback" not in said
    (lab.root / "go").touch()
    lab.wait()
    assert lab.listed()[job_id]["slurm_job_status"] == "COMPLETED"


def test_who_is_not_read_any_more_ends(local_lab: Lab) -> None:
    local_lab.script(STEPS)
    scheduled(local_lab, "sbatch job.sh")
    reader = subprocess.Popen(
        ["sh", "-c", "datalad hpc-log -f | head -n 1"],
        cwd=local_lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: (local_lab.root / "slurm-1.out").exists())
    assert reader.stdout
    assert reader.stdout.readline() == b"first\n"
    (local_lab.root / "go").touch()
    assert reader.communicate(timeout=60) == (b"", b"")


def test_a_job_that_is_over_is_shown(local_lab: Lab) -> None:
    local_lab.script("echo x")
    scheduled(local_lab, "sbatch job.sh")
    local_lab.wait()
    done = subprocess.run(["datalad", "hpc-log", "-f"], cwd=local_lab.root, capture_output=True)
    assert done.stdout == b"x\n"
    assert b"COMPLETED after" in done.stderr


@pytest.mark.slurm
def test_the_scheduler_is_asked_rarely(dataset: Dataset, before: Path) -> None:
    """Also while much is added; and a query that fails ends nothing."""
    lab = Lab(dataset, "slurm")
    calls = before.parent / "asked"
    text = f'echo x >> {calls}; test -e {before}/off && exit 1; exec REAL "$@"'
    for program in ("sacct", "squeue"):
        stand_in(before, program, text)
    lab.script("for i in $(seq 60); do echo $i; sleep 0.05; done")
    job_id = scheduled(lab, "sbatch job.sh")
    (before / "off").touch()
    following = Following(lab, job_id)
    following.says("What is written is shown all the same")
    following.shows("5\n")
    (before / "off").unlink()
    calls.write_text("")
    code, shown, said = following.ended()
    assert code == 0, said
    assert shown == "".join(f"{i}\n" for i in range(1, 61))
    assert len(calls.read_text().split()) <= 20
