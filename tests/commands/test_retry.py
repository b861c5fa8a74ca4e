"""Failed open jobs are submitted again as the same jobs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.workplace import Workplace
from tests.commands.conftest import Lab, ask_store, stand_in, text_of
from tests.commands.test_failed_tasks import record_of
from tests.helpers import wait_for

FAILS_ONCE = "echo $SLURM_JOB_ID >> out/tries; [ -e repaired ] || exit 3; echo good > out/made"


def retry(lab: Lab, *names: str, **options: Any) -> list[dict[str, Any]]:
    return lab.dataset.reschedule(
        list(names) or None,
        failed=True,
        result_renderer="disabled",
        on_failure="ignore",
        return_type="list",
        **options,
    )


def says(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def repair(lab: Lab) -> None:
    (lab.root / "repaired").touch()


@pytest.fixture
def failed(lab: Lab) -> tuple[Lab, str]:
    """A job that has failed, and its id."""
    return lab, a_failed_job(lab)


@pytest.fixture
def local_failed(local_lab: Lab, local_spool: Any) -> tuple[Lab, str]:
    return local_lab, a_failed_job(local_lab)


def a_failed_job(lab: Lab) -> str:
    lab.script(FAILS_ONCE)
    (lab.root / "out").mkdir()
    job = lab.schedule("sbatch job.sh", outputs=["out/"])["slurm_job_id"]
    lab.wait()
    return str(job)


def test_a_failed_job_runs_again_as_the_same_job(failed: tuple[Lab, str]) -> None:
    lab, first = failed
    repair(lab)
    (again,) = retry(lab)
    assert again["status"] == "ok", text_of(again)
    second = again["slurm_job_id"]
    assert second != first
    assert (again["attempt"], again["slurm_job_ids"]) == (2, [first, second])
    assert f"attempt 2, after job {first} (FAILED (exit code 3" in text_of(again)
    assert ask_store(lab, "SELECT count(*) FROM jobs") == [(1,)]
    lab.wait()
    (listed,) = lab.listed().values()
    assert (listed["slurm_job_id"], listed["attempt"]) == (second, 2)
    assert text_of(listed) == f"COMPLETED; attempt 2, after job {first}"
    # The old name still names the job.
    (done,) = lab.finish(first)
    assert done["status"] == "ok", text_of(done)
    assert (done["slurm_job_id"], done["attempt"]) == (second, 2)
    assert f"; attempt 2, after job {first}" in text_of(done)
    assert (lab.root / "out" / "tries").read_text().split() == [first, second]
    logs = {f"slurm-{first}.out", f"slurm-{second}.out", f"slurm-job-{second}.env.json"}
    assert lab.committed() == {"out/tries", "out/made", *logs}
    record = record_of(lab)
    assert record["slurm_job_id"] == int(second)
    (before,) = record["hpc"]["attempts"]
    assert before["job_id"] == first
    assert before["state"] == "FAILED"
    assert before["failure"] == {"cause": "exit-code", "exit_code": 3}
    assert before["elapsed"] is not None
    facts = json.loads((lab.root / f"slurm-job-{second}.env.json").read_text())
    assert [each["job_id"] for each in facts["attempts"]] == [first]
    assert lab.changes().split() == ["??", "repaired"]
    # The record is one like any other.
    (rerun,) = lab.reschedule()
    assert rerun["status"] == "ok", text_of(rerun)


def test_nothing_has_failed(local_lab: Lab) -> None:
    (said,) = retry(local_lab)
    assert said["status"] == "notneeded"


# Arrays and sweeps

SOME_FAIL = (
    "echo $SLURM_ARRAY_TASK_ID > out/$SLURM_ARRAY_TASK_ID\n"
    "[ -e repaired ] || ((SLURM_ARRAY_TASK_ID % 2 == 0)) || exit 4"
)


def test_only_the_failed_tasks_of_an_array_run_again(lab: Lab) -> None:
    lab.script(f"#SBATCH --array=0-3%2\nmkdir -p out; {SOME_FAIL}")
    first = lab.schedule("sbatch job.sh", outputs=["out/"])["slurm_job_id"]
    lab.wait()
    repair(lab)
    (shown,) = retry(lab, report=True)
    assert shown["argv"] == ["sbatch", "--array=1,3%2", "job.sh"]
    (shown,) = retry(lab, f"{first}_3", report=True)
    assert shown["argv"] == ["sbatch", "--array=3%2", "job.sh"]
    (again,) = retry(lab)
    assert again["status"] == "ok", text_of(again)
    assert again["retried"] == [1, 3]
    second = again["slurm_job_id"]
    lab.wait()
    assert lab.listed()[second]["tasks"] == {"COMPLETED": "0-3"}
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert lab.committed() == {
        *(f"out/{task}" for task in range(4)),
        *(f"slurm-{first}_{task}.out" for task in range(4)),
        *(f"slurm-{second}_{task}.out" for task in (1, 3)),
        f"slurm-job-{second}.env.json",
    }
    record = record_of(lab)
    # What it takes to make all of it, and not only what ran last.
    assert record["cmd"] == "sbatch job.sh"
    assert record["hpc"]["tasks"] == {"COMPLETED": "0-3"}
    (before,) = record["hpc"]["attempts"]
    assert before["tasks"] == {"FAILED": "1,3"}
    assert before["failures"] == [{"cause": "exit-code", "exit_code": 4, "tasks": "1,3"}]
    facts = json.loads((lab.root / f"slurm-job-{second}.env.json").read_text())
    assert [task["job_id"] for task in facts["tasks"]] == [first, second, first, second]


def test_while_other_tasks_run(local_lab: Lab) -> None:
    local_lab.script(
        "((SLURM_ARRAY_TASK_ID)) || { [ -e repaired ]; exit; }\n"
        "until [ -e go ]; do sleep 0.05; done; mkdir -p out; echo > out/1"
    )
    first = local_lab.schedule("sbatch --array=0-1 job.sh", outputs=["out/"])["slurm_job_id"]
    wait_for(lambda: "FAILED" in local_lab.listed()[first]["slurm_job_status"])
    repair(local_lab)
    (again,) = retry(local_lab)
    assert again["status"] == "ok", text_of(again)
    second = again["slurm_job_id"]
    wait_for(lambda: local_lab.listed()[second]["tasks"].get("COMPLETED") == "0")
    assert local_lab.listed()[second]["tasks"]["RUNNING"] == "1"
    (said,) = retry(local_lab, first)
    assert said["status"] == "notneeded"
    (local_lab.root / "go").touch()
    local_lab.wait()
    assert local_lab.finish()[-1]["status"] == "ok"


COMMAND = "mkdir -p {name}; echo {name} > {name}/file; [ -e repaired ] || [ {name} = a ]"


def test_failed_tasks_of_a_sweep_of_which_one_is_committed(lab: Lab) -> None:
    first = lab.schedule(
        COMMAND, foreach=["name=a,b,c"], outputs=["{name}/"], resources=["comment=first"]
    )["slurm_job_id"]
    lab.wait()
    lab.finish()
    assert record_of(lab)["slurm_job_id"] == f"{first}_0"
    assert "attempts" not in record_of(lab)["hpc"]
    repair(lab)
    (again,) = retry(lab, f"{first}_2", resources=["0:05 comment=second"])
    assert (again["status"], again["retried"]) == ("ok", [2]), text_of(again)
    second = again["slurm_job_id"]
    lab.wait()
    # Task 1 is still what it was under its first id.
    done = {each["slurm_job_id"]: each["status"] for each in lab.finish()}
    assert done == {f"{second}_2": "ok", f"{first}_1": "impossible"}
    record = record_of(lab)
    assert record["cmd"] == COMMAND.replace("{name}", "c")
    assert record["hpc"]["resources"] == {"comment": "second", "time": "00:05:00"}
    (before,) = record["hpc"]["attempts"]
    assert (before["job_id"], before["state"]) == (f"{first}_2", "FAILED")
    assert lab.committed() == {
        "c/file",
        f"slurm-{first}_2.out",
        f"slurm-{second}_2.out",
    }
    # What a record from elsewhere could not say holds for the task that needed no other attempt.
    for revision, account in (("HEAD", "--comment=second"), ("HEAD~", "--comment=first")):
        (shown,) = lab.reschedule(revision, report=True)
        assert account in shown["argv"]
    (again,) = retry(lab)
    assert again["retried"] == [1]
    third = again["slurm_job_id"]
    assert again["attempt"] == 2
    lab.wait()
    (done_last,) = lab.finish(f"{first}_1")
    assert (done_last["slurm_job_id"], done_last["status"]) == (f"{third}_1", "ok")
    assert [each["job_id"] for each in record_of(lab)["hpc"]["attempts"]] == [f"{first}_1"]
    assert lab.listed() == {}
    assert lab.changes().split() == ["??", "repaired"]


# What it asks for


@pytest.mark.slurm
def test_more_memory_and_time_from_attempt_to_attempt(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("#SBATCH --time=2\n[ -e repaired ] && echo > made")
    lab.schedule("sbatch -c1 --mem=50M job.sh", outputs=["made"])
    lab.wait()
    (again,) = retry(lab, scale="mem=2 time=1.5")
    assert again["status"] == "ok", text_of(again)
    asked = says("scontrol", "show", "job", again["slurm_job_id"])
    assert "MinMemoryNode=100M" in asked
    assert "TimeLimit=00:03:00" in asked
    lab.wait()
    repair(lab)
    (again,) = retry(lab, scale=["mem=1.5"], resources=["0:07"])
    asked = says("scontrol", "show", "job", again["slurm_job_id"])
    assert "MinMemoryNode=150M" in asked
    assert "TimeLimit=00:07:00" in asked
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    record = record_of(lab)
    assert record["cmd"] == "sbatch -c1 --time=00:07:00 --mem=150M job.sh"
    earlier = [each["resources"] for each in record["hpc"]["attempts"]]
    assert [(each["mem"], each["time"]) for each in earlier] == [("50M", "2"), ("100M", "00:03:00")]
    (shown,) = lab.reschedule(report=True, resources=["4", "mem=60M"])
    assert shown["command"] == "sbatch --time=00:07:00 --cpus-per-task=4 --mem=60M job.sh"


@pytest.mark.slurm
def test_resources_of_a_plain_command_and_what_slurm_gave(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.schedule("false", outputs=["made"])
    lab.wait()
    (shown,) = retry(lab, report=True, scale=["cpus=2"], resources=["1G"])
    assert shown["status"] == "ok", text_of(shown)
    assert {"--mem=1G", "--cpus-per-task=2"} <= set(shown["argv"])
    (refused,) = retry(lab, scale=["time=2"])
    assert refused["status"] == "impossible"
    assert "asked for no time" in text_of(refused) or "cannot be multiplied" in text_of(refused)


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"scale": ["mem=much"]}, "'mem=much' cannot be understood"),
    ({"scale": ["mem=2"], "resources": ["4G"]}, "leave one of them out"),
    ({"since": ""}, "--since does not go with --failed"),
    ({"max_attempts": 1}, "was tried 1 time already"),
    ({"scale": ["mem=2"]}, "asked for no mem"),
)


def test_what_is_refused(local_failed: tuple[Lab, str]) -> None:
    lab, first = local_failed
    for options, complaint in REFUSED:
        (said,) = retry(lab, **options)
        assert said["status"] == "impossible"
        assert complaint in text_of(said)
    assert [*lab.listed()] == [first]


def test_whom_another_attempt_names_stays_out_of_the_record(
    local_failed: tuple[Lab, str],
) -> None:
    lab, _ = local_failed
    repair(lab)
    wishes = ["mail-user=me@example.com mail-type=END account=payer"]
    (again,) = retry(lab, resources=wishes)
    words = again["command_line"].split()
    assert {"--mail-user=me@example.com", "--account=payer", "--mail-type=END"} < {*words}
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert record_of(lab)["cmd"] == "sbatch --mail-type=END job.sh"
    shown = lab.git("show", "HEAD")
    assert "me@example" not in shown
    assert "payer" not in shown


# Chains

GATE = "until [ -e go ]; do sleep 0.05; done; "
"""Before what is to fail only when others wait for it."""


def let_go(lab: Lab) -> None:
    (lab.root / "go").touch()


def test_a_chain_runs_again_in_its_order(lab: Lab) -> None:
    lab.script(f"{GATE}echo >> tries; [ -e repaired ] && echo made > made", "one.sh")
    first = lab.schedule("sbatch one.sh", outputs=["made", "tries"])["slurm_job_id"]
    second = lab.schedule("cat made > copy", inputs=["made"], outputs=["copy"])["slurm_job_id"]
    let_go(lab)
    lab.wait()
    assert lab.listed()[second]["slurm_job_status"].startswith("CANCELLED")
    repair(lab)
    (lab.root / "go").unlink()
    one, two = retry(lab)
    assert (one["status"], two["status"]) == ("ok", "ok"), (text_of(one), text_of(two))
    assert f"it waits for job {one['slurm_job_id']} (made)" in text_of(two)
    let_go(lab)
    lab.wait()
    assert [each["status"] for each in lab.finish()] == ["ok", "ok"]
    assert (lab.root / "copy").read_text() == "made\n"
    record = record_of(lab)
    assert record["hpc"]["waited_for"] == [one["slurm_job_id"]]
    assert [each["job_id"] for each in record["hpc"]["attempts"]] == [second]
    assert [each["job_id"] for each in record_of(lab, "HEAD~")["hpc"]["attempts"]] == [first]


def test_who_waits_for_a_failed_job_is_told(local_lab: Lab) -> None:
    local_lab.script(f"{GATE}[ -e repaired ] && echo made > made", "one.sh")
    first = local_lab.schedule("sbatch one.sh", outputs=["made"])["slurm_job_id"]
    second = local_lab.schedule("cat made", inputs=["made"], outputs=["copy"])["slurm_job_id"]
    let_go(local_lab)
    local_lab.wait()
    (said,) = retry(local_lab, second)
    assert said["status"] == "impossible"
    assert f"run it again first (`datalad reschedule --failed {first}`)" in text_of(said)
    assert [*local_lab.listed()] == [first, second]


@pytest.mark.slurm
def test_what_waits_in_vain_is_ended_and_submitted_again(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(f"{GATE}[ -e repaired ] && echo made > made", "one.sh")
    lab.schedule("sbatch one.sh", outputs=["made"])
    waiting = lab.schedule(
        "sbatch --kill-on-invalid-dep=no --wrap='cat made > copy'",
        inputs=["made"],
        outputs=["copy"],
    )["slurm_job_id"]
    let_go(lab)
    wait_for(lambda: "FAILED" in [each["slurm_job_status"] for each in lab.listed().values()])
    assert lab.listed()[waiting]["slurm_job_status"] == "PENDING"
    repair(lab)
    one, two = retry(lab)
    assert (one["status"], two["status"]) == ("ok", "ok"), (text_of(one), text_of(two))
    lab.wait()
    assert says("sacct", "-nXPo", "state", "-j", waiting).startswith("CANCELLED")
    assert [each["status"] for each in lab.finish()] == ["ok", "ok"]


@pytest.mark.slurm
def test_what_waits_in_vain_goes_on_waiting_where_it_cannot_run_again(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(f"{GATE}exit 3", "one.sh")
    first = lab.schedule("sbatch one.sh", outputs=["made"])["slurm_job_id"]
    command = "sbatch --kill-on-invalid-dep=no --wrap='cat made > copy'"
    waiting = lab.schedule(command, inputs=["made"], outputs=["copy"])["slurm_job_id"]
    let_go(lab)
    wait_for(lambda: lab.listed()[first]["slurm_job_status"] == "FAILED")
    (said,) = retry(lab, waiting)
    assert said["status"] == "impossible"
    assert f"Job {waiting} was not submitted again and stays open as it was" in text_of(said)
    assert says("squeue", "-ho", "%T", "-j", waiting).strip() == "PENDING"


@pytest.mark.slurm
def test_who_was_cancelled_while_it_waited_for_another_is_left_alone(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(f"{GATE}echo made > made", "one.sh")
    lab.schedule("sbatch one.sh", outputs=["made"])
    waiting = lab.schedule("cat made > copy", inputs=["made"], outputs=["copy"])["slurm_job_id"]
    says("scancel", waiting)
    wait_for(lambda: "CANCELLED" in lab.listed()[waiting]["slurm_job_status"])
    wait_for(lambda: "by" in lab.listed()[waiting]["failure"])
    (said,) = retry(lab)
    assert (said["status"], said["slurm_job_id"]) == ("notneeded", waiting), text_of(said)
    let_go(lab)


@pytest.mark.slurm
def test_components_of_a_heterogeneous_job_are_no_tasks(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("#SBATCH -n1\n#SBATCH hetjob\n#SBATCH -n1\necho x > out")
    job = lab.schedule("sbatch --hold job.sh", outputs=["out"])["slurm_job_id"]
    says("scancel", job)
    wait_for(lambda: "CANCELLED" in lab.listed()[job]["slurm_job_status"])
    (shown,) = retry(lab, job, report=True)
    assert shown["status"] == "ok", text_of(shown)
    assert not any("--array" in word for word in shown["argv"])
    (again,) = retry(lab, job)
    assert again["status"] == "ok", text_of(again)


# Nothing is lost


def in_a_process(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    datalad = str(Path(sys.executable).parent / "datalad")
    argv = [datalad, "-f", "json", "reschedule", "--failed", *arguments]
    return subprocess.Popen(argv, cwd=lab.root, stdout=subprocess.PIPE, text=True)


def test_two_at_once_submit_once(local_failed: tuple[Lab, str]) -> None:
    lab, first = local_failed
    # Wherever they meet: each has looked before the other one has submitted.
    with Workplace.of(lab.dataset, "test").save_lock():
        both = [in_a_process(lab, "--scale", "cpus=2", first) for _ in range(2)]
        # There is no telling from outside that they wait.
        time.sleep(2)
    said = [json.loads(line) for each in both for line in each.communicate()[0].splitlines()]
    ok = [each for each in said if each["status"] == "ok"]
    assert len(ok) == 1, said
    lab.wait()
    assert (lab.root / "out" / "tries").read_text().split() == [first, ok[0]["slurm_job_id"]]


@pytest.mark.slurm
def test_a_refused_submission_leaves_all_as_it_was(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    first = a_failed_job(lab)
    before = ask_store(lab, "SELECT * FROM jobs"), ask_store(lab, "SELECT * FROM claims")
    (said,) = retry(lab, resources=["partition=nowhere"])
    assert said["status"] == "impossible"
    assert f"Job {first} was not submitted again and stays open as it was: " in text_of(said)
    assert "invalid partition" in text_of(said)
    assert (ask_store(lab, "SELECT * FROM jobs"), ask_store(lab, "SELECT * FROM claims")) == before
    assert lab.schedule("sbatch job.sh", outputs=["out/"])["status"] == "impossible"
    (closed,) = lab.finish(close_failed_jobs=True)
    assert (closed["slurm_job_id"], closed["status"]) == (first, "ok")


@pytest.mark.slurm
def test_an_interrupted_one_is_adopted_as_the_newest(dataset: Any, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    first = a_failed_job(lab)
    repair(lab)
    stand_in(before, "sbatch", 'REAL "$@" >/dev/null; kill -9 $PPID\n')
    assert in_a_process(lab).wait() == -signal.SIGKILL
    (before / "sbatch").unlink()
    (second,) = lab.listed()
    assert second not in ("", first)
    assert second.isdecimal()
    lab.wait()
    (done,) = lab.finish(first)
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out" / "tries").read_text().split() == [first, second]
    assert f"slurm-{second}.out" in lab.committed()
    assert [each["job_id"] for each in record_of(lab)["hpc"]["attempts"]] == [first]


@pytest.mark.slurm
def test_one_that_was_never_accepted_is_put_back(dataset: Any, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    first = a_failed_job(lab)
    kept = ask_store(lab, "SELECT * FROM jobs"), ask_store(lab, "SELECT * FROM claims")
    stand_in(before, "sbatch", "kill -9 $PPID\n")
    assert in_a_process(lab).wait() == -signal.SIGKILL
    assert ask_store(lab, "SELECT state FROM jobs") == [("submitting",)]
    (before / "sbatch").unlink()
    assert [*lab.listed()] == [first]
    assert (ask_store(lab, "SELECT * FROM jobs"), ask_store(lab, "SELECT * FROM claims")) == kept


# Which jobs


def test_what_completed_without_its_outputs_runs_again_when_named(local_lab: Lab) -> None:
    local_lab.script("[ -e repaired ] && touch made; true")
    first = local_lab.schedule("sbatch job.sh", outputs=["made"])["slurm_job_id"]
    local_lab.wait()
    repair(local_lab)
    (said,) = retry(local_lab)
    assert said["status"] == "notneeded"
    assert f"run it again (`datalad reschedule --failed {first}`)" in text_of(
        local_lab.finish()[-1]
    )
    (again,) = retry(local_lab, first)
    assert again["status"] == "ok", text_of(again)
    assert "completed, but did not produce made" in text_of(again)
    local_lab.wait()
    assert local_lab.finish()[-1]["status"] == "ok"
    (before,) = record_of(local_lab)["hpc"]["attempts"]
    assert before["failure"] == {"cause": "missing-output", "outputs": ["made"]}


def test_what_the_user_ended_runs_again_only_when_named(local_failed: tuple[Lab, str]) -> None:
    lab, first = local_failed
    ask_store(lab, "UPDATE jobs SET cancelled = '2026-01-01T00:00:00+00:00'")
    (said,) = retry(lab)
    assert said["status"] == "notneeded"
    assert "was cancelled" in text_of(said)
    repair(lab)
    (again,) = retry(lab, first)
    assert again["status"] == "ok", text_of(again)
    assert ask_store(lab, "SELECT cancelled FROM jobs") == [("",)]
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"


def test_what_a_program_submitted_is_not_tried_again(local_lab: Lab) -> None:
    local_lab.script("exit 1")
    local_lab.script("sbatch job.sh", "program.sh")
    (local_lab.root / "program.sh").chmod(0o755)
    job = local_lab.schedule("./program.sh", outputs=["made"], submits=True)
    assert job["status"] == "ok", text_of(job)
    local_lab.wait()
    (said,) = retry(local_lab)
    assert said["status"] == "impossible"
    assert "schedule the program anew" in text_of(said)
    (told,) = local_lab.dataset.hpc_status(
        result_renderer="disabled", on_failure="ignore", return_type="list"
    )
    assert (told["failed"], told["retry"]) == (True, False)


def test_in_an_alternative_directory(local_lab: Lab, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    local_lab.write("input")
    local_lab.schedule(
        "cp input made; [ -e repaired ]", inputs=["input"], outputs=["made"], alt_dir=str(there)
    )
    local_lab.wait()
    (there / "repaired").touch()
    (again,) = retry(local_lab)
    assert again["status"] == "ok", text_of(again)
    local_lab.wait()
    (done,) = local_lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert "made" in local_lab.committed()
    assert not (there / "made").exists()


def test_who_reads_what_it_makes_itself_or_what_comes_later_waits_for_nobody(
    local_lab: Lab,
) -> None:
    local_lab.write("x")
    local_lab.write("y")
    first = local_lab.schedule(
        f"{GATE}[ -e repaired ] && cat y >> x", inputs=["x", "y"], outputs=["x"]
    )["slurm_job_id"]
    second = local_lab.schedule("cat x >> y", inputs=["x"], outputs=["y"])["slurm_job_id"]
    let_go(local_lab)
    local_lab.wait()
    repair(local_lab)
    one, two = retry(local_lab)
    assert (one["status"], two["status"]) == ("ok", "ok"), (text_of(one), text_of(two))
    assert "waits for" not in text_of(one)
    assert f"waits for job {one['slurm_job_id']}" in text_of(two)
    assert (one["slurm_job_ids"][0], two["slurm_job_ids"][0]) == (first, second)
    local_lab.wait()
    assert [each["status"] for each in local_lab.finish()] == ["ok", "ok"]


def test_who_comes_later_waits_for_the_tasks_that_run_again(lab: Lab) -> None:
    lab.script(
        f"((SLURM_ARRAY_TASK_ID)) && [ ! -e repaired ] && exit 1\n{GATE}\n"
        "mkdir -p out; echo > out/$SLURM_ARRAY_TASK_ID"
    )
    first = lab.schedule("sbatch --array=0-1 job.sh", outputs=["out/"])["slurm_job_id"]
    wait_for(lambda: "FAILED" in lab.listed()[first]["slurm_job_status"])
    repair(lab)
    (again,) = retry(lab)
    reader = lab.schedule("ls out > list", inputs=["out/"], outputs=["list"])
    assert reader["status"] == "ok", text_of(reader)
    let_go(lab)
    lab.wait()
    assert lab.listed()[reader["slurm_job_id"]]["slurm_job_status"] == "COMPLETED"
    assert (lab.root / "list").read_text().split() == ["0", "1"]
    done = lab.finish()
    assert [each["status"] for each in done] == ["ok", "ok"]
    assert done[0]["slurm_job_id"] == again["slurm_job_id"]


def cancelled_task(lab: Lab) -> str:
    """An array of which task 1 failed and task 2 was cancelled; its id."""
    go = lab.root / "go"
    lab.script(
        f"#SBATCH --array=1-3\n((SLURM_ARRAY_TASK_ID == 1)) && [ ! -e repaired ] && exit 3\n"
        f"until [ -e {go} ]; do sleep 0.1; done; echo > out/$SLURM_ARRAY_TASK_ID"
    )
    (lab.root / "out").mkdir()
    job = str(lab.schedule("sbatch job.sh", outputs=["out/"])["slurm_job_id"])
    lab.dataset.hpc_cancel([f"{job}_2"], result_renderer="disabled", on_failure="ignore")
    go.touch()
    lab.wait()
    return job


def test_cancelled_tasks_of_an_array_run_again_only_when_named(local_lab: Lab) -> None:
    lab = local_lab
    job = cancelled_task(lab)
    (shown,) = retry(lab, report=True)
    assert (shown["argv"], shown["left_out"]) == (["sbatch", "--array=1", "job.sh"], [2])
    repair(lab)
    (again,) = retry(lab)
    assert (again["status"], again["retried"], again["left_out"]) == ("ok", [1], [2])
    assert "task 2 was cancelled, and left out" in text_of(again)
    assert f"`datalad reschedule --failed {job}_2`" in text_of(again)
    lab.wait()
    (said,) = retry(lab)
    assert said["status"] == "notneeded", text_of(said)
    assert f"was cancelled (task 2 of job {job}: CANCELLED by" in text_of(said)
    (named,) = retry(lab, f"{job}_2")
    assert (named["status"], named["retried"]) == ("ok", [2]), text_of(named)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"


def test_what_needs_no_retry_is_said_to_people(local_failed: tuple[Lab, str]) -> None:
    lab, job = local_failed
    lab.finish(close_failed_jobs=True)
    datalad = str(Path(sys.executable).parent / "datalad")
    argv = [datalad, "reschedule", "-d", str(lab.root), "--failed"]
    assert "There are no open jobs" in says(*argv)
    assert f"Job {job}" in says(*argv, job)


def test_more_memory_without_a_limit_of_time(local_lab: Lab) -> None:
    local_lab.schedule("sbatch --mem=50M --wrap false", outputs=["made"])
    local_lab.wait()
    (shown,) = retry(local_lab, report=True, scale="mem=2 time=1.5")
    assert "--mem=100M" in shown["argv"], text_of(shown)
    assert shown["remarks"] == "its time was left alone, since no limit of it is known"
    (again,) = retry(local_lab, scale="mem=2 time=1.5")
    assert again["status"] == "ok"
    assert "; its time was left alone" in text_of(again)
