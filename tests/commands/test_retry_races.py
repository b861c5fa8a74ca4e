"""``reschedule --failed`` beside other commands about the same job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datalad_hpc import cancelling, retrying
from datalad_hpc.job import Unit
from datalad_hpc.retries import attempting, recent
from datalad_hpc.schedulers.local import Local
from datalad_hpc.store import open_store
from tests.commands.conftest import Lab, ask_store, text_of
from tests.commands.test_cancel import cancel
from tests.commands.test_retry import a_failed_job, repair, retry, says

if TYPE_CHECKING:
    from datalad.api import Dataset


@pytest.fixture
def failed(local_lab: Lab) -> tuple[Lab, str]:
    first = a_failed_job(local_lab)
    repair(local_lab)
    return local_lab, first


def before(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], object]
) -> None:
    """Have something happen once, just before a function of a story is called."""
    real = getattr(module, name)

    def late(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(module, name, real)
        act()
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, late)


def assert_held(lab: Lab, job: str) -> None:
    assert ask_store(lab, "SELECT state, job_id FROM jobs") == [("open", job)]
    refused = lab.schedule("sbatch job.sh", outputs=["out/"])
    assert f"out/ (job {job})" in text_of(refused)


def test_a_job_that_is_being_submitted_again_is_not_given_up(
    failed: tuple[Lab, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, first = failed
    found: list[Any] = []

    def give_up() -> None:
        found.extend(lab.finish(first, close_failed_jobs=True))

    before(monkeypatch, attempting, "submit_reserved", give_up)
    (again,) = retry(lab)
    (said,) = found
    assert (again["status"], said["status"]) == ("ok", "impossible"), text_of(said)
    assert "is being submitted" in text_of(said)
    assert_held(lab, again["slurm_job_id"])


def test_what_was_submitted_again_meanwhile_is_not_closed_by_hpc_cancel(
    failed: tuple[Lab, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, first = failed
    found: list[Any] = []
    real = Local.status

    def as_cancelled(*arguments: Any, **options: Any) -> Any:
        answers = dict(real(*arguments, **options))
        if told := answers.get(first):
            tasks = tuple(replace(task, state="CANCELLED") for task in told.tasks)
            answers[first] = replace(told, tasks=tasks)
        return answers

    monkeypatch.setattr(Local, "status", as_cancelled)
    before(monkeypatch, cancelling, "wish_end", lambda: found.extend(retry(lab, first)))
    (said,) = cancel(lab, first)
    (again,) = found
    assert (again["status"], said["status"]) == ("ok", "impossible"), text_of(said)
    assert f"may run as job {again['slurm_job_id']}" in text_of(said)
    assert_held(lab, again["slurm_job_id"])
    # Nobody wanted the end of this one.
    assert ask_store(lab, "SELECT cancelled FROM jobs") == [("",)]


def test_what_a_finish_that_died_may_have_committed_is_not_submitted_again(
    failed: tuple[Lab, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, first = failed

    def plan() -> None:
        ((key,),) = ask_store(lab, "SELECT key FROM jobs")
        planned = lab.git("rev-parse", "HEAD").strip(), lab.git("symbolic-ref", "HEAD").strip()
        with open_store(str(lab.root / ".git" / "datalad" / "hpc" / "jobs.db")) as store:
            store.plan_commits({Unit(key): planned}, {Unit(key): ()})

    before(monkeypatch, attempting, "begin_again", plan)
    (said,) = retry(lab)
    assert said["status"] == "notneeded", text_of(said)
    (done,) = lab.finish(first)
    assert "before an interruption" in text_of(done)


def test_a_scheduler_that_gives_no_answer_keeps_no_other_from_its_jobs(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_lab.script("exit 3")
    jobs = [local_lab.schedule("sbatch job.sh", outputs=[name]) for name in "abc"]
    local_lab.wait()
    lost = jobs[0]["slurm_job_id"]
    ask_store(local_lab, f"UPDATE jobs SET scheduler = 'gone' WHERE job_id = '{lost}'")
    monkeypatch.setattr(recent, "STALE", -1.0)
    told, *again = retry(local_lab)
    assert told["status"] == "impossible"
    assert "'gone'" in text_of(told)
    assert [res["status"] for res in again] == ["ok", "ok"], list(map(text_of, again))


@pytest.mark.slurm
def test_what_slurm_has_requeued_meanwhile_is_not_submitted_again(
    dataset: Dataset, local_spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("exit 3")
    jobs = [lab.schedule("sbatch job.sh", outputs=[name]) for name in "ab"]
    first, second = (job["slurm_job_id"] for job in jobs)
    lab.wait()
    monkeypatch.setattr(recent, "STALE", -1.0)
    before(monkeypatch, retrying, "attempt", lambda: says("scontrol", "requeuehold", second))
    again, left = retry(lab, first, second)
    assert (again["status"], left["status"]) == ("ok", "notneeded"), text_of(left)
    assert f"Job {second} has not failed: " in text_of(left)
    assert ask_store(lab, "SELECT job_id FROM jobs ORDER BY key") == [
        (again["slurm_job_id"],),
        (second,),
    ]
