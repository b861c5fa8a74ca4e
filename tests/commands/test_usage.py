"""``datalad hpc-usage``: the same numbers from store, records and scheduler."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, ask_store, text_of
from tests.helpers import wait_for

BURN = (
    "import time; block = bytearray(60 * 2**20); end = time.process_time() + 1.0\n"
    "while time.process_time() < end: pass\n"
    "time.sleep({sleep})"
)


def burning(sleep: float = 0) -> str:
    """A command that needs a second of processor time, and 60 megabytes."""
    return shlex.join([sys.executable, "-c", BURN.format(sleep=sleep)])


def usage(dataset: Dataset, *names: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset.hpc_usage(list(names) or None, **QUIET, **options)
    return found


def jobs_in(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Results of jobs by id."""
    return {res["slurm_job_id"]: res for res in results if res.get("usage")}


def numbers(results: list[dict[str, Any]]) -> dict[str, Any]:
    """What has to be the same from all sources; the templates of sweeps are in the store only."""
    told = ("asked", "used", "states", "number_of_tasks", "commits", "scheduler")
    return {job_id: [res[name] for name in told] for job_id, res in jobs_in(results).items()}


def clone_of(lab: Lab, tmp_path: Path) -> Dataset:
    """A clone, which has neither the store nor the contents of files."""
    subprocess.run(["git", "clone", "-q", lab.root, tmp_path / "clone"], check=True)
    return Dataset(tmp_path / "clone")


# All sources


def test_a_job_that_burns_from_all_sources(lab: Lab, tmp_path: Path) -> None:
    lab.script(f"#SBATCH --mem=400M --time=10 --cpus-per-task=2\n{burning(0.6)}\necho > made")
    job_id = lab.schedule("sbatch job.sh", outputs=["made"])["slurm_job_id"]
    lab.wait()
    # Slurm's accounting may be late, and its queue knows nothing of memory.

    def is_told() -> bool:
        told = usage(lab.dataset, job_id)[0]
        return all("memory" in told.get(kind, {}) for kind in ("asked", "used"))

    wait_for(is_told, timeout=60, interval=0.5)
    (open_job,) = jobs_in(usage(lab.dataset, job_id)).values()
    assert open_job["commits"] == []
    (done,) = lab.finish()
    (job,) = jobs_in(usage(lab.dataset)).values()
    assert job["commits"] == [done["commit"]]
    assert (job["asked"], job["used"]) == (open_job["asked"], open_job["used"])
    limit = {"time_limit": 600} if lab.scheduler == "slurm" else {}
    assert job["asked"] == {"cpus": 2, "nodes": 1, "memory": 400 * 2**20, **limit}
    used = job["used"]
    assert 1.0 <= used["cpu_time"] < 2.5
    assert 1.5 <= used["elapsed"] < 60
    assert used["cpu_efficiency"] == pytest.approx(used["cpu_time"] / used["elapsed"] / 2)
    assert 60 * 2**20 < used["memory"] < 150 * 2**20
    of_records = usage(clone_of(lab, tmp_path))
    assert numbers(of_records) == numbers(usage(lab.dataset))
    for name in ("HEAD", "HEAD~1..", done["commit"], done["commit"][:12], job_id):
        assert numbers(usage(Dataset(tmp_path / "clone"), name)) == numbers(of_records)
        assert numbers(usage(lab.dataset, name)) == numbers(of_records)


def test_an_array_and_its_tasks(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.script("sleep 0.$SLURM_ARRAY_TASK_ID; echo > made; [ $SLURM_ARRAY_TASK_ID != 3 ]")
    job_id = local_lab.schedule("sbatch --array=1-3 job.sh", outputs=["made"])["slurm_job_id"]
    local_lab.wait()
    local_lab.finish(commit_failed_jobs=True)
    (job,) = jobs_in(usage(local_lab.dataset)).values()
    assert job["states"] == {"COMPLETED": 2, "FAILED": 1}
    assert 0.2 <= job["used"]["median_elapsed"] < job["used"]["elapsed"]
    tasks = jobs_in(usage(local_lab.dataset, tasks=True))
    assert sorted(tasks) == [f"{job_id}_{index}" for index in (1, 2, 3)]
    assert tasks[f"{job_id}_3"]["used"]["elapsed"] == job["used"]["elapsed"]
    assert usage(local_lab.dataset, f"{job_id}_2")[0]["used"] == tasks[f"{job_id}_2"]["used"]
    # The facts file is not here, and with it what each task used.
    clone = clone_of(local_lab, tmp_path)
    assert numbers(usage(clone)) == numbers(usage(local_lab.dataset))
    assert list(jobs_in(usage(clone, tasks=True))) == [job_id]
    (facts,) = local_lab.root.glob("*.env.json")
    (Path(clone.path) / facts.name).unlink()
    (Path(clone.path) / facts.name).write_bytes(facts.read_bytes())
    assert numbers(usage(clone, tasks=True)) == numbers(usage(local_lab.dataset, tasks=True))


def test_a_sweep_is_one_job_again(lab: Lab, tmp_path: Path) -> None:
    command = "mkdir -p {name}; echo > {name}/file; [ {name} != c ]"
    job = lab.schedule(command, foreach=["name=a,b,c"], outputs=["{name}/"], resources=["1G"])
    lab.wait()
    lab.finish()
    sweep = job["slurm_job_id"]
    (told,) = jobs_in(usage(lab.dataset, sweep)).values()
    assert told["states"] == {"COMPLETED": 2, "FAILED": 1}
    assert told["command"] == command
    lab.finish(commit_failed_jobs=True)
    (told,) = jobs_in(usage(lab.dataset)).values()
    assert len(told["commits"]) == told["number_of_tasks"] == 3
    # As above: what is committed at once may lack it.
    assert told["asked"].get("memory", 2**30) == 2**30
    clone = clone_of(lab, tmp_path)
    assert numbers(usage(clone)) == numbers(usage(lab.dataset))
    both = [numbers(usage(each, f"{sweep}_1", tasks=True)) for each in (clone, lab.dataset)]
    assert both[0] == both[1]
    assert list(both[0]) == [f"{sweep}_1"]


def test_attempts_are_jobs_of_their_own(local_lab: Lab, tmp_path: Path) -> None:
    fails = "[ -e repaired ] || [ $SLURM_ARRAY_TASK_ID = 0 ]"
    local_lab.script(f"echo > made; {fails}")
    first = local_lab.schedule("sbatch --array=0-2 --mem=1G -t 3:00 job.sh", outputs=["made"])[
        "slurm_job_id"
    ]
    command = "mkdir -p {name}; echo > {name}/file; [ -e repaired ] || [ {name} != c ]"
    sweep = local_lab.schedule(command, foreach=["name=a,c"], outputs=["{name}/"])["slurm_job_id"]
    local_lab.wait()
    (local_lab.root / "repaired").touch()
    again = local_lab.reschedule(failed=True, resources=["2G"], scheduler=None)
    assert [res["status"] for res in again] == ["ok", "ok"], list(map(text_of, again))
    second, third = (res["slurm_job_id"] for res in again)
    local_lab.wait()
    running = numbers(usage(local_lab.dataset, second))
    assert {res["status"] for res in local_lab.finish()} == {"ok"}
    told = jobs_in(usage(local_lab.dataset))
    assert {job_id: told[job_id]["states"] for job_id in told} == {
        first: {"COMPLETED": 1, "FAILED": 2},
        second: {"COMPLETED": 2},
        sweep: {"COMPLETED": 1, "FAILED": 1},
        third: {"COMPLETED": 1},
    }
    assert {job_id: told[job_id]["asked"].get("memory") for job_id in (first, second, third)} == {
        first: 2**30,
        second: 2 * 2**30,
        third: 2 * 2**30,
    }
    assert told[first]["command"] == "sbatch --array=0-2 --mem=1G -t 3:00 job.sh"
    assert "--mem=2G" in told[second]["command"]
    assert list(running) == [first, second]
    assert list(jobs_in(usage(local_lab.dataset, first))) == [first]
    clone = clone_of(local_lab, tmp_path)
    of_store, of_records = numbers(usage(local_lab.dataset)), numbers(usage(clone))
    assert of_records == of_store


def test_each_job_of_a_submission_program(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.script("mkdir -p out; echo > out/$1")
    local_lab.script("sbatch --mem=1G job.sh a; sbatch -c 2 --array=1-2 job.sh b", "submit.sh")
    (local_lab.root / "submit.sh").chmod(0o755)
    local_lab.save("submit.sh")
    job = local_lab.schedule("./submit.sh", submits=True, outputs=["out/"])
    local_lab.wait()
    one, two = job["slurm_job_ids"]
    local_lab.finish()
    told = jobs_in(usage(local_lab.dataset, one))
    assert told[one]["asked"] == {"cpus": 1, "nodes": 1, "memory": 2**30}
    assert told[two]["asked"] == {"cpus": 2, "nodes": 1}
    assert told[two]["number_of_tasks"] == 2
    assert list(jobs_in(usage(local_lab.dataset, two))) == [two]
    clone = clone_of(local_lab, tmp_path)
    assert numbers(usage(clone)) == numbers(usage(local_lab.dataset))
    assert list(jobs_in(usage(clone, two))) == [two]


# Names


def test_names_that_mean_nothing_and_jobs_that_wait(local_lab: Lab) -> None:
    (nothing,) = usage(local_lab.dataset)
    assert nothing["status"] == "notneeded"
    local_lab.script("until [ -e go ]; do sleep 0.05; done")
    job_id = local_lab.schedule("sbatch job.sh", outputs=["made"])["slurm_job_id"]
    wait_for(lambda: local_lab.listed()[job_id]["slurm_job_status"] == "RUNNING")
    try:
        told = usage(local_lab.dataset, job_id, "4711", "no/such..thing", "--all")
        (lacks,) = usage(local_lab.dataset, f"{job_id}_9")
    finally:
        (local_lab.root / "go").touch()
    running = jobs_in(told)[job_id]
    assert running["states"] == {"RUNNING": 1}
    assert running["used"].keys() == {"elapsed", "median_elapsed"}
    unknown = [res for res in told if res["status"] == "impossible"]
    assert [res["slurm_job_id"] for res in unknown] == ["4711", "no/such..thing", "--all"]
    assert "no job 4711" in text_of(unknown[0])
    assert f"Job {job_id} has no task 9" in text_of(lacks)
    local_lab.wait()


def test_a_name_of_a_job_and_of_a_commit(local_lab: Lab, caplog: Any) -> None:
    local_lab.run("sbatch --wrap 'echo > made'", outputs=["made"])
    commit = local_lab.git("rev-parse", "HEAD").strip()
    # As if its scheduler called jobs like that: some commit's name begins with any number.
    ask_store(local_lab, f"UPDATE jobs SET job_id = '{commit[:8]}'")
    assert list(jobs_in(usage(local_lab.dataset, commit[:8]))) == [commit[:8]]
    assert "the beginning of a commit's name as well" in caplog.text
    assert list(jobs_in(usage(local_lab.dataset, commit[:9]))) == ["1"]


def test_a_branch_is_its_history_and_head_is_a_commit(local_lab: Lab, tmp_path: Path) -> None:
    ids = [
        local_lab.run(f"sbatch --wrap 'echo > {name}'", outputs=[name])["slurm_job_id"]
        for name in ("a", "b")
    ]
    branch = local_lab.git("branch", "--show-current").strip()
    clone = clone_of(local_lab, tmp_path)
    for name, expected in (
        (branch, ids),
        (f"origin/{branch}", ids),
        ("HEAD", ids[1:]),
        ("HEAD~1", ids[:1]),
        ("HEAD~1..", ids[1:]),
        ("HEAD~2..HEAD~1", ids[:1]),
    ):
        assert list(jobs_in(usage(clone, name))) == expected, name


def test_records_of_others_tell_what_they_tell(local_lab: Lab) -> None:
    recorded = Path(__file__).parent.parent / "data" / "records" / "datalad-slurm-completed.txt"
    local_lab.git("commit", "-q", "--allow-empty", "-F", str(recorded))
    hostile = {
        "cmd": "./fit\x1b[2J",
        "outputs": [],
        "slurm_job_id": 12,
        "hpc": {
            "asked": {"memory": "4G", "cpus": -1, "time_limit": 1e999},
            "elapsed": [],
            "usage_by_job": {"12": {"states": {"X": "many"}}, "13": 7},
            "facts": "../../etc/passwd",
            "state": 5,
        },
    }
    text = json.dumps(hostile)
    local_lab.git(
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "[DATALAD SLURM RUN] Slurm job 12: Completed\n\n=== Do not change lines below ===\n"
        f"{text}\n^^^ Do not change lines above ^^^",
    )
    told = jobs_in(usage(local_lab.dataset))
    assert len(told) == 2
    assert all((job["asked"], job["used"]) == ({}, {}) for job in told.values())


# What the user sees


def test_the_table_and_the_picture(local_lab: Lab, tmp_path: Path, monkeypatch: Any) -> None:
    command = "echo > {name}"
    done = local_lab.run(command, foreach=["name=a,b,c"], outputs=["{name}"], resources=["2 300M"])
    assert done["status"] == "ok", text_of(done)
    monkeypatch.chdir(tmp_path)
    call = ["datalad", "hpc-usage", "-d", str(local_lab.root), "--plot", "usage.svg"]
    shown = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    assert len(shown.splitlines()) > 3, shown
    titles, job = shown.splitlines()[1:3]
    assert titles.split()[:4] == ["job", "command", "tasks", "elapsed"]
    assert "echo > {name}" in job
    assert "300M" in job
    assert job.endswith("COMPLETED")
    assert "Next time, for echo (1 job with 3 tasks):" in shown
    assert "-r '0:05" in shown
    assert "usage.svg" in shown.splitlines()[0]
    assert ElementTree.parse(tmp_path / "usage.svg").getroot().tag.endswith("svg")
    assert local_lab.changes() == ""


def test_a_picture_is_refused_before_anybody_is_asked(local_lab: Lab) -> None:
    (res,) = usage(local_lab.dataset, "4711", plot="usage.pdf")
    assert res["status"] == "impossible"
    assert "Nothing was changed: the name of a plot" in text_of(res)
    local_lab.run("sbatch --wrap 'echo > made'", outputs=["made"])
    *_, res = usage(local_lab.dataset, plot="none/usage.png")
    assert res["status"] == "error"
    assert "none" in text_of(res)
