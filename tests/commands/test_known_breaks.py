"""Each of the fifteen ways in which datalad-slurm 0.2.8 breaks, with the tests that ours does not.

What another test shows in full is named in :data:`SHOWN`, and not written again.
"""

from __future__ import annotations

import ast
import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Lab, text_of

TESTS = Path(__file__).parent.parent

SHOWN = {
    "1 the same output in five spellings, and the root above it": [
        "commands/test_refusals.py::test_a_claimed_output_names_its_holder",
        "test_workplace.py::test_one_path_has_one_claim",
    ],
    "2 parallel schedules of one output; a locked database": [
        "commands/test_crowds.py::test_sixteen_at_once_want_one_output",
        "commands/test_interrupted.py::test_a_store_that_is_busy_for_a_while_is_waited_for",
        "store/test_store_engine.py::test_a_lock_that_is_held_too_long_is_told",
    ],
    "3 a suspended job is closed": [
        "commands/test_known_breaks.py::test_03_a_suspended_job_is_not_closed",
        "schedulers/test_slurm_states.py::test_states_that_may_still_run_are_live",
    ],
    "4 a job is forgotten after its submission": [
        "commands/test_known_breaks.py::test_04_parsable_answers_are_understood",
        "commands/test_known_breaks.py::test_04_two_submissions_in_one_command_are_refused",
        "commands/test_schedule_options.py::test_folders_of_logs_are_made",
        "commands/test_interrupted.py::test_a_job_whose_id_was_never_told_is_adopted",
        "schedulers/test_slurm_submit.py::test_a_lost_answer_is_no_refusal",
    ],
    "5 sbatch's own words and its exit code": [
        "commands/test_refusals.py::test_the_words_of_sbatch_are_shown",
    ],
    "6 from a subdirectory": [
        "commands/test_known_breaks.py::test_06_from_a_subfolder_all_goes_on_as_from_the_root",
        "commands/test_schedule_options.py::test_from_a_subfolder_paths_are_relative_to_it",
    ],
    "7 a job that sacct does not know": [
        "commands/test_known_breaks.py::test_07_an_unknown_job_stops_no_other",
    ],
    "8 the alternative directory": [
        "commands/test_known_breaks.py::test_08_names_are_copied_without_a_shell",
        "commands/test_alternative.py::test_nothing_comes_back_while_the_job_runs",
        "commands/test_alternative.py::test_the_job_runs_there_and_its_outputs_come_back",
        "commands/test_trust_records.py::"
        "test_nothing_is_copied_outside_of_an_alternative_directory",
    ],
    "9 log paths": [
        "commands/test_known_breaks.py::test_09_a_log_with_a_blank_in_its_path",
        "schedulers/test_logs.py::test_slurm_writes_the_foreseen_files",
    ],
    "10 options that do not work": [
        "commands/test_known_breaks.py::test_10_the_message_of_finish_is_kept_for_failed_jobs",
        "commands/test_command_line.py::test_dry_run_prints_what_would_run",
        "commands/test_finish_options.py::test_only_the_named_jobs_are_finished",
    ],
    "11 parallel finishes; octopus": [
        "commands/test_interrupted.py::test_two_finishes_at_once_commit_once",
        "commands/test_known_breaks.py::test_11_octopus_of_one_file_leaves_no_branches",
    ],
    "12 the environment file": [
        "commands/test_main_job.py::test_the_facts_tell_the_truth_at_the_end",
        "commands/test_finish_options.py::test_identity_is_recorded_on_request_only",
    ],
    "13 failed tasks of an array; what became of a job": [
        "commands/test_known_breaks.py::test_13_good_tasks_are_kept_and_the_job_is_remembered",
    ],
    "14 two worktrees; legal names": [
        "commands/test_interrupted.py::test_two_worktrees_share_the_claims",
        "commands/test_known_breaks.py::test_14_legal_names_are_taken",
    ],
    "15 datalad rerun": [
        "commands/test_known_breaks.py::test_15_a_commit_is_run_again_without_slurm",
    ],
}


def test_every_break_has_tests_that_are_there() -> None:
    assert [int(name.split()[0]) for name in SHOWN] == list(range(1, 16))
    for named in SHOWN.values():
        for test in named:
            file, _, function = test.partition("::")
            tree = ast.parse((TESTS / file).read_text())
            assert function in {
                node.name for node in tree.body if isinstance(node, ast.FunctionDef)
            }, test


@pytest.fixture
def slurm_lab(local_lab: Lab) -> Lab:
    """Where it is Slurm that matters."""
    return Lab(local_lab.dataset, "slurm")


@pytest.mark.slurm
def test_03_a_suspended_job_is_not_closed(slurm_lab: Lab) -> None:
    lab = slurm_lab
    if os.geteuid() != 0:
        pytest.skip("only root or an operator may suspend a job")
    lab.script("touch began; until test -e go; do sleep 0.1; done; echo x > out")
    job_id = lab.schedule("sbatch job.sh", outputs=["out"])["slurm_job_id"]
    while not (lab.root / "began").exists():
        pass
    subprocess.run(["scontrol", "suspend", job_id], check=True)
    try:
        (kept,) = lab.finish(close_failed_jobs=True)
        assert (kept["status"], kept["slurm_job_status"]) == ("impossible", "SUSPENDED")
        assert lab.schedule("sbatch job.sh", outputs=["out"])["status"] == "impossible"
    finally:
        (lab.root / "go").touch()
        subprocess.run(["scontrol", "resume", job_id], check=True)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert "out" in lab.committed()


def test_04_parsable_answers_are_understood(lab: Lab) -> None:
    done = lab.run("sbatch --parsable --wrap 'echo x > out'", outputs=["out"])
    assert done["status"] == "ok", text_of(done)
    assert "out" in lab.committed()


def test_04_two_submissions_in_one_command_are_refused(local_lab: Lab) -> None:
    local_lab.script("touch ran")
    for command in ("sbatch job.sh; sbatch job.sh", "sbatch job.sh && sbatch job.sh"):
        refused = local_lab.schedule(command, outputs=["out"])
        assert refused["status"] == "impossible"
        assert "not run through a shell" in text_of(refused)
    assert local_lab.listed() == {}
    assert not (local_lab.root / "ran").exists()


def test_06_from_a_subfolder_all_goes_on_as_from_the_root(lab: Lab, inside: Any) -> None:
    lab.write("sub/old.dat", "old\n")
    lab.script("date +%N >> old.dat", name="sub/job.sh")
    inside("sub")
    from datalad.api import finish, reschedule, schedule

    quiet: dict[str, Any] = {"result_renderer": "disabled", "on_failure": "ignore"}
    for command in (
        lambda: schedule("sbatch job.sh", outputs=["old.dat"], scheduler=lab.scheduler, **quiet),
        lambda: reschedule(scheduler=lab.scheduler, **quiet),
    ):
        assert command()[-1]["status"] == "ok"
        assert not (lab.root / "sub" / "old.dat").is_symlink()
        lab.wait()
        assert [res["status"] for res in finish(**quiet)] == ["ok"]
        assert "sub/old.dat" in lab.committed()
        assert (lab.root / "sub" / "old.dat").is_symlink()
    assert len((lab.root / "sub" / "old.dat").read_text().splitlines()) == 3


@pytest.mark.slurm
def test_07_an_unknown_job_stops_no_other(slurm_lab: Lab) -> None:
    lab = slurm_lab
    jobs = [
        lab.schedule(["sbatch", "--wrap", f"echo x > {name}"], outputs=[name])["slurm_job_id"]
        for name in ("lost", "good")
    ]
    lab.wait()
    store = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.execute("update jobs set job_id = '67000000' where job_id = ?", [jobs[0]])
    assert lab.listed().keys() == {"67000000", jobs[1]}
    told = {res["slurm_job_id"]: res["status"] for res in lab.finish()}
    assert told == {"67000000": "impossible", jobs[1]: "ok"}
    assert "good" in lab.committed()
    assert lab.listed().keys() == {"67000000"}


def test_08_names_are_copied_without_a_shell(local_lab: Lab, tmp_path: Path) -> None:
    lab, alternative = local_lab, tmp_path / "alt"
    alternative.mkdir()
    names = ["a b", "c; touch ran", "$(touch ran)", "'q'", "`touch ran`"]
    for name in names:
        (lab.root / name).write_text(name)
    lab.save()
    lab.script('mkdir out; cp -- "$@" out/')
    command = ["sbatch", "--output=my logs/%j.log", "job.sh", *names]
    done = lab.run(command, inputs=names, outputs=["out/"], alt_dir=str(alternative))
    assert done["status"] == "ok", text_of(done)
    assert {f"out/{name}" for name in names} < lab.committed()
    assert f"my logs/{done['slurm_job_id']}.log" in lab.committed()
    assert not list(tmp_path.rglob("ran"))


def test_09_a_log_with_a_blank_in_its_path(lab: Lab) -> None:
    done = lab.run(
        ["sbatch", "--output=my logs/a b.out", "--error=my logs/an err", "--wrap", "date > out"],
        outputs=["out"],
    )
    assert done["status"] == "ok", text_of(done)
    assert {"my logs/a b.out", "my logs/an err"} < lab.committed()
    assert '"my logs/a b.out"' in lab.message()


def test_10_the_message_of_finish_is_kept_for_failed_jobs(local_lab: Lab) -> None:
    job = local_lab.schedule("sbatch --wrap 'echo x > out; exit 3'", outputs=["out"])
    local_lab.wait()
    (done,) = local_lab.finish(
        job["slurm_job_id"], message="words of finish", commit_failed_jobs=True
    )
    assert done["status"] == "ok", text_of(done)
    assert "words of finish" in local_lab.message()


def test_11_octopus_of_one_file_leaves_no_branches(local_lab: Lab) -> None:
    lab = local_lab
    before = lab.git("branch", "--format=%(refname)")
    for text in "ab":
        lab.schedule(
            ["sbatch", "--wrap", f"echo {text} > same; echo {text} > own-{text}"],
            outputs=["same", f"own-{text}"],
            check_outputs=False,
        )
        lab.wait()
    assert {res["status"] for res in lab.finish(octopus=True)} == {"ok"}
    assert lab.git("branch", "--format=%(refname)") == before
    for text in "cd":
        lab.schedule(["sbatch", "--wrap", f"echo {text} > own-{text}"], outputs=[f"own-{text}"])
    lab.wait()
    assert {res["status"] for res in lab.finish(octopus=True)} == {"ok"}
    assert lab.git("branch", "--format=%(refname)") == before
    assert lab.changes() == ""


def test_13_good_tasks_are_kept_and_the_job_is_remembered(lab: Lab) -> None:
    lab.script('echo x > "out-$SLURM_ARRAY_TASK_ID"; test "$SLURM_ARRAY_TASK_ID" != 2')
    job = lab.schedule("sbatch --array=1-3 job.sh", outputs=["out-*"])
    lab.wait()
    (done,) = lab.finish(job["slurm_job_id"], commit_failed_jobs=True)
    assert done["status"] == "ok", text_of(done)
    assert {"out-1", "out-3"} < lab.committed()
    assert '"COMPLETED": "1,3"' in lab.message()
    (over,) = lab.finish(job["slurm_job_id"])
    assert f"is over already: committed as {done['commit'][:10]}" in text_of(over)


def test_14_legal_names_are_taken(lab: Lab) -> None:
    names = ["a!b", "a^b", "a[1].txt", "{{a}}"]
    for name in names:
        (lab.root / name.replace("{{", "{").replace("}}", "}")).write_text("old\n")
    lab.save()
    lab.script('for name; do echo new > "$name"; done')
    done = lab.run("sbatch job.sh {outputs}", outputs=names)
    assert done["status"] == "ok", text_of(done)
    assert {"a!b", "a^b", "a[1].txt", "{a}"} < lab.committed()


def test_15_a_commit_is_run_again_without_slurm(local_lab: Lab) -> None:
    """``datalad rerun`` leaves ``sbatch`` alone, which it has no scheduler for; ours needs none."""
    done = local_lab.run("sbatch --wrap 'date +%N > out'", outputs=["out"])
    told = local_lab.dataset.rerun(result_renderer="disabled", on_failure="ignore")
    assert {res["status"] for res in told} <= {"impossible", "notneeded"}
    (again,) = local_lab.reschedule(done["commit"])
    assert again["status"] == "ok", text_of(again)
    local_lab.wait()
    assert [res["status"] for res in local_lab.finish()] == ["ok"]
    assert "out" in local_lab.committed()
    assert f'"{done["commit"]}"' in local_lab.message()


@pytest.mark.parametrize("marker", ["hpc", "core"])
def test_15_rerun_sees_plain_commands_where_that_is_wished(local_lab: Lab, marker: str) -> None:
    """Not by itself: with the marker that is the default, core sees none of our commits."""
    local_lab.git("config", "datalad.hpc.record-marker", marker)
    local_lab.dataset.config.reload(force=True)
    done = local_lab.run("date +%N > out", outputs=["out"])
    told = local_lab.dataset.rerun(result_renderer="disabled", on_failure="ignore")
    seen = marker == "core"
    assert any(res["action"] == "run" and res["status"] == "ok" for res in told) == seen
    assert (f'"{done["commit"]}"' in local_lab.message()) == seen
