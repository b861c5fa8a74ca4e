"""Arrays of which some tasks failed: committed for the good ones, the rest run again alone."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc.commit import restoring
from tests.commands.conftest import Lab, text_of

FAILS_AT_FIRST = """\
mkdir -p out
i=$SLURM_ARRAY_TASK_ID
echo "half $i" > out/part-$i.dat
if [ $i = 3 ] && ! [ -e repaired ]; then exit 7; fi
echo "whole $i" > out/part-$i.dat
"""
OUTPUTS = ["out/part-{task}.dat"]


def record_of(lab: Lab, revision: str = "HEAD") -> dict[str, Any]:
    text = lab.message(revision).partition("=== Do not change lines below ===")[2]
    found: dict[str, Any] = json.loads(text.partition("^^^")[0])
    return found


def parts(lab: Lab, revision: str = "HEAD") -> set[str]:
    return {path for path in lab.committed(revision) if path.startswith("out/")}


def an_array(lab: Lab, script: str = FAILS_AT_FIRST, array: str = "0-4", **options: Any) -> str:
    """An array that is over; its id."""
    lab.script(script)
    job = lab.schedule(f"sbatch --array={array} job.sh", **{"outputs": OUTPUTS, **options})
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    return str(job["slurm_job_id"])


def tasks_in_store(lab: Lab, job_id: str) -> dict[int, str]:
    """The commit that covers each task."""
    path = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    query = 'SELECT number, tasks."commit" FROM tasks JOIN jobs ON jobs.key = job WHERE job_id = ?'
    with contextlib.closing(sqlite3.connect(path)) as store:
        return dict(store.execute(query, [job_id]).fetchall())


def test_the_good_tasks_alone(lab: Lab) -> None:
    lab.write("out/part-3.dat", "old\n")
    job_id = an_array(lab)
    (left,) = lab.finish()
    assert left["status"] == "impossible"
    for option in ("--commit-good-tasks", "--close-failed-jobs", "--commit-failed-jobs"):
        assert option in text_of(left)
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert "task 3 are not in it" in text_of(done)
    assert "left as they are: out/part-3.dat" in text_of(done)
    good = {f"out/part-{task}.dat" for task in (0, 1, 2, 4)}
    assert parts(lab) == good
    assert lab.message().splitlines()[0].endswith("Failed (1 of 5 tasks)")
    logs = {path for path in lab.committed() if path.startswith(f"slurm-{job_id}_")}
    assert len(logs) == 5
    record = record_of(lab)
    assert record["outputs"] == ["out/part-*.dat"]
    assert record["hpc"]["task_outputs"] == OUTPUTS
    assert record["hpc"]["covers"] == "0-2,4"
    assert record["hpc"]["tasks"] == {"COMPLETED": "0-2,4", "FAILED": "3"}
    commit = lab.git("rev-parse", "HEAD").strip()
    assert tasks_in_store(lab, job_id) == {**dict.fromkeys((0, 1, 2, 4), commit), 3: ""}
    assert (lab.root / "out/part-3.dat").read_text() == "half 3\n"
    assert lab.listed() == {}
    (lab.root / "repaired").touch()
    (again,) = lab.reschedule(failed_tasks=True)
    assert again["status"] == "ok", text_of(again)
    assert claimed(lab, again) == ["out/part-3.dat"]
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    (lab.root / "repaired").unlink()
    assert parts(lab) == {"out/part-3.dat"}
    record = record_of(lab)
    assert record["chain"] == [commit]
    assert record["cmd"] == "sbatch --array=3 job.sh"
    assert record["hpc"]["covers"] == "3"
    assert record["hpc"]["tasks"] == {"COMPLETED": "3"}
    assert record["outputs"] == ["out/part-*.dat"]
    assert (lab.root / "out/part-3.dat").read_text() == "whole 3\n"
    assert lab.changes() == ""
    lab.git("fsck")
    lab.git("annex", "fsck", "-q")


def claimed(lab: Lab, job: dict[str, Any]) -> list[str]:
    """Declared outputs that a job has reserved."""
    path = lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    query = (
        "SELECT path FROM claims JOIN jobs ON jobs.key = job "
        "WHERE role = 'output' AND job_id = ? ORDER BY path"
    )
    with contextlib.closing(sqlite3.connect(path)) as store:
        return [path for (path,) in store.execute(query, [job["slurm_job_id"]])]


def test_an_array_without_a_good_task_stays_open(local_lab: Lab) -> None:
    job_id = an_array(local_lab, "exit 1", "1-2")
    (left,) = local_lab.finish(commit_good_tasks=True)
    assert left["status"] == "impossible"
    assert "--close-failed-jobs" in text_of(left)
    assert "--commit-good-tasks" not in text_of(left)
    assert job_id in local_lab.listed()


def test_a_plain_failed_job_stays_open_and_an_array_that_is_fine_does_not(local_lab: Lab) -> None:
    local_lab.script("exit 1", "bad.sh")
    bad = local_lab.schedule("sbatch bad.sh", outputs=["x"])["slurm_job_id"]
    an_array(local_lab, array="0-2")
    left, done = local_lab.finish(commit_good_tasks=True)
    assert (left["status"], done["status"]) == ("impossible", "ok")
    assert "--failed-tasks" not in text_of(done)
    assert record_of(local_lab)["hpc"]["covers"] == "0-2"
    assert list(local_lab.listed()) == [bad]


def test_outputs_that_nobody_can_tell_apart_are_all_committed(local_lab: Lab) -> None:
    an_array(local_lab, outputs=["out/", "sum.txt"])
    (done,) = local_lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert "holds those of the failed tasks too" in text_of(done)
    assert parts(local_lab) == {f"out/part-{task}.dat" for task in range(5)}
    assert record_of(local_lab)["hpc"]["covers"] == "0-4"
    assert local_lab.changes() == ""


def test_a_good_task_has_to_have_made_its_output(local_lab: Lab) -> None:
    job_id = an_array(local_lab, "[ $SLURM_ARRAY_TASK_ID = 1 ]", "0-2", outputs=["x-{task}"])
    for close in (False, True):
        (left,) = local_lab.finish(commit_good_tasks=True, close_failed_jobs=close)
        assert left["status"] == "error"
        assert "did not produce x-1;" in text_of(left)
    assert job_id in local_lab.listed()


def test_outputs_that_existed_are_what_they_were(local_lab: Lab) -> None:
    """Task 1 fails and leaves its output alone, 2 fails and changes it, 3 deletes it; 4 is new."""
    lab = local_lab
    for task in (0, 1, 2, 3):
        lab.write(f"out/part-{task}.dat", f"old {task}\n")
    lab.write("unlocked/2", "old\n")
    lab.git("annex", "unlock", "unlocked/2")
    lab.save()
    script = """\
case $SLURM_ARRAY_TASK_ID in
0) echo new > out/part-0.dat; mkdir -p unlocked; echo x > unlocked/0;;
1) exit 1;;
2) echo changed > out/part-2.dat; exit 1;;
3) rm out/part-3.dat; exit 1;;
4) echo new > out/part-4.dat; exit 1;;
esac
"""
    an_array(lab, script, outputs=[*OUTPUTS, "unlocked/{task}"])
    assert not (lab.root / "out/part-1.dat").is_symlink()
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert parts(lab) == {"out/part-0.dat"}
    named = text_of(done).partition("left as they are: ")[2]
    assert named.startswith("out/part-2.dat, out/part-4.dat, out/part-3.dat;")
    assert (lab.root / "out/part-1.dat").is_symlink()
    assert (lab.root / "out/part-2.dat").read_text() == "changed\n"
    assert lab.changes().splitlines() == [
        " T out/part-2.dat",
        " D out/part-3.dat",
        "?? out/part-4.dat",
    ]


@pytest.mark.parametrize("layout", ["branches", "octopus"])
def test_other_layouts_hold_the_good_tasks_too(local_lab: Lab, layout: str) -> None:
    job_id = an_array(local_lab)
    (done,) = local_lab.finish(commit_good_tasks=True, **{layout: True})
    assert done["status"] == "ok", text_of(done)
    revision = f"job-{job_id}" if layout == "branches" else "HEAD^2"
    assert parts(local_lab, revision) == {f"out/part-{task}.dat" for task in (0, 1, 2, 4)}
    left = "?? out/\n" if layout == "branches" else "?? out/part-3.dat\n"
    assert local_lab.changes() == left


def test_in_an_alternative_directory_the_others_stay(local_lab: Lab, tmp_path: Path) -> None:
    lab = local_lab
    alternative = tmp_path / "scratch"
    alternative.mkdir()
    an_array(lab, alt_dir=str(alternative))
    assert lab.finish()[0]["status"] == "impossible"
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert str(alternative) in text_of(done)
    assert parts(lab) == {f"out/part-{task}.dat" for task in (0, 1, 2, 4)}
    assert os.listdir(alternative / "out") == ["part-3.dat"]
    assert lab.changes() == ""


def test_outputs_in_a_subdataset(local_lab: Lab) -> None:
    local_lab.dataset.create("out", result_renderer="disabled")
    an_array(local_lab)
    (done,) = local_lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    listed = local_lab.git("ls-tree", "--name-only", "HEAD", folder="out").split()
    assert [name for name in listed if name.startswith("part")] == [
        f"part-{task}.dat" for task in (0, 1, 2, 4)
    ]
    assert local_lab.changes("out") == "?? part-3.dat\n"


def test_in_a_worktree_of_its_own(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.write("out/part-3.dat", "old\n")
    local_lab.script(FAILS_AT_FIRST.replace('echo "half $i" > out/part-$i.dat\n', ""))
    local_lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    lab = Lab(Dataset(tmp_path / "other"), "local")
    lab.schedule("sbatch --array=2-3 job.sh", outputs=OUTPUTS)
    lab.wait()
    (done,) = lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert parts(lab) == {"out/part-2.dat"}
    assert (lab.root / "out/part-3.dat").is_symlink()
    assert lab.changes() == ""


def test_what_cannot_be_put_back_is_told(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are committed, and the job is over."""
    local_lab.write("x-1", "old\n")
    an_array(local_lab, "[ $SLURM_ARRAY_TASK_ID = 2 ] && echo x > x-2", "1-2", outputs=["x-{task}"])

    def full(_new: Path, old: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(old))

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "put_in_place", full)
        (done,) = local_lab.finish(commit_good_tasks=True)
    assert done["status"] == "ok", text_of(done)
    assert "x-1" in text_of(done)
    assert "git checkout" in text_of(done)
    assert "x-2" in local_lab.committed()
    local_lab.git("checkout", "x-1")
    assert local_lab.changes() == ""
    assert local_lab.listed() == {}


KILLER = """
import os, signal, sys
from datalad_hpc.finish import completing
from datalad_hpc.store import Store
from datalad_hpc.commit import recording, restoring

place, what = sys.argv[1:]

def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

if place == "before the move":
    recording.move_refs = die
elif place == "before the restore":
    completing.put_back = die
elif place == "within the restore":
    restoring._link_again = die
else:
    Store.finished = die

import datalad.api
datalad.api.finish(commit_good_tasks=True, **({what: True} if what else {}))
"""


@pytest.mark.parametrize(
    ("place", "layout"),
    [
        ("before the move", ""),
        ("before the restore", ""),
        ("within the restore", "branches"),
        ("before the end is noted", ""),
    ],
)
def test_killed_in_the_middle(local_lab: Lab, place: str, layout: str) -> None:
    """The next plain finish ends the job, unless nothing was committed yet."""
    lab = local_lab
    for task in (0, 3):
        lab.write(f"out/part-{task}.dat", "old\n")
    script = FAILS_AT_FIRST.replace('echo "half $i" > out/part-$i.dat\n', "")
    job_id = an_array(lab, script)
    killed = subprocess.run([sys.executable, "-c", KILLER, place, layout], cwd=lab.root)
    assert killed.returncode == -signal.SIGKILL
    moved = place != "before the move"
    again = {} if moved else {"commit_good_tasks": True, **({layout: True} if layout else {})}
    (done,) = lab.finish(**again)
    assert done["status"] == "ok", text_of(done)
    assert ("interruption" in text_of(done)) == moved
    revision = f"job-{job_id}" if layout else "HEAD"
    good = (0, 1, 2, 4)
    assert parts(lab, revision) == {f"out/part-{task}.dat" for task in good}
    assert record_of(lab, revision)["hpc"]["covers"] == "0-2,4"
    commit = lab.git("rev-parse", revision).strip()
    assert tasks_in_store(lab, job_id) == {**dict.fromkeys(good, commit), 3: ""}
    assert lab.changes() == ""
    assert (lab.root / "out/part-3.dat").is_symlink()
    assert lab.listed() == {}
    assert lab.finish()[0]["status"] == "notneeded"
