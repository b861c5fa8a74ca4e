"""``hpc-cancel`` beside others, with jobs that take their time, and where it is cut short."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.cancel import asking
from datalad_hpc.errors import GitFailed, SchedulerUnreachable
from datalad_hpc.finish import closing
from datalad_hpc.schedulers.local import Local
from tests.commands.conftest import Lab, ask_store, text_of
from tests.commands.test_cancel import cancel, running, sweep
from tests.commands.test_machine_signals import ended, send, started
from tests.helpers import wait_for

DEAF = "trap '' TERM CONT; echo begun > begun.txt; until test -e go; do sleep 0.1; done"


def let_go(lab: Lab) -> None:
    (lab.root / "go").touch()


def wish(lab: Lab) -> bool:
    return ask_store(lab, "SELECT cancelled != '' FROM jobs") == [(1,)]


def test_a_job_that_takes_long_to_end_is_closed_by_finish(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.5)
    job = running(lab, DEAF, outputs=["begun.txt"])
    (left,) = cancel(lab, job)
    assert (left["status"], left["outcome"]) == ("ok", "ending")
    assert f"Job {job} was told to end and has not yet" in text_of(left)
    # It may still write: nobody else can have its outputs.
    refused = lab.schedule("sbatch job.sh", outputs=["begun.txt"])
    assert f"begun.txt (job {job})" in text_of(refused)
    (waits,) = lab.finish()
    assert f"it was told to end (`datalad hpc-cancel {job}`" in text_of(waits)
    let_go(lab)
    lab.wait(job)
    (closed,) = lab.finish()
    assert closed["status"] == "ok"
    assert f"Job {job} was cancelled by the user: CANCELLED" in text_of(closed)
    assert "begun.txt" in text_of(closed)
    assert lab.listed() == {}


def test_tasks_of_a_sweep_are_closed_by_finish(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = local_lab
    monkeypatch.setattr(asking, "PATIENCE", 0.0)
    job = sweep(lab, "echo x > out-{n}.txt; sleep 60", 2)
    wait_for(lambda: (lab.root / "out-1.txt").exists())
    (left,) = cancel(lab, f"{job}_1")
    assert left["outcome"] == "ending"
    wait_for(lambda: "CANCELLED" in lab.listed()[job]["tasks"])
    live, closed = sorted(lab.finish(), key=lambda result: result["status"])
    assert (live["status"], closed["status"]) == ("impossible", "ok")
    assert closed["slurm_job_id"] == f"{job}_1"
    assert "cancelled by the user" in text_of(closed)
    assert cancel(lab, job)[0]["outcome"] in ("closed", "ending")


def test_what_was_killed_before_the_scheduler_was_told_is_remembered(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    with monkeypatch.context() as patch:

        def down(*_arguments: Any) -> None:
            raise SchedulerUnreachable("it is down")

        patch.setattr(Local, "cancel", down)
        (failed,) = cancel(lab, job)
    assert failed["status"] == "error"
    assert f"Job {job} may run on" in text_of(failed)
    assert "it is down" in text_of(failed)
    assert wish(lab)
    assert lab.listed()[job]["slurm_job_status"] == "RUNNING"
    assert "was told to end" in text_of(lab.finish()[0])
    assert cancel(lab, job)[0]["outcome"] == "closed"


def test_what_the_scheduler_refuses_is_not_remembered(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    with monkeypatch.context() as patch:
        patch.setattr(Local, "cancel", lambda *_: {job: "Access/permission denied"})
        (failed,) = cancel(lab, job)
    assert failed["status"] == "error"
    assert "local refuses to end it: Access/permission denied" in text_of(failed)
    assert not wish(lab)
    cancel(lab, job)


def test_two_at_once(local_lab: Lab) -> None:
    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    program = "import sys; from datalad.api import Dataset\n" + (
        "Dataset(sys.argv[1]).hpc_cancel(all_jobs=True, result_renderer='disabled')"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(lab.root)])
    (done,) = cancel(lab, job)
    assert other.wait(60) == 0
    assert done["status"] == "ok"
    assert done["outcome"] in ("closed", "over")
    assert lab.listed() == {}


def test_beside_a_finish_that_has_the_lock(local_lab: Lab) -> None:
    from datalad_hpc.workplace import Workplace

    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    found: list[Any] = []
    with Workplace.of(str(lab.root), "").save_lock():
        # It ends the job at once, and closes it when it may.
        beside = threading.Thread(target=lambda: found.extend(cancel(lab, job)))
        beside.start()
        wait_for(lambda: lab.listed()[job]["slurm_job_status"] == "CANCELLED")
        assert wish(lab)
    beside.join(60)
    assert [res["outcome"] for res in found] == ["closed"]


def test_a_job_that_is_being_submitted_stays_reserved(local_lab: Lab) -> None:
    lab = local_lab
    job = running(lab, outputs=["begun.txt"])
    ask_store(lab, "UPDATE jobs SET state = 'submitting', scheduler = 'none'")
    label = f"submission-{ask_store(lab, 'SELECT token FROM jobs')[0][0][:8]}"
    ask_store(lab, "UPDATE jobs SET job_id = ''")
    results = cancel(lab, label)
    assert results[-1]["status"] in ("impossible", "error")
    assert ask_store(lab, "SELECT state FROM jobs") == [("submitting",)]
    ask_store(lab, f"UPDATE jobs SET state = 'open', scheduler = 'local', job_id = '{job}'")
    assert cancel(lab, job)[0]["outcome"] == "closed"


def test_one_that_cannot_be_put_back_stops_none_of_the_others(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = local_lab
    monkeypatch.setattr(asking, "PATIENCE", 0.0)
    stuck = running(lab, DEAF, outputs=["begun.txt"])
    cancel(lab, stuck)
    good = lab.schedule("echo x > good.txt", outputs=["good.txt"])["slurm_job_id"]
    let_go(lab)
    lab.wait()
    with monkeypatch.context() as patch:

        def broken(*_arguments: Any) -> None:
            raise GitFailed("an object is missing")

        patch.setattr(closing, "restore", broken)
        told = {res["slurm_job_id"]: res for res in lab.finish() if "slurm_job_id" in res}
        assert (told[good]["status"], told[stuck]["status"]) == ("ok", "error")
        assert f"Job {stuck} stays open" in text_of(told[stuck])
        assert "an object is missing" in text_of(told[stuck])
        (left,) = cancel(lab, stuck)
        assert left["outcome"] == "failed"
    assert cancel(lab, stuck)[0]["outcome"] == "closed"


def test_ctrl_c_while_it_waits(local_lab: Lab) -> None:
    lab = local_lab
    job = running(lab, DEAF, outputs=["begun.txt"])
    command = started(lab, "hpc-cancel", job)
    try:
        wait_for(lambda: wish(lab))
        send(command, signal.SIGINT)
        said = ended(command, signal.SIGINT)
    finally:
        let_go(lab)
    assert "what was asked for stays asked for" in said
    assert wish(lab)
    lab.wait(job)
    assert cancel(lab, job)[0]["outcome"] == "closed"


def test_another_worktree(local_lab: Lab, tmp_path: Path) -> None:
    from datalad.api import Dataset

    lab = local_lab
    here = running(lab, outputs=["begun.txt"])
    lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    other = Lab(Dataset(tmp_path / "other"), "local")
    there = running(other, outputs=["other.txt"])
    left, ended = sorted(cancel(other, all_jobs=True), key=lambda res: str(res["status"]))
    assert (left["status"], left["slurm_job_id"]) == ("impossible", here)
    assert f"`datalad hpc-cancel -d {lab.root} {here}`" in text_of(left)
    assert (ended["slurm_job_id"], ended["outcome"]) == (there, "closed")
    (other.root / "begun.txt").unlink()
    there = running(other, outputs=["other.txt"])
    shutil.rmtree(other.root)
    # Nobody is there any more who could do it.
    assert [res["outcome"] for res in cancel(lab, all_jobs=True)] == ["closed", "closed"]
    assert lab.listed() == {}
