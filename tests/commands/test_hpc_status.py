"""``hpc-status``: where jobs stand, on both schedulers."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from datalad.support.exceptions import IncompleteResultsError

from datalad_hpc.schedulers.local import Local
from datalad_hpc.schedulers.slurm import Slurm
from tests.commands.conftest import QUIET, Lab, ask_store, text_of
from tests.helpers import is_locked, wait_for

Result = dict[str, Any]

UNTIL_TOLD = "until [ -e go ]; do sleep 0.1; done; "


def statuses(lab: Lab, *job_ids: str, **options: Any) -> dict[str, Result]:
    """Results of jobs by id."""
    found = lab.dataset.hpc_status(list(job_ids) or None, **QUIET, **options)
    return {res["slurm_job_id"]: res for res in found if "task_counts" in res}


def reached(lab: Lab, job_id: str, state: str) -> Result:
    """The result of a job once it is in a state."""

    def there() -> Result | None:
        told = statuses(lab, job_id).get(job_id)
        return told if told and told["state"] == state else None

    found = wait_for(there, interval=0.2)
    assert isinstance(found, dict)
    return found


def say_go(lab: Lab) -> None:
    (lab.root / "go").touch()


def called(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, in the dataset, without a terminal."""
    return subprocess.run(
        ["datalad", *arguments], cwd=lab.root, capture_output=True, text=True, timeout=60
    )


def test_an_array_is_followed_to_its_end(lab: Lab) -> None:
    script = UNTIL_TOLD + "[ $SLURM_ARRAY_TASK_ID != 2 ] || exit 3; echo > $SLURM_ARRAY_TASK_ID.txt"
    lab.script(f"#SBATCH --array=0-2%1\n#SBATCH --job-name=trio\n{script}")
    job = lab.schedule("sbatch job.sh", outputs=["{task}.txt"])["slurm_job_id"]
    told = reached(lab, job, "running")
    assert told["name"] == "trio"
    assert told["task_counts"] == {
        "total": 3,
        "completed": 0,
        "failed": 0,
        "running": 1,
        "waiting": 2,
    }
    assert told["elapsed"] >= 0
    assert len(told["nodes"]) == 1
    assert told["outputs"] == ["{task}.txt"]
    assert datetime.fromisoformat(told["started"]) >= datetime.fromisoformat(
        told["submitted"]
    ) - timedelta(seconds=2)
    assert "ended" not in told
    wait_for(lambda: "outlook" in statuses(lab)[job], interval=0.2)
    told = statuses(lab)[job]
    assert (told["outlook"], told["can_start"], told["failed"]) == ("waits", True, False)
    say_go(lab)
    told = reached(lab, job, "failed")
    assert told["task_counts"]["completed"] == 2
    assert told["failed"] is True
    assert told["failure_text"] == "exit code 3"
    assert told["tasks"] == {"COMPLETED": "0-1", "FAILED": "2"}
    assert "outlook" not in told
    # One task by itself.
    task = statuses(lab, f"{job}_2")[f"{job}_2"]
    assert (task["state"], task["task_counts"]["total"]) == ("failed", 1)
    assert statuses(lab, f"{job}_1")[f"{job}_1"]["state"] == "completed"


def test_what_is_over_is_told_by_the_store(lab: Lab) -> None:
    done = lab.schedule("echo > a.txt", outputs=["a.txt"])["slurm_job_id"]
    bad = lab.schedule("exit 2", outputs=["b.txt"])["slurm_job_id"]
    lab.wait()
    assert statuses(lab)[done]["state"] == "completed"
    lab.finish(done)
    lab.finish(bad, close_failed_jobs=True)
    assert statuses(lab) == {}
    told = statuses(lab, all_jobs=True)
    assert list(told) == [done, bad]
    assert told[done]["commit"] == lab.git("rev-parse", "HEAD").strip()
    assert told[done]["task_counts"]["completed"] == 1
    assert told[done]["elapsed"] >= 0
    assert told[done]["nodes"]
    assert (told[bad]["state"], told[bad]["slurm_job_status"]) == ("closed", "CLOSED")
    assert told[bad]["note"]
    assert told[bad]["task_counts"]["failed"] == 1
    assert "commit" not in told[bad]
    # By name without --all as well; what is over does not count as a failure.
    assert statuses(lab, done, bad) == told
    assert not any(res["failed"] for res in told.values())


def test_each_scheduler_is_asked_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask, status = Slurm.ask, Local.status

    def noted(scheduler: Slurm, argv: list[str]) -> str:
        asked.append(argv[0])
        return ask(scheduler, argv)

    def noted_local(scheduler: Local, keys: Any, **options: Any) -> Any:
        asked.append("spool")
        return status(scheduler, keys, **options)

    held = " -H" if lab.scheduler == "slurm" else ""
    for number in range(3):
        lab.schedule(f"sbatch{held} --wrap true", outputs=[f"waits{number}"])
        lab.schedule("sbatch --wrap true", outputs=[f"ends{number}"])
    lab.schedule("sbatch --array=0-3 --wrap true", outputs=["array"])
    wait_for(
        lambda: sum(res["state"] == "completed" for res in statuses(lab).values()) >= 4,
        interval=0.2,
    )
    monkeypatch.setattr(Slurm, "ask", noted)
    monkeypatch.setattr(Local, "status", noted_local)
    told = statuses(lab)
    assert len(told) == 7
    assert asked == (["squeue", "sacct"] if lab.scheduler == "slurm" else ["spool"])
    if held:
        subprocess.run(["scancel", *told], check=True)


@pytest.mark.slurm
def test_a_job_that_is_held_says_how_to_let_it_go(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    job = lab.schedule("sbatch -H -t 10 --wrap true", outputs=["a"])["slurm_job_id"]
    told = statuses(lab)[job]
    assert (told["state"], told["reason"], told["outlook"]) == ("waiting", "JobHeldUser", "held")
    assert told["can_start"] is False
    assert told["failed"] is False
    assert told["advice"] == f"`scontrol release {job}` lets it go"
    assert told["time_limit"] == 600
    subprocess.run(["scontrol", "release", job], check=True)
    reached(lab, job, "completed")


@pytest.mark.slurm
def test_a_job_that_was_put_back_and_held_has_no_time_to_start(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    job = lab.schedule("sbatch --requeue --wrap 'sleep 60'", outputs=["a"])["slurm_job_id"]
    reached(lab, job, "running")
    subprocess.run(["scontrol", "requeuehold", job], check=True)
    told = reached(lab, job, "waiting")
    subprocess.run(["scancel", job], check=True)
    assert (told["outlook"], told["can_start"]) == ("held", False)
    assert f"scontrol release {job}" in told["advice"]
    assert "expected_start" not in told


@pytest.mark.slurm
def test_a_job_that_waits_for_a_failed_one_never_starts(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    first = lab.schedule("sbatch --wrap 'exit 1'", outputs=["a"])["slurm_job_id"]
    second = lab.schedule(f"sbatch -d afterok:{first} --wrap true", outputs=["b"])["slurm_job_id"]
    told = wait_for(lambda: _if_never(statuses(lab)[second]), interval=0.3)
    assert isinstance(told, dict)
    assert told["can_start"] is False
    assert told["failed"] is True
    assert told["reason"].startswith("DependencyNeverSatisfied")
    assert f"hpc-cancel {second}" in told["advice"]
    ended = called(lab, "hpc-status", second)
    assert ended.returncode == 5
    assert "never starts (DependencyNeverSatisfied" in ended.stdout
    subprocess.run(["scancel", second], check=True)


def _if_never(told: Result) -> Result | None:
    return told if told.get("outlook") == "never" else None


@pytest.mark.slurm
def test_a_job_that_is_to_begin_later_says_when(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    job = lab.schedule("sbatch --begin=now+2hours --wrap true", outputs=["a"])["slurm_job_id"]
    told = wait_for(lambda: _if_expected(statuses(lab)[job]), interval=0.2)
    subprocess.run(["scancel", job], check=True)
    assert isinstance(told, dict)
    expected = datetime.fromisoformat(told["expected_start"]) - datetime.now(timezone.utc)
    assert timedelta(hours=1.9) < expected < timedelta(hours=2.1)
    assert told["can_start"] is True


def _if_expected(told: Result) -> Result | None:
    return told if "expected_start" in told else None


def test_the_exit_code_tells_open_failed_and_done_apart(local_lab: Lab) -> None:
    lab = local_lab
    lab.schedule(UNTIL_TOLD + "echo > a", outputs=["a"])
    ended = called(lab, "-f", "json", "hpc-status")
    assert ended.returncode == 4
    assert json.loads(ended.stdout)["open_job"] is True
    assert ended.stderr == ""
    bad = lab.schedule("exit 1", outputs=["b"])["slurm_job_id"]
    reached(lab, bad, "failed")
    ended = called(lab, "--report-status", "error", "hpc-status")
    # What a filter hides counts as well.
    assert (ended.returncode, ended.stdout) == (5, "")
    # Python's users look at the results.
    found = lab.dataset.hpc_status(result_renderer="disabled")
    assert [res["failed"] for res in found] == [False, True]
    say_go(lab)
    reached(lab, "1", "completed")
    assert called(lab, "hpc-status", "1").returncode == 0
    lab.finish(bad, close_failed_jobs=True)
    # What was given up is settled.
    assert called(lab, "hpc-status", "--all").returncode == 0


def test_a_name_that_is_none_is_said_and_stops_no_other(local_lab: Lab) -> None:
    job = local_lab.schedule("true", outputs=["a"])["slurm_job_id"]
    found = local_lab.dataset.hpc_status([job, "99", f"{job}_1"], **QUIET)
    assert [res["status"] for res in found] == ["impossible", "impossible", "ok"]
    assert "no job 99" in text_of(found[0])
    with pytest.raises(IncompleteResultsError):
        local_lab.dataset.hpc_status("99", result_renderer="disabled")


def test_since_is_about_the_submission(local_lab: Lab) -> None:
    lab = local_lab
    old = lab.schedule("true", outputs=["a"])["slurm_job_id"]
    lab.wait()
    ask_store(lab, "UPDATE jobs SET submitted = '2020-02-02T12:00:00+00:00'")
    new = lab.schedule("true", outputs=["b"])["slurm_job_id"]
    lab.wait()
    assert list(statuses(lab)) == [old, new]
    for since in ("yesterday", "2 hours ago", "2020-02-03", "2020-02-02T12:00:01+00:00"):
        assert list(statuses(lab, since=since)) == [new]
        assert list(statuses(lab, since=since, all_jobs=True)) == [new]
        assert list(statuses(lab, old, new, since=since)) == [new]
    assert list(statuses(lab, since="2020-02-01")) == [old, new]
    (found,) = lab.dataset.hpc_status(since="2099-01-01", **QUIET)
    assert found["status"] == "notneeded"
    assert "No open job was submitted since 2099-01-01" in text_of(found)
    (found,) = lab.dataset.hpc_status(since="thursyear", **QUIET)
    assert found["status"] == "impossible"
    assert "is no date" in text_of(found)


def test_tasks_of_a_sweep_that_are_over_count(local_lab: Lab) -> None:
    lab = local_lab
    command = "if [ {v} = b ]; then " + UNTIL_TOLD + "fi; echo > {outputs}"
    job = lab.schedule(command, outputs=["{v}.txt"], foreach={"v": ["a", "b", "c"]})["slurm_job_id"]
    wait_for(lambda: statuses(lab)[job]["task_counts"]["completed"] == 2, interval=0.1)
    lab.finish()
    told = statuses(lab)[job]
    assert told["state"] == "running"
    assert (told["task_counts"]["completed"], told["task_counts"]["total"]) == (2, 3)
    assert len(told["commits"]) == 2
    task = statuses(lab, f"{job}_0")[f"{job}_0"]
    assert (task["state"], task["commit"]) == ("finished", told["commits"][0])
    assert statuses(lab, f"{job}_1")[f"{job}_1"]["outputs"] == ["b.txt"]
    say_go(lab)
    reached(lab, job, "completed")
    lab.finish()
    told = statuses(lab, all_jobs=True)[job]
    assert (told["state"], len(told["commits"])) == ("finished", 3)
    assert told["task_counts"]["completed"] == 3


def test_a_scheduler_that_gives_no_answer_is_said(local_lab: Lab, local_spool: Path) -> None:
    lab = local_lab
    job = lab.schedule("true", outputs=["a"])["slurm_job_id"]
    lab.wait()
    wait_for(lambda: not is_locked(local_spool / "dispatcher.lock"))
    (local_spool / "spool.lock").rename(local_spool / "away")
    (local_spool / "spool.lock").mkdir()
    try:
        error, told = lab.dataset.hpc_status(**QUIET)
        ended = called(lab, "hpc-status")
    finally:
        (local_spool / "spool.lock").rmdir()
        (local_spool / "away").rename(local_spool / "spool.lock")
    assert error["status"] == "error"
    assert "cannot be read" in text_of(error)
    assert (told["slurm_job_id"], told["state"]) == (job, "unknown")
    assert ended.returncode == 1
    assert "UNKNOWN" in ended.stdout


def test_a_job_of_a_submission_program_is_found_by_each_of_its_names(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("[ $SLURM_ARRAY_TASK_ID != 2 ]", "array.sh")
    lab.script("sbatch job.sh; sbatch --array=1-3 array.sh", "submit.sh")
    lab.script("true")
    job = lab.schedule("sh submit.sh", submits=True, outputs=["out/"])
    first, array = job["slurm_job_ids"]
    told = reached(lab, first, "failed")
    assert (told["task_counts"]["completed"], told["task_counts"]["total"]) == (3, 4)
    assert told["slurm_job_ids"] == [first, array]
    assert statuses(lab, array) == {first: told}
    task = statuses(lab, f"{array}_2")[f"{array}_2"]
    assert (task["state"], task["task_of"], task["task_counts"]["total"]) == ("failed", first, 1)
    assert statuses(lab, f"{array}_3")[f"{array}_3"]["state"] == "completed"
    assert statuses(lab, f"{first}_1") == {}


def test_tasks_that_were_tried_again_are_one_job_with_the_others(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("#SBATCH --array=0-2\n[ $SLURM_ARRAY_TASK_ID != 1 ]")
    first = lab.schedule("sbatch job.sh", outputs=["{task}.txt"])["slurm_job_id"]
    reached(lab, first, "failed")
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    second = again["slurm_job_id"]
    assert wait_for(lambda: statuses(lab)[second]["state"] == "failed", interval=0.2)
    told = statuses(lab, first)[second]
    assert (told["attempt"], told["slurm_job_ids"]) == (2, [first, second])
    counts = told["task_counts"]
    assert (counts["completed"], counts["failed"], counts["total"]) == (2, 1, 3)
    assert statuses(lab, f"{first}_0")[f"{first}_0"]["attempt"] == 1
    assert "attempt 2" in called(lab, "hpc-status").stdout


def test_a_task_that_is_committed_stays_so_while_another_is_tried_again(local_lab: Lab) -> None:
    lab = local_lab
    command = f"if [ -e again ]; then {UNTIL_TOLD}fi; echo > {{outputs}}; [ -e again -o {{v}} = a ]"
    first = lab.schedule(command, outputs=["{v}.txt"], foreach={"v": ["a", "b"]})["slurm_job_id"]
    reached(lab, first, "failed")
    assert sorted(res["status"] for res in lab.finish()) == ["impossible", "ok"]
    (lab.root / "again").touch()
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    second = again["slurm_job_id"]
    reached(lab, second, "running")
    task = statuses(lab, f"{first}_0")[f"{first}_0"]
    other = statuses(lab, f"{second}_1")[f"{second}_1"]
    shown = called(lab, "hpc-status", f"{first}_0").stdout
    both = statuses(lab, f"{first}_0", f"{first}_1")[second]
    say_go(lab)
    assert (task["state"], task["slurm_job_status"]) == ("finished", "FINISHED")
    assert task["commit"] == lab.git("rev-parse", "HEAD").strip()
    assert (task["outputs"], other["outputs"]) == (["a.txt"], ["b.txt"])
    assert both["outputs"] == ["a.txt", "b.txt"]
    assert task["submitted"] < other["submitted"]
    assert text_of(task) == "finished"
    assert "FINISHED  [######] 1/1" in shown
    reached(lab, second, "completed")


@pytest.mark.slurm
def test_a_refused_job_says_why(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.schedule("sbatch --mem=900T --wrap true", outputs=["a"])
    (told,) = statuses(lab, all_jobs=True).values()
    assert told["state"] == "refused"
    assert "could not be submitted: sbatch refused the job" in told["note"]
    assert "Memory specification can not be satisfied" in told["note"]
    shown = called(lab, "hpc-status", "--all").stdout
    assert "Memory specification can not be satisfied" in shown.splitlines()[2]
