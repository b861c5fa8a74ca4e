"""A submission program, its sbatch, or ``schedule`` itself is stopped in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of
from tests.commands.soundness import assert_sound
from tests.commands.test_machine_signals import ended, hold, is_gone, release, send, started
from tests.commands.test_submission_programs import (
    assert_nothing_is_left,
    program,
    submit,
    written,
)
from tests.helpers import wait_for

HOLD = 'echo $$ > "$2"/reached; until test -e "$2"/go; do sleep 0.05; done'


@pytest.fixture
def held(lab: Lab, tmp_path: Path) -> Path:
    """Where a program says that it has come to the point at which it waits, and is let go on.

    It submits a job before, and another one after.
    """
    program(lab, f"sbatch job.sh a\nset -- \"$1\" '{tmp_path}'\n{HOLD}\nsbatch job.sh b\n")
    program(lab, f"set -- \"$1\" '{tmp_path}'\n{HOLD}\nsbatch job.sh b\n", "late.sh")
    return tmp_path


def reached(folder: Path) -> int:
    """The program's process, once it waits."""
    wait_for(lambda: (folder / "reached").exists() and (folder / "reached").read_text())
    return int((folder / "reached").read_text())


def assert_finished(lab: Lab, expected: set[str]) -> None:
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert written(lab) == expected
    assert lab.listed() == {}
    assert_nothing_is_left(lab)
    assert_sound(lab.root)


def begin(lab: Lab, name: str = "./submit.sh") -> subprocess.Popen[str]:
    options = ("--scheduler", lab.scheduler, "--submits", "-o", "out/")
    return started(lab, "schedule", *options, "--", name)


def test_schedule_is_killed_and_the_program_goes_on(lab: Lab, held: Path) -> None:
    """What it submits afterwards is known as well, and nothing is released meanwhile."""
    command = begin(lab)
    running = reached(held)
    command.kill()
    command.wait()
    (label,) = lab.listed()
    assert label.startswith("submission-")
    assert submit(lab)["status"] == "impossible"
    (held / "go").touch()
    wait_for(lambda: is_gone(running))
    wait_for(lambda: label not in lab.listed())
    (job,) = lab.listed().values()
    assert len(job["slurm_job_ids"]) == 2
    assert_finished(lab, {"out/a", "out/b"})


def test_all_are_killed(lab: Lab, held: Path) -> None:
    command = begin(lab)
    running = reached(held)
    command.kill()
    os.killpg(running, signal.SIGKILL)
    command.wait()
    wait_for(lambda: all(job.isdecimal() for job in lab.listed()))
    assert_finished(lab, {"out/a"})


def test_all_are_killed_before_the_first_job(lab: Lab, held: Path) -> None:
    lab.write("out/old")
    command = begin(lab, "./late.sh")
    running = reached(held)
    command.kill()
    os.killpg(running, signal.SIGKILL)
    command.wait()
    wait_for(lambda: not lab.listed())
    assert (lab.root / "out/old").is_symlink()
    assert_nothing_is_left(lab)


def test_the_program_is_killed(lab: Lab, held: Path) -> None:
    command = begin(lab)
    os.kill(reached(held), signal.SIGKILL)
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "was ended by signal 9 after it had submitted job " in said
    assert_finished(lab, {"out/a"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program(lab: Lab, held: Path, number: signal.Signals) -> None:
    command = begin(lab)
    running = reached(held)
    send(command, number)
    said = ended(command, number)
    assert is_gone(running)
    assert "is asked to end" in said
    assert "had been submitted by then and is tracked" in said
    assert_finished(lab, {"out/a"})


def test_a_signal_before_the_first_job_leaves_nothing(local_lab: Lab, tmp_path: Path) -> None:
    lab = local_lab
    program(lab, f"set -- x '{tmp_path}'\ntrap '' TERM\n{HOLD}\n", "late.sh")
    command = begin(lab, "./late.sh")
    running = reached(tmp_path)
    send(command, signal.SIGTERM)
    said = ended(command, signal.SIGTERM)
    assert is_gone(running)
    assert "was not submitted and its outputs are free again" in said
    assert lab.listed() == {}
    assert_nothing_is_left(lab)


@pytest.mark.slurm
def test_an_sbatch_under_way_is_brought_to_its_end(dataset: Dataset, before: Path) -> None:
    """The signal that ends the program reaches its sbatch too, and with it the id would be lost."""
    lab = Lab(dataset, "slurm")
    program(lab, "sbatch job.sh a")
    hold(before, "sbatch")
    command = begin(lab)
    reached(before)
    send(command, signal.SIGTERM)
    (notes,) = (lab.root / ".git/datalad/hpc").glob("submission-*.jobs")
    wait_for(lambda: (notes / "closed").exists())
    assert command.poll() is None
    release(before, "sbatch")
    said = ended(command, signal.SIGTERM)
    assert "is tracked" in said
    assert_finished(lab, {"out/a"})


def test_a_submission_that_cannot_be_told_stays(lab: Lab, held: Path) -> None:
    """The notes are gone, which nobody of us ever does: nothing is released by itself."""
    command = begin(lab)
    running = reached(held)
    command.kill()
    os.killpg(running, signal.SIGKILL)
    command.wait()
    (notes,) = (lab.root / ".git/datalad/hpc").glob("submission-*.jobs")
    notes.rename(held / "elsewhere")
    (label,) = lab.listed()
    (told,) = lab.finish()
    assert told["status"] == "impossible"
    (closed,) = lab.finish(label, close_failed_jobs=True)
    assert closed["status"] == "ok", text_of(closed)
