"""What a sentence tells the user to type does what it says; and none is too long to read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datalad_hpc.finish.deciding import run_again
from datalad_hpc.status import JobStatus, Phase, TaskStatus
from tests.commands.conftest import Lab, text_of
from tests.commands.test_failed_tasks import an_array


def named(text: str) -> list[str]:
    """The commands in a sentence, as they stand between backticks."""
    return re.findall("`(datalad [^`]*)`", text)


def called(lab: Lab, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        cwd=lab.root,
        capture_output=True,
        text=True,
        check=False,
    )


def typed(lab: Lab, command: str) -> str:
    """What a command prints that is typed as it stands; it succeeds."""
    ended = called(lab, *shlex.split(command))
    assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
    return ended.stdout


def failed_status(*states: str) -> JobStatus:
    return JobStatus("", tuple(TaskStatus(None, state, Phase.FAILED) for state in states))


@pytest.fixture
def lab(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER", "local")
    return local_lab


@pytest.mark.parametrize(
    ("which", "told"),
    [(0, "closed without a commit"), (1, "committed as")],
)
@pytest.mark.parametrize("script", ["exit 3", "exit 0"], ids=["failed", "without output"])
def test_ways_out_of_a_failure(lab: Lab, script: str, which: int, told: str) -> None:
    lab.script(script)
    job = lab.schedule("sbatch job.sh", outputs=["x"])["slurm_job_id"]
    lab.wait()
    (left,) = lab.finish()
    assert f"Job {job} " in text_of(left)
    assert "stays open" in text_of(left)
    commands = named(text_of(left))
    again = f"datalad reschedule --failed {job}"
    assert commands[:-2] == [again]
    assert told in typed(lab, commands[-2:][which])


def test_a_failed_job_runs_again_by_the_command_named(lab: Lab) -> None:
    lab.script("exit 3")
    job = lab.schedule("sbatch --mem=10M --time=5 job.sh", outputs=["x"])["slurm_job_id"]
    lab.wait()
    (left,) = lab.finish()
    assert f"attempt 2, after job {job}" in typed(lab, named(text_of(left))[0])
    lab.wait()
    ended = failed_status("OUT_OF_MEMORY", "TIMEOUT")
    (job,) = lab.listed()
    (command,) = named(run_again(job, ended))
    again = typed(lab, command)
    assert "attempt 3" in again
    assert "--mem=20" in again
    assert "--time=00:10:00" in again
    lab.wait()


def test_failed_tasks_run_again_also_when_another_commit_came_after(lab: Lab) -> None:
    an_array(lab)
    (left,) = lab.finish()
    good = typed(lab, next(each for each in named(text_of(left)) if "good-tasks" in each))
    assert "committed as" in good
    lab.write("another.txt")
    again = typed(lab, named(good)[-1])
    assert "--array=3 " in again
    lab.wait()


def test_records_that_are_left_out_are_reached_by_the_commands_named(lab: Lab) -> None:
    lab.script("exit 3")
    lab.schedule("sbatch job.sh", outputs=["x"])
    lab.wait()
    lab.finish(commit_failed_jobs=True)
    (said,) = lab.reschedule("HEAD", since="")
    with_failed, _ = named(text_of(said))
    assert "reschedule(ok)" in typed(lab, with_failed)
    lab.wait()


def test_a_held_output_names_the_job_to_finish(lab: Lab) -> None:
    lab.script("touch x")
    lab.schedule("sbatch job.sh", outputs=["x"])
    lab.wait()
    (said,) = lab.schedule_all("sbatch job.sh", outputs=["x"])
    assert text_of(said).startswith("Nothing was submitted: open jobs hold x (job ")
    (command,) = named(text_of(said))
    assert "committed as" in typed(lab, command)
    assert lab.schedule("sbatch job.sh", outputs=["x"])["status"] == "ok"


def test_a_held_output_at_finish_is_no_submission(lab: Lab) -> None:
    lab.script("touch x y")
    lab.schedule("sbatch job.sh", outputs=["x"])
    job = lab.schedule("sbatch job.sh", outputs=["y"])["slurm_job_id"]
    lab.wait()
    (said,) = lab.finish(job, outputs=["x"])
    assert text_of(said).startswith("Nothing was changed: open jobs hold x")


def test_a_job_of_another_worktree(lab: Lab, tmp_path: Path) -> None:
    lab.script("touch x")
    lab.git("worktree", "add", "-b", "other", str(tmp_path / "a b"))
    other = Lab(type(lab.dataset)(tmp_path / "a b"), "local")
    other.schedule("sbatch job.sh", outputs=["x"])
    lab.wait()
    (left,) = lab.finish()
    (command,) = named(text_of(left))
    assert "committed as" in typed(lab, command)
    assert other.committed() >= {"x"}


def test_a_job_of_a_worktree_that_was_removed(lab: Lab, tmp_path: Path) -> None:
    lab.script("touch x")
    lab.git("worktree", "add", "-b", "other", str(tmp_path / "other"))
    Lab(type(lab.dataset)(tmp_path / "other"), "local").schedule("sbatch job.sh", outputs=["x"])
    lab.wait()
    shutil.rmtree(tmp_path / "other")
    (left,) = lab.finish()
    assert "was removed" in text_of(left)
    (command,) = named(text_of(left))
    assert "closed without a commit" in typed(lab, command)


def test_a_refused_submission_is_told_of_once(lab: Lab) -> None:
    lab.script("true")
    ended = called(lab, *shlex.split("datalad schedule -i nothing.dat -o x sbatch job.sh"))
    assert ended.returncode == 1
    assert "Nothing was submitted: not all inputs could be retrieved" in ended.stdout
    assert "free again" not in ended.stderr


def test_lists_stay_short(lab: Lab) -> None:
    outputs = [f"out/{number}" for number in range(500)]
    lab.script("exit $((SLURM_ARRAY_TASK_ID % 2))")
    lab.schedule("sbatch --array=1-60 job.sh", outputs=outputs)
    lab.wait()
    (left,) = lab.finish()
    assert "tasks 1,3,5,7,9,11,13,15,17,19 and 20 more: FAILED" in text_of(left)
    (row,) = typed(lab, "datalad finish --list-open-jobs").splitlines()[1:]
    assert row.endswith("out/9 and 490 more")
    # Programs get all of them.
    assert '"out/499"' in typed(lab, "datalad -f json finish --list-open-jobs")


def test_a_script_that_cannot_be_written_names_the_record(lab: Lab) -> None:
    lab.git("commit", "-q", "--allow-empty", "-m", "[DATALAD SLURM RUN] no record below")
    (said,) = lab.reschedule(script="again.sh")
    assert f"commit {lab.git('rev-parse', 'HEAD')[:10]}: its record is broken" in text_of(said)
    assert "no script was written" in text_of(said)
    assert not (lab.root / "again.sh").exists()
