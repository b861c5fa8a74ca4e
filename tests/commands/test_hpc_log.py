"""``datalad hpc-log``: the log of a job, wherever it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, text_of
from tests.commands.test_command_line import datalad
from tests.helpers import wait_for

ARRAY = """\
echo "task $SLURM_ARRAY_TASK_ID"
[ $SLURM_ARRAY_TASK_ID != 2 ] || { echo "no input 2" >&2; exit 3; }
"""


def logs(lab: Lab, *names: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.dataset.hpc_log(list(names), **QUIET, **options)
    return found


def log(lab: Lab, *names: str, **options: Any) -> str:
    return "".join(res.get("content", "") for res in logs(lab, *names, **options))


def failures(lab: Lab, *names: str) -> list[dict[str, Any]]:
    return [res for res in logs(lab, *names, failed=True) if res.get("failed")]


def listed(lab: Lab, *names: str) -> list[str]:
    """Labels of the tasks whose logs are listed."""
    found = [res for res in logs(lab, *names) if res.get("listed")]
    return [f"{res['slurm_job_id']}_{res['task']}" for res in found]


def over(lab: Lab, command: str, **options: Any) -> str:
    """A job that is over; its id."""
    job = lab.schedule(command, **{"outputs": ["out/"], **options})
    assert job["status"] == "ok", text_of(job)
    lab.wait(job["slurm_job_id"])
    return str(job["slurm_job_id"])


def test_the_log_as_it_is_and_how_the_job_ended(lab: Lab, tmp_path: Path) -> None:
    lab.script(r"printf 'a\033[31mb\377\r50%%'; exit 3")
    job_id = over(lab, "sbatch job.sh")
    for name in ((), (job_id,)):
        shown = subprocess.run(
            ["datalad", "hpc-log", *name], cwd=lab.root, capture_output=True, check=True
        )
        assert shown.stdout == b"a\x1b[31mb\xff\r50%"
        said = shown.stderr.decode()
        assert said.startswith(f"Job {job_id}: FAILED (exit code 3) after ")
        assert f"datalad finish --close-failed-jobs {job_id}" in said
    (piece, end) = logs(lab, job_id)
    assert piece["path"] == str(lab.root / f"slurm-{job_id}.out")
    assert end["failure"] == {"cause": "exit-code", "exit_code": 3}
    assert end["slurm_job_status"] == "FAILED"


def test_tasks_of_an_array(lab: Lab) -> None:
    lab.script(ARRAY)
    job_id = over(lab, "sbatch --array=0-2 job.sh")
    assert log(lab, f"{job_id}_1") == "task 1\n"
    assert f"`datalad finish --commit-good-tasks {job_id}` commits it" in text_of(
        logs(lab, f"{job_id}_1")[-1]
    )
    assert log(lab, f"{job_id}_2") == "task 2\nno input 2\n"
    assert log(lab, f"{job_id}_1", f"{job_id}_0") == "task 1\ntask 0\n"
    listed = [res for res in logs(lab, job_id) if res.get("listed")]
    assert [(res["task"], res["size"], res["slurm_job_status"]) for res in listed] == [
        (0, 7, "COMPLETED"),
        (1, 7, "COMPLETED"),
        (2, 18, "FAILED"),
    ]
    table = datalad(lab, "hpc-log", job_id)
    assert table.stdout.splitlines()[3].split() == [
        *(f"{job_id}_2", "FAILED", "18"),
        *table.stdout.splitlines()[3].split()[3:5],
        f"slurm-{job_id}_2.out",
    ]
    assert f"datalad hpc-log {job_id}_0" in table.stderr
    (failed,) = failures(lab)
    assert (failed["slurm_job_id"], failed["task"]) == (job_id, 2)
    assert failed["failure"] == {"cause": "exit-code", "exit_code": 3}
    assert [end["content"] for end in failed["logs"]] == ["task 2\nno input 2\n"]
    (none,) = logs(lab, f"{job_id}_9")
    assert none["status"] == "impossible"
    assert f"Job {job_id} has no task 9: it has tasks 0-2" in text_of(none)


def test_tasks_of_a_sweep_before_and_after_finish(local_lab: Lab) -> None:
    lab = local_lab
    job = lab.schedule("echo x={x} && [ {x} != 2 ]", foreach="x=1,2,3", outputs=["o{x}"])
    assert job["status"] == "ok", text_of(job)
    job_id = job["slurm_job_id"]
    lab.wait()
    assert log(lab, f"{job_id}_2") == "x=3\n"
    (failed,) = failures(lab)
    assert failed["logs"][0]["content"] == "x=2\n"
    with lab.root.joinpath("o1").open("w"), lab.root.joinpath("o3").open("w"):
        pass
    lab.finish()
    (_, end) = logs(lab, f"{job_id}_2")
    assert "committed as" in text_of(end)
    assert end["slurm_job_status"] == "COMPLETED"
    assert log(lab, f"{job_id}_1") == "x=2\n"
    lab.finish(close_failed_jobs=True)
    assert log(lab, f"{job_id}_1") == "x=2\n"
    assert log(lab, f"{job_id}_2") == "x=3\n"
    (failed,) = failures(lab, job_id)
    assert failed["task"] == 1


def test_output_and_error_by_patterns(lab: Lab, tmp_path: Path) -> None:
    """One in the dataset and one outside of it."""
    (lab.root / "logs [a]").mkdir()
    lab.script("echo out; echo err >&2; mkdir -p out; echo x > out/x")
    options = f"-J 'a b' -o 'logs [a]/%x-%j.%N.out' --error='{tmp_path}/%u %4j.err'"
    job_id = over(lab, f"sbatch {options} job.sh")
    for finished in (False, True):
        assert log(lab, job_id) == "out\n"
        assert log(lab, job_id, stderr=True) == "err\n"
        if not finished:
            assert lab.finish()[0]["status"] == "ok"


def test_options_in_the_script_that_was_changed_since(local_lab: Lab) -> None:
    local_lab.script("#SBATCH -o first-%j.log\necho one")
    job_id = over(local_lab, "sbatch job.sh")
    local_lab.script("#SBATCH -o second.log\necho two")
    assert log(local_lab, job_id) == "one\n"


@pytest.mark.parametrize("variable", [True, False])
def test_the_environment_had_a_say(
    local_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    """Inside of the dataset that is known also to whom the variable is not set any more."""
    place = tmp_path / "v-%j.log" if variable else "v-%j.log"
    monkeypatch.setenv("SBATCH_OUTPUT", str(place))
    local_lab.script("echo v")
    job_id = over(local_lab, "sbatch job.sh")
    if not variable:
        monkeypatch.delenv("SBATCH_OUTPUT")
    assert log(local_lab, job_id) == "v\n"


def test_one_log_for_both_streams(local_lab: Lab) -> None:
    local_lab.script("echo out; echo err >&2")
    job_id = over(local_lab, "sbatch job.sh")
    (told, *_) = found = logs(local_lab, job_id, stderr=True)
    assert "goes to the same log" in text_of(told)
    assert [res["content"] for res in found if "content" in res] == ["out\nerr\n"]


def test_a_log_that_all_tasks_share(local_lab: Lab) -> None:
    local_lab.script("echo one; sleep 0.1")
    options = "--array=0-1%1 -o all.log --open-mode=append"
    job_id = over(local_lab, f"sbatch {options} job.sh")
    assert log(local_lab, job_id) == "one\none\n"
    assert log(local_lab, f"{job_id}_1") == "one\none\n"


def test_logs_that_only_the_job_can_tell_apart(local_lab: Lab) -> None:
    lab = local_lab
    lab.script(ARRAY)
    job_id = over(lab, "sbatch --array=0-2 -o 'log-%j.out' job.sh")
    told = logs(lab, job_id)
    assert len([res for res in told if res.get("listed")]) == 3
    assert "cannot be told" in text_of(told[-1])
    assert log(lab, f"{job_id}_1") == ""
    (failed,) = failures(lab)
    assert "cannot be told" in failed["logs"][0]["path"]


def test_no_log_at_all(local_lab: Lab) -> None:
    local_lab.script("echo x; echo err >&2")
    job_id = over(local_lab, "sbatch -o /dev/null -e e.log job.sh")
    (told,) = logs(local_lab, job_id)
    assert told["status"] == "impossible"
    assert f"datalad hpc-log --stderr {job_id}" in text_of(told)
    assert log(local_lab, job_id, stderr=True) == "err\n"


def test_a_job_that_has_not_begun(lab: Lab) -> None:
    lab.script("until test -e go; do sleep 0.1; done")
    first = lab.schedule("sbatch job.sh", outputs=["x"])["slurm_job_id"]
    job_id = lab.schedule(f"sbatch -d afterok:{first} job.sh", outputs=["y"])["slurm_job_id"]
    wait_for(lambda: "PENDING (Dependency)" in text_of(logs(lab)[0]), interval=0.3)
    (told,) = logs(lab)
    (lab.root / "go").touch()
    assert told["status"] == "impossible"
    assert f"Job {job_id} has no log yet" in text_of(told)
    assert f"datalad hpc-log -f {job_id}" in text_of(told)
    lab.wait()


@pytest.mark.parametrize("state", ["closed", "finished"])
def test_in_an_alternative_directory(local_lab: Lab, tmp_path: Path, state: str) -> None:
    alternative = tmp_path / "scratch"
    alternative.mkdir()
    local_lab.script("echo there; echo x > out/x" + "; exit 1" * (state == "closed"))
    job_id = over(local_lab, "sbatch -o 'l/%j.log' job.sh", alt_dir=str(alternative))
    (piece, *_) = logs(local_lab, job_id)
    assert (piece["content"], piece["path"]) == ("there\n", f"{alternative}/l/{job_id}.log")
    local_lab.finish(close_failed_jobs=state == "closed")
    assert local_lab.listed() == {}
    (piece, *_) = logs(local_lab, job_id)
    base = local_lab.root if state == "finished" else alternative
    assert (piece["content"], piece["path"].startswith(f"{base}/")) == ("there\n", True)


@pytest.mark.parametrize("way", ["annex", "unlocked", "git"])
def test_from_the_commit_of_a_finished_job(local_lab: Lab, way: str) -> None:
    """Whatever became of the file: another job has written to it, or nobody has it here."""
    lab = local_lab
    if way == "git":
        with (lab.root / ".gitattributes").open("a") as attributes:
            attributes.write("*.log annex.largefiles=nothing\n")
        lab.save()
    if way == "unlocked":
        lab.git("config", "annex.addunlocked", "true")
    lab.script("echo run $1 > out.txt; echo log of run $1")
    first = over(lab, "sbatch -o same.log job.sh 1", outputs=["out.txt"])
    assert lab.finish()[0]["status"] == "ok"
    second = over(lab, "sbatch -o same.log job.sh 2", outputs=["out.txt"])
    assert log(lab, first) == "log of run 1\n"
    assert log(lab, second) == "log of run 2\n"
    assert lab.finish()[0]["status"] == "ok"
    assert log(lab, first) == "log of run 1\n"
    (lab.root / "same.log").unlink()
    assert log(lab, second) == "log of run 2\n"
    lab.git("checkout", "same.log")
    if way != "git":
        lab.git("annex", "drop", "--force", "same.log")
        (told,) = logs(lab, second)
        assert told["status"] == "impossible"
        assert "`datalad get same.log`" in text_of(told)


def test_on_a_branch_of_its_own_and_in_another_worktree(local_lab: Lab, tmp_path: Path) -> None:
    lab = local_lab
    lab.script("echo x > out.txt; echo on a branch")
    job_id = over(lab, "sbatch job.sh", outputs=["out.txt"])
    assert lab.finish(branches=True)[0]["status"] == "ok"
    assert not (lab.root / f"slurm-{job_id}.out").exists()
    assert log(lab, job_id) == "on a branch\n"
    lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    other = Lab(Dataset(tmp_path / "other"), "local")
    assert log(other, job_id) == "on a branch\n"
    second = over(other, "sbatch job.sh", outputs=["out.txt"])
    assert log(lab, second) == "on a branch\n"


def test_a_log_in_a_subdataset(local_lab: Lab) -> None:
    lab = local_lab
    lab.dataset.create("sub", result_renderer="disabled")
    lab.script("echo below; echo x > out.txt")
    job_id = over(lab, "sbatch -o 'sub/logs/%A-%j.%N' job.sh", outputs=["out.txt"])
    assert lab.finish()[0]["status"] == "ok"
    (name,) = (lab.root / "sub/logs").glob(f"{job_id}-*")
    name.unlink()
    assert log(lab, job_id) == "below\n"


def test_members_of_a_submission_program(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("echo one; exit 1", "sub/one.sh")
    lab.script("echo two $SLURM_ARRAY_TASK_ID", "sub/two.sh")
    program = lab.root / "submit.sh"
    program.write_text("#!/bin/sh\ncd sub\nsbatch one.sh\nsbatch --array=4 two.sh\n")
    program.chmod(0o755)
    lab.save("submit.sh")
    job = lab.schedule("./submit.sh", outputs=["x"], submits=True)
    assert job["status"] == "ok", text_of(job)
    first, second = job["slurm_job_ids"]
    lab.wait(first)
    assert log(lab, f"{second}_4") == "two 4\n"
    assert log(lab, second) == "two 4\n"
    listed = [res for res in logs(lab, first) if res.get("listed")]
    assert [res["slurm_job_id"] for res in listed] == [first, second]
    failed, hint = logs(lab, failed=True)
    assert failed["logs"][0]["content"] == "one\n"
    assert text_of(hint) == f"Give it up (`datalad finish --close-failed-jobs {first}`)"
    own = over(lab, "sbatch --wrap 'exit 1'")
    *_, hint = logs(lab, failed=True)
    assert f"reschedule --failed {own}`)" in text_of(hint)
    assert f"--close-failed-jobs {first} {own}`)" in text_of(hint)
    assert "reschedule" not in text_of(logs(lab, first)[-1])
    (_, end) = logs(lab, f"{second}_4")
    assert f"`datalad finish --commit-failed-jobs {first}` commits it" in text_of(end)


def test_the_end_of_a_long_log(local_lab: Lab) -> None:
    local_lab.script("seq 400000")
    over(local_lab, "sbatch job.sh")
    assert log(local_lab, lines=2) == "399999\n400000\n"
    assert log(local_lab, lines=0) == ""
    piped = datalad(local_lab, "hpc-log")
    assert piped.stdout.count("\n") == 400_000
    command = ["script", "-qec", "datalad hpc-log", "/dev/null"]
    on_terminal = subprocess.run(command, cwd=local_lab.root, capture_output=True, text=True)
    lines = on_terminal.stdout.replace("\r", "").splitlines()
    assert lines[0].startswith("Of slurm-")
    assert "bytes are left out" in lines[0]
    assert lines[-2] == "400000"
    assert 100_000 < len(lines) < 200_000
    closed = subprocess.run(
        ["sh", "-c", "datalad hpc-log | head -n 1"], cwd=local_lab.root, capture_output=True
    )
    assert (closed.stdout, closed.stderr) == (b"1\n", b"")


def test_json(local_lab: Lab) -> None:
    local_lab.script("echo x; exit 1")
    job_id = over(local_lab, "sbatch job.sh")
    told = datalad(local_lab, "-f", "json", "hpc-log", job_id).stdout.splitlines()
    piece, end = map(json.loads, told)
    assert piece["content"] == "x\n"
    assert end["failure"]["cause"] == "exit-code"
    failed, _hint = datalad(local_lab, "-f", "json", "hpc-log", "--failed").stdout.splitlines()
    assert json.loads(failed)["logs"][0]["content"] == "x\n"


def test_the_ends_of_failed_tasks_for_people(local_lab: Lab) -> None:
    local_lab.script("seq 30; echo err $SLURM_ARRAY_TASK_ID >&2; exit 1")
    job_id = over(local_lab, "sbatch --array=0-20 -e 'e-%a' job.sh")
    shown = datalad(local_lab, "hpc-log", "--failed", "-n", "2").stdout
    assert shown.splitlines() == [
        f"{job_id}_0: exit code 1",
        f"  slurm-{job_id}_0.out:",
        "  | 29",
        "  | 30",
        "  e-0:",
        "  | err 0",
        f"  and alike: tasks 1-20 of job {job_id}",
        "",
    ]
    shown = datalad(local_lab, "hpc-log", "--failed", "--stderr", f"{job_id}_3").stdout
    assert shown.splitlines() == [f"{job_id}_3: exit code 1", "  e-3:", "  | err 3", ""]


def test_nothing_to_show(local_lab: Lab) -> None:
    (none,) = logs(local_lab)
    assert none["status"] == "notneeded"
    (none,) = logs(local_lab, "4711")
    assert (none["status"], none["slurm_job_id"]) == ("impossible", "4711")
    assert "There is no job 4711" in text_of(none)
    (none,) = logs(local_lab, failed=True)
    assert none["status"] == "notneeded"
    said = datalad(local_lab, "hpc-log")
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr.startswith("There is no job in this dataset; ")
    local_lab.script("echo good")
    job_id = over(local_lab, "sbatch job.sh")
    for name, of in (((), "an open job"), ((job_id,), job_id)):
        said = datalad(local_lab, "hpc-log", "--failed", *name)
        assert (said.returncode, said.stdout) == (0, "")
        assert said.stderr == f"No task of {of} has failed\n"


def test_help_has_an_example(local_lab: Lab) -> None:
    shown = datalad(local_lab, "hpc-log", "--help").stdout
    assert "% datalad hpc-log" in shown


def test_attempts_at_some_tasks(local_lab: Lab) -> None:
    """Each task by the id under which it ran last, earlier ones by theirs."""
    lab = local_lab
    lab.script(
        "echo try of $SLURM_ARRAY_TASK_ID; mkdir -p out; echo > out/$SLURM_ARRAY_TASK_ID\n"
        "[ $SLURM_ARRAY_TASK_ID = 0 ] || test -e repaired || { echo broken; exit 1; }"
    )
    first = over(lab, "sbatch --array=0-1 job.sh")
    (lab.root / "repaired").touch()
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert len(lab.listed()) == 1
    second = again["slurm_job_id"]
    assert second != first
    assert log(lab, f"{second}_1") == "try of 1\n"
    assert log(lab, f"{second}_0") == "try of 0\n"
    assert log(lab, f"{first}_0") == "try of 0\n"
    piece, end = logs(lab, f"{first}_1")
    assert piece["content"] == "try of 1\nbroken\n"
    assert "FAILED (exit code 1)" in text_of(end)
    assert f"it was submitted again as job {second}_1" in text_of(end)
    names = [(res["slurm_job_id"], res["task"]) for res in logs(lab, second) if res.get("listed")]
    assert names == [(first, 0), (second, 1)]
    assert failures(lab) == []
    (lab.root / "repaired").unlink()
    assert lab.finish()[0]["status"] == "ok"
    assert log(lab, f"{first}_1") == "try of 1\nbroken\n"
    assert log(lab, f"{second}_1") == "try of 1\n"


def test_attempts_at_one_task_of_a_sweep(local_lab: Lab) -> None:
    """The log of the newest attempt is found by what is claimed of its own tasks."""
    lab = local_lab
    command = "echo I am {sub}; [ {sub} != b ] && echo {sub} > {outputs}"
    first = over(lab, command, foreach="sub=a,b,c", outputs=["{sub}.txt"])
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    second = again["slurm_job_id"]
    for _ in ("before", "after finish"):
        (piece, end) = logs(lab, f"{second}_1")
        assert piece["content"] == "I am b\n"
        assert piece["path"] == str(lab.root / f"slurm-{second}_1.out")
        assert text_of(end).startswith(f"Job {second}_1: FAILED (exit code 1)")
        (failed,) = failures(lab)
        assert [end["path"] for end in failed["logs"]] == [f"slurm-{second}_1.out"]
        assert listed(lab) == [f"{first}_0", f"{second}_1", f"{first}_2"]
        assert listed(lab, first) == [f"{first}_0", f"{first}_1", f"{first}_2"]
        assert log(lab, f"{first}_1") == "I am b\n"
        lab.finish()
    lab.finish(close_failed_jobs=True)
    assert log(lab, f"{second}_1") == "I am b\n"


def test_a_task_that_was_good_at_last_while_others_are_open(local_lab: Lab) -> None:
    lab = local_lab
    command = "echo {sub}; [ {sub} = a ] || test -e {sub} && echo > {outputs}"
    first = over(lab, command, foreach="sub=a,b,c", outputs=["{sub}.txt"])
    (lab.root / "b").touch()
    (again,) = lab.dataset.reschedule(f"{first}_1", failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    lab.finish()
    second = again["slurm_job_id"]
    assert log(lab, f"{second}_1") == "b\n"
    assert log(lab, f"{first}_2") == "c\n"
    assert listed(lab, first) == [f"{first}_0", f"{first}_1", f"{first}_2"]


@pytest.mark.parametrize("options", [[], ["--failed"]], ids=["list", "failed"])
def test_hints_come_last_in_a_pipe(
    local_lab: Lab, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    over(local_lab, "sbatch --array=0-1 --wrap 'echo x; exit 1'")
    shown = subprocess.run(
        ["datalad", "hpc-log", *options],
        cwd=local_lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "slurm-1_0.out" in "".join(shown[:-1])
    assert shown[-1].startswith("Run them again" if options else "Name one")
