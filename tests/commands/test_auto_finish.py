"""``schedule --auto-finish``: a job of the scheduler's finishes another one."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datalad_hpc.errors import StoreUnusable
from datalad_hpc.submitting import auto_finish
from datalad_hpc.submitting.auto_finish import _like
from tests.commands.conftest import QUIET, Lab, ask_store, stand_in, text_of
from tests.commands.soundness import assert_sound
from tests.helpers import wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

MARK = "[DATALAD SLURM RUN]"


@pytest.fixture(autouse=True)
def in_a_hurry(dataset: Dataset) -> None:
    dataset.config.set("datalad.hpc.poll-interval", "0.2", scope="local")


@pytest.fixture
def lab(lab: Lab) -> Iterator[Lab]:
    """On each scheduler; the jobs that it leaves have ended before the dataset goes."""
    yield lab
    logs = lab.root.glob(".git/datalad/hpc/auto-finish/*.log")
    wait_for(lambda: all("finish(" in path.read_text() for path in logs), timeout=30)


def is_all_finished(lab: Lab) -> bool:
    return ask_store(lab, "SELECT count(*) FROM jobs WHERE state != 'finished'") == [(0,)]


def log_of(lab: Lab, job: str) -> Path:
    return lab.root / ".git" / "datalad" / "hpc" / "auto-finish" / f"{job}.log"


def commits(lab: Lab) -> int:
    return lab.git("log", "--format=%s").count(MARK)


def test_a_job_is_finished_without_us(lab: Lab) -> None:
    res = lab.schedule("echo x > out", outputs=["out"], auto_finish=True)
    job, finisher = res["slurm_job_id"], res["auto_finish"]
    assert finisher.isdecimal()
    assert f"job {finisher} finishes it when it is over" in text_of(res)
    wait_for(lambda: is_all_finished(lab))
    assert ask_store(lab, "SELECT job_id FROM jobs") == [(job,)]
    assert lab.git("log", "-1", "--format=%an <%ae>").strip() == "Tester <tester@example.com>"
    wait_for(lambda: "committed as" in log_of(lab, job).read_text())
    assert_sound(lab.root)
    assert lab.changes() == ""


def test_a_sweep_is_finished_and_what_failed_of_it_stays_open(lab: Lab) -> None:
    res = lab.schedule(
        "test {n} != b && echo {n} > {n}.out",
        foreach={"n": ["a", "b", "c"]},
        outputs=["{n}.out"],
        auto_finish=True,
    )
    job = res["slurm_job_id"]
    wait_for(lambda: log_of(lab, job).exists() and "succeed" in log_of(lab, job).read_text())
    wait_for(lambda: lab.listed()[job]["slurm_job_status"] == "FAILED")
    assert commits(lab) == 2
    assert {res["status"] for res in lab.finish(close_failed_jobs=True)} == {"ok"}


def test_a_finish_by_hand_beside_it(lab: Lab) -> None:
    lab.schedule("echo x > out", outputs=["out"], auto_finish=True)
    results = lab.finish(wait=True, timeout=60)
    assert "error" not in {res["status"] for res in results}
    wait_for(lambda: is_all_finished(lab))
    assert commits(lab) == 1
    assert_sound(lab.root)


def test_a_chain(lab: Lab) -> None:
    """The last one may come first: it finishes those before it as well."""
    lab.schedule("echo x > a", outputs=["a"], auto_finish=True)
    lab.schedule("cat a > b", inputs=["a"], outputs=["b"], auto_finish=True)
    wait_for(lambda: is_all_finished(lab))
    assert commits(lab) == 2


def test_what_the_site_would_not_take(dataset: Dataset, scheduler_name: str) -> None:
    """The job is there all the same."""
    lab = Lab(dataset, scheduler_name)
    setting = {"slurm": "partition=none-such", "local": "--comment=" + "x" * 1024}[scheduler_name]
    dataset.config.set("datalad.hpc.auto-finish", setting, scope="local")
    res = lab.schedule("echo x > out", outputs=["out"], auto_finish=True)
    job = res["slurm_job_id"]
    assert (res["status"], res["auto_finish"]) == ("ok", "")
    assert "its automatic finish could not be submitted" in text_of(res)
    assert f"run `datalad finish {job}` when it is over" in text_of(res)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]


def test_a_store_that_cannot_be_read_by_then(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job itself has been submitted, and is said to be."""

    def locked(*arguments: Any) -> Any:
        raise StoreUnusable("The job store is locked")

    monkeypatch.setattr(auto_finish, "_before", locked)
    job = local_lab.schedule("echo x > out.txt", outputs=["out.txt"], auto_finish=True)
    assert job["status"] == "ok"
    assert "its automatic finish could not be submitted (The job store is locked)" in text_of(job)
    local_lab.wait()
    assert local_lab.finish()[-1]["status"] == "ok"


def test_a_setting_that_cannot_be_understood(local_lab: Lab) -> None:
    local_lab.dataset.config.set("datalad.hpc.auto-finish", "lots", scope="local")
    for name, more in (("out", {}), ("{n}", {"foreach": {"n": ["1"]}})):
        res = local_lab.schedule(f"echo > {name}", outputs=[name], auto_finish=True, **more)
        assert "Nothing was submitted: the setting datalad.hpc.auto-finish" in text_of(res)
    assert local_lab.listed() == {}


@pytest.mark.slurm
def test_killed_between_the_two_submissions(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    stand_in(
        before, "sbatch", 'case " $* " in *afterany*) kill -9 $PPID;; *) exec REAL "$@";; esac\n'
    )
    code = "from datalad.cli.main import main; main()"
    words = ["schedule", "--auto-finish", "--scheduler=slurm", "-o", "out", "--", "echo > out"]
    ended = subprocess.run([sys.executable, "-c", code, *words], cwd=lab.root, check=False)
    assert ended.returncode == -9
    (before / "sbatch").unlink()
    (job,) = lab.listed()
    assert job.isdecimal()
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert_sound(lab.root)


def test_lines_of_a_batch(local_lab: Lab) -> None:
    lines = [{"cmd": f"echo {n} > {n}", "outputs": [n]} for n in "ab"]
    results = local_lab.schedule_all(None, batch=lines, auto_finish=True)
    assert all(res["auto_finish"] for res in results)
    wait_for(lambda: is_all_finished(local_lab))
    assert commits(local_lab) == 2


def test_all_jobs_of_a_submission_program(local_lab: Lab) -> None:
    local_lab.script("echo x > $1; sleep 0.$1")
    local_lab.write("all.sh", "#!/bin/sh\nsbatch job.sh 1; sbatch job.sh 5\n")
    (local_lab.root / "all.sh").resolve().chmod(0o555)
    res = local_lab.schedule(["sh", "all.sh"], outputs=["1", "5"], submits=True, auto_finish=True)
    assert res["status"] == "ok", text_of(res)
    assert len(res["slurm_job_ids"]) == 2
    wait_for(lambda: is_all_finished(local_lab))
    assert {"1", "5"} < local_lab.committed()


def dry_run(lab: Lab, command: str, **options: Any) -> list[str]:
    res = lab.schedule(command, outputs=["out"], dry_run="basic", **options)
    line = res["dry_run"]["auto_finish"]
    return shlex.split(line) if line else []


def test_a_dry_run_shows_it(local_lab: Lab) -> None:
    assert dry_run(local_lab, "true") == []
    words = dry_run(
        local_lab,
        "sbatch -p long --account=lab -t 0-00:30 -N 4 --wrap true",
        auto_finish=True,
        resources=["qos=high 64G"],
    )
    assert words[:3] == ["sbatch", "--job-name=finish-JOBID", "--dependency=afterany:JOBID"]
    assert {"--partition=long", "--account=lab", "--qos=high", "--time=30"} < set(words)
    assert not any(word.startswith(("--mem", "--nodes")) for word in words)
    local_lab.dataset.config.set("datalad.hpc.auto-finish", "partition=io 2:00", scope="local")
    words = dry_run(local_lab, "sbatch -p long --wrap true", auto_finish=True)
    assert {"--partition=io", "--time=02:00:00"} < set(words)
    assert "--partition=long" not in words


def test_modules_of_the_dataset_are_not_imported(local_lab: Lab, tmp_path: Path) -> None:
    song = tmp_path / "song"
    local_lab.write("datalad.py", f"open({str(song)!r}, 'w')\n")
    local_lab.schedule("echo x > out", outputs=["out"], auto_finish=True)
    wait_for(lambda: is_all_finished(local_lab))
    assert not song.exists()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("", None), ("UNLIMITED", None), ("0:30", "1"), ("30:59", "30"), ("1-1", "60")],
)
def test_it_asks_for_no_more_time_than_the_job(text: str, minutes: str | None) -> None:
    assert _like({"time": text}).get("time") == minutes


def test_a_job_that_is_tried_again_is_finished_too(lab: Lab) -> None:
    lab.script("echo x > out; test -e .git/repaired")
    first = lab.schedule("sbatch job.sh", outputs=["out"], auto_finish=True)
    wait_for(lambda: log_of(lab, first["slurm_job_id"]).exists())
    lab.wait()
    (lab.root / ".git" / "repaired").touch()
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["auto_finish"] not in ("", first["auto_finish"])
    wait_for(lambda: is_all_finished(lab))
    assert commits(lab) == 1


def test_a_recorded_job_that_runs_again(local_lab: Lab) -> None:
    local_lab.run("echo x > out", outputs=["out"])
    (again,) = local_lab.reschedule(auto_finish=True)
    assert again["auto_finish"]
    wait_for(lambda: is_all_finished(local_lab))
    assert commits(local_lab) == 2
