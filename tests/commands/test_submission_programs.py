"""``--submits``: a program of the site's that submits jobs itself, all of which are tracked."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, ask_store, stand_in, text_of

JOB = 'mkdir -p out; echo "$@" > "out/$1"'


def program(lab: Lab, text: str, name: str = "submit.sh") -> None:
    """Save a submission program in the dataset, and the job of which it makes several."""
    lab.script(JOB)
    lab.script(text, name)
    (lab.root / name).chmod(0o755)
    lab.save(name)


def submit(lab: Lab, command: str | list[str] = "./submit.sh", **options: Any) -> dict[str, Any]:
    return lab.schedule(command, submits=True, **{"outputs": ["out/"], **options})


def finished(lab: Lab, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for all jobs of a program, and finish them."""
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    (done,) = lab.finish(job["slurm_job_ids"][-1])
    assert done["status"] == "ok", text_of(done)
    assert lab.listed() == {}
    assert lab.changes() == ""
    return done


def the_record(lab: Lab) -> dict[str, Any]:
    text = lab.message().partition("=== Do not change lines below ===")[2].partition("^^^")[0]
    record: dict[str, Any] = json.loads(text)
    return record


def written(lab: Lab) -> set[str]:
    """What the jobs of the last commit have written, but for logs and facts."""
    return {path for path in lab.committed() if path.startswith("out/")}


def assert_nothing_is_left(lab: Lab) -> None:
    state = lab.root / ".git" / "datalad" / "hpc"
    assert [path.name for path in state.iterdir() if "submission-" in path.name] == []


@pytest.fixture
def three(lab: Lab) -> Lab:
    """Submits an array, a job that waits for it, and one in another folder, with three logs."""
    lab.script('mkdir -p out; echo "$SLURM_ARRAY_TASK_ID" > out/$SLURM_ARRAY_TASK_ID', "array.sh")
    lab.script("echo elsewhere > ../out/elsewhere", "there/job.sh")
    program(
        lab,
        "set -e; mkdir -p logs out\n"
        'echo "submitting $1"\n'
        "first=$(sbatch --parsable --array=1-2 --output=logs/%a.log array.sh)\n"
        'sbatch --dependency="afterok:$first" -o logs/second.log job.sh "$1" "$2"\n'
        "cd there; exec sbatch job.sh\n",
    )
    return lab


def test_all_jobs_of_a_program_are_one(three: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    lab = three
    job = submit(lab, "./submit.sh a 'b c'")
    ids = job["slurm_job_ids"]
    assert len(ids) == 3
    assert job["slurm_job_id"] == ids[0]
    assert list(lab.listed()) == [ids[0]]
    assert f"submitting a\nSubmitted batch job {ids[1]}\n" in capfd.readouterr().err
    finished(lab, job)
    logs = {"logs/1.log", "logs/2.log", "logs/second.log", f"there/slurm-{ids[2]}.out"}
    facts = f"logs/slurm-job-{ids[0]}.env.json"
    assert lab.committed() == {"out/1", "out/2", "out/a", "out/elsewhere", facts, *logs}
    assert (lab.root / "out/a").read_text() == "a b c\n"
    record = the_record(lab)
    assert record["cmd"] == "./submit.sh a 'b c'"
    assert record["slurm_job_id"] == int(ids[0])
    assert record["hpc"]["submits"] is True
    assert record["hpc"]["jobs"] == {
        ids[0]: {"COMPLETED": "1-2"},
        ids[1]: {"COMPLETED": ""},
        ids[2]: {"COMPLETED": ""},
    }
    told = json.loads((lab.root / facts).read_text())
    assert [(each["job_id"], each["index"]) for each in told["tasks"]] == [
        (ids[0], 1),
        (ids[0], 2),
        (ids[1], None),
        (ids[2], None),
    ]
    assert [each["job_id"] for each in told["jobs"]] == ids
    assert "SLURM_ARRAY_TASK_ID" in told["jobs"][0]["script"]
    assert told["jobs"][1]["submit_line"][-2:] == ["a", "b c"]
    assert_nothing_is_left(lab)


def test_a_program_is_run_again_by_reschedule(local_lab: Lab) -> None:
    lab = local_lab
    program(lab, 'for name in "$@"; do sbatch job.sh "$name"; done')
    finished(lab, submit(lab, "./submit.sh a b"))
    (shown,) = lab.reschedule(report=True)
    assert shown["argv"] == ["./submit.sh", "a", "b"]
    (again,) = lab.reschedule()
    assert len(again["slurm_job_ids"]) == 2
    finished(lab, again)
    assert the_record(lab)["hpc"]["submits"] is True
    assert len(the_record(lab)["chain"]) == 1


def test_a_program_may_call_sbatch_in_any_way(local_lab: Lab) -> None:
    lab = local_lab
    program(
        lab,
        "seq 8 | xargs -P 8 -I {} sbatch --quiet job.sh parallel-{}\n"
        "sbatch --wrap 'mkdir -p out; echo x > out/wrapped'\n"
        "printf '#!/bin/bash\\n#SBATCH -o in.log\\necho x > out/piped\\n' | sbatch\n"
        'sbatch -o "it\'s a\n log.txt" job.sh "it\'s a\n result"\n'
        "env -u PYTHONPATH PYTHONHOME=/nowhere sbatch job.sh 'other Python'\n"
        'python3 -c \'import subprocess; subprocess.run(["sbatch", "job.sh", "child"])\'\n'
        "sbatch nothing.sh; sbatch --wait job.sh waiting; true\n",
    )
    job = submit(lab)
    assert "came to nothing" not in text_of(job)
    assert len(job["slurm_job_ids"]) == len(set(job["slurm_job_ids"])) == 13
    finished(lab, job)
    names = ["wrapped", "piped", "it's a\n result", "other Python", "child"]
    assert written(lab) == {f"out/{name}" for name in names} | {
        f"out/parallel-{number}" for number in range(1, 9)
    }
    assert {"in.log", "it's a\n log.txt"} < lab.committed()


def test_jobs_see_no_difference(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours is in their environment, not even what Python adds to its own."""
    lab = local_lab
    for name in ("LC_ALL", "LANG", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_CTYPE", "C")
    lab.script("mkdir -p out; env | grep -v SLURM | sort > out/$1", "env.sh")
    program(lab, "export MINE=1; env | grep -v SLURM | sort > before; sbatch env.sh after")
    finished(lab, submit(lab, outputs=["out/", "before"]))
    before, after = ((lab.root / name).read_text().split("\n") for name in ("before", "out/after"))
    ours = [line for line in before if line.startswith("PATH=") and "submission-" in line]
    assert len(ours) == 1
    changed = {line.partition("=")[0] for line in set(before) ^ set(after)}
    assert changed <= {"PATH", "_", "SHLVL", "PWD", "ENVIRONMENT", "TMPDIR", "OLDPWD"}
    assert not any("submission-" in line for line in after)
    assert "LC_CTYPE=C" in after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("true", "has ended well, but submitted no job"),
        ("exit 3", "failed (exit code 3) before it had submitted a job"),
        ("kill -9 $$", "ended by signal 9 before it had submitted a job"),
        ("sbatch --array=x job.sh; echo 1; echo Submitted batch job 1", "submitted no job"),
    ],
)
def test_a_program_that_submits_nothing_reserves_nothing(
    local_lab: Lab, text: str, words: str
) -> None:
    lab = local_lab
    program(lab, text)
    lab.write("out/old")
    assert lab.run("sbatch job.sh other", outputs=["out/other"])["slurm_job_id"] == "1"
    job = submit(lab)
    assert job["status"] == "impossible"
    assert words in text_of(job)
    assert lab.listed() == {}
    assert (lab.root / "out/old").is_symlink()
    assert lab.changes() == ""
    assert_nothing_is_left(lab)


def test_a_program_that_cannot_be_started_reserves_nothing(local_lab: Lab) -> None:
    local_lab.script("true", "submit.sh")
    for command in ("./submit.sh", "no-such-program"):
        job = submit(local_lab, command)
        assert job["status"] == "impossible"
        assert "could not be started" in text_of(job)
    assert local_lab.listed() == {}
    assert_nothing_is_left(local_lab)


def test_jobs_of_a_program_that_failed_are_tracked(local_lab: Lab) -> None:
    lab = local_lab
    program(lab, "sbatch job.sh a; sbatch job.sh b; exit 3")
    job = submit(lab)
    assert job["status"] == "error"
    first = job["slurm_job_id"]
    assert "failed (exit code 3) after it had submitted jobs" in text_of(job)
    assert f"`datalad finish --close-failed-jobs {first}`" in text_of(job)
    assert list(lab.listed()) == [first]
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert written(lab) == {"out/a", "out/b"}


def test_one_failed_job_is_told_by_its_id(lab: Lab) -> None:
    lab.script("exit 2", "bad.sh")
    program(lab, "sbatch job.sh a; sbatch --array=0-1 bad.sh")
    job = submit(lab)
    first, second = job["slurm_job_ids"]
    lab.wait()
    (failed,) = lab.finish()
    assert failed["status"] == "impossible"
    assert f"job {first}: COMPLETED" in text_of(failed)
    assert f"tasks 0-1 of job {second}: FAILED (exit code 2)" in text_of(failed)
    assert failed["slurm_job_status"] == "FAILED 2, COMPLETED 1"
    (kept,) = lab.finish(second, commit_failed_jobs=True)
    assert kept["status"] == "ok", text_of(kept)
    assert f"Slurm job {first}: Failed (2 of 3 tasks)" in lab.message()
    jobs = the_record(lab)["hpc"]["jobs"]
    assert jobs == {first: {"COMPLETED": ""}, second: {"FAILED": "0-1"}}
    tasks = ask_store(lab, "SELECT number, state FROM tasks ORDER BY number")
    assert tasks == [(0, "COMPLETED"), (1, "FAILED"), (2, "FAILED")]
    (over,) = lab.finish(second)
    assert "is over already: committed as" in text_of(over)


def test_a_log_that_another_job_has_reserved_is_left_to_it(local_lab: Lab) -> None:
    lab = local_lab
    program(lab, "sbatch -o same.log job.sh a")
    lab.schedule("sbatch -o same.log job.sh b", outputs=["out/b"])
    job = submit(lab, outputs=["out/a"])
    assert job["status"] == "ok"
    assert "same.log is reserved by another open job" in text_of(job)
    lab.wait()
    lab.finish()
    touched = [lab.committed(f"HEAD~{number}") for number in range(2)]
    assert sum("same.log" in files for files in touched) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foreach": ["a=1,2"], "outputs": ["out/{a}"]}, "--foreach"),
        ({"alt_dir": "ELSEWHERE"}, "--alt-dir"),
        ({"outputs": ["out/{task}"]}, "{task}"),
    ],
)
def test_what_cannot_be_had_of_a_program_is_refused(
    local_lab: Lab, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    program(local_lab, "touch ran; sbatch job.sh a")
    (tmp_path / "elsewhere").mkdir()
    options = {
        name: str(tmp_path / "elsewhere") if value == "ELSEWHERE" else value
        for name, value in options.items()
    }
    job = submit(local_lab, **options)
    assert job["status"] in ("impossible", "error")
    assert f"--submits does not go with {words}" in text_of(job)
    assert not (local_lab.root / "ran").exists()


def test_a_program_is_retrieved(local_lab: Lab) -> None:
    lab = local_lab
    program(lab, "sbatch job.sh a")
    lab.git("-c", "annex.gitaddtoannex=yes", "annex", "drop", "--force", "--quiet", "submit.sh")
    job = submit(lab)
    assert job["status"] == "impossible"
    assert "submit.sh" in text_of(job)


def test_a_dry_run_runs_no_program(local_lab: Lab) -> None:
    program(local_lab, "touch ran; sbatch job.sh a")
    shown = submit(local_lab, "./submit.sh {outputs}", dry_run="basic")
    assert shown["dry_run"]["argv"] == ["./submit.sh", "out/"]
    assert not (local_lab.root / "ran").exists()


@pytest.fixture
def slurm_lab(dataset: Dataset) -> Lab:
    return Lab(dataset, "slurm")


@pytest.mark.slurm
def test_jobs_that_are_only_named_are_asked_for(slurm_lab: Lab) -> None:
    """Of those that were not submitted by the program, or never, none is taken."""
    lab = slurm_lab
    older = subprocess.run(
        ["sbatch", "--parsable", "--hold", "-o", "/dev/null", "--wrap", "true"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    tracked = lab.schedule("sbatch --wrap true", outputs=["other"])["slurm_job_id"]
    program(
        lab,
        "echo 4294967; echo 99999999999999\n"
        f"echo {tracked}; echo Submitted batch job {tracked}\n"
        "/usr/bin/sbatch -o /dev/null job.sh a\n"
        "/usr/bin/sbatch --parsable -o /dev/null job.sh b\n"
        "sbatch job.sh c\n",
    )
    try:
        job = submit(lab)
    finally:
        subprocess.run(["scancel", older], check=True)
    assert job["status"] == "ok", text_of(job)
    assert len(job["slurm_job_ids"]) == 3
    assert tracked not in job["slurm_job_ids"]
    assert "did not come from the sbatch on PATH" in text_of(job)
    lab.wait(job["slurm_job_id"])
    (done,) = lab.finish(job["slurm_job_id"])
    assert done["status"] == "ok", text_of(done)
    assert written(lab) == {"out/a", "out/b", "out/c"}


@pytest.mark.slurm
def test_heterogeneous_jobs_of_a_program(slurm_lab: Lab) -> None:
    """Held: on one node no such job can start."""
    program(slurm_lab, "sbatch --hold -n1 : -n1 job.sh a; sbatch --hold job.sh b")
    job = submit(slurm_lab)
    first, second = job["slurm_job_ids"]
    assert slurm_lab.listed()[first]["slurm_job_status"] == "PENDING"
    subprocess.run(["scancel", first, second], check=True)
    slurm_lab.wait()
    (failed,) = slurm_lab.finish()
    assert f"of job {first}: CANCELLED" in text_of(failed)
    assert f"job {second}: CANCELLED" in text_of(failed)
    (closed,) = slurm_lab.finish(second, close_failed_jobs=True)
    assert closed["status"] == "ok"


@pytest.mark.slurm
def test_a_program_without_a_job_passes_on_what_sbatch_says(
    slurm_lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    program(slurm_lab, "sbatch --version; sbatch -p no-such-partition job.sh a; exit $?")
    job = submit(slurm_lab)
    assert "calls of sbatch that came to nothing: 1" in text_of(job)
    assert slurm_lab.listed() == {}
    shown = capfd.readouterr().err
    assert re.search("^slurm", shown, re.MULTILINE)
    assert "invalid partition specified: no-such-partition" in shown


@pytest.mark.slurm
def test_an_sbatch_whose_caller_was_killed_is_known(slurm_lab: Lab, before: Path) -> None:
    """The job is there, and nobody has noted its id: its token tells."""
    lab = slurm_lab
    stand_in(before, "sbatch", 'REAL "$@"; kill -9 $PPID; exit 0\n')
    program(lab, "sbatch job.sh a; echo code $?; sbatch job.sh b; true")
    job = submit(lab)
    assert job["status"] == "ok", text_of(job)
    assert len(job["slurm_job_ids"]) == 2
    os.unlink(before / "sbatch")
    finished(lab, job)
    assert written(lab) == {"out/a", "out/b"}


def test_jobs_of_a_program_wait_for_what_makes_their_inputs(lab: Lab, tmp_path: Path) -> None:
    """And others for all of them: a chain of three."""
    lab.script(f"until test -e {tmp_path}/go; do sleep 0.1; done; echo x > first", "first.sh")
    lab.script("cp first out/$1", "job.sh")
    lab.script("sleep 0.3; cp first out/$1", "slow.sh")
    lab.script(
        'mkdir -p out; one=$(sbatch --parsable job.sh a); sbatch -d "afterok:$one" slow.sh b',
        "submit.sh",
    )
    (lab.root / "submit.sh").chmod(0o755)
    lab.save()
    first = lab.schedule("sbatch first.sh", outputs=["first"])["slurm_job_id"]
    job = submit(lab, inputs=["first"])
    assert job["status"] == "ok", text_of(job)
    assert f"it waits for job {first}" in text_of(job)
    last = lab.schedule(["cat", "out/a", "out/b"], inputs=["out/b"], outputs=["out2"])
    assert last["status"] == "ok", text_of(last)
    states = {label: res["slurm_job_status"] for label, res in lab.listed().items()}
    assert states[job["slurm_job_id"]] == states[last["slurm_job_id"]] == "PENDING"
    (tmp_path / "go").touch()
    lab.wait()
    assert lab.listed()[last["slurm_job_id"]]["slurm_job_status"] == "COMPLETED"
    done = lab.finish(first, job["slurm_job_id"])
    assert [res["status"] for res in done] == ["ok", "ok"], done
    assert written(lab) == {"out/a", "out/b"}


def test_a_program_whose_jobs_cannot_wait_submits_nothing(local_lab: Lab) -> None:
    """Slurm cannot ask for all of some conditions and for any of others."""
    lab = local_lab
    lab.script("sleep 1; echo x > first", "first.sh")
    program(lab, "sbatch -d 'afterok:1?afterok:2' job.sh a")
    lab.schedule("sbatch first.sh", outputs=["first"])
    job = submit(lab, inputs=["first"])
    assert job["status"] == "impossible"
    assert "submitted no job" in text_of(job) or "before it had submitted" in text_of(job)
