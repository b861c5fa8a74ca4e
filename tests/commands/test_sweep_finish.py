"""Tasks of a sweep end one by one: each gets a commit and a record of its own, or is given up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.schedulers.arrays import array_indices
from tests.commands.conftest import Lab, ask_store, let_time_pass, text_of
from tests.commands.test_schedule_options import record_of
from tests.helpers import wait_for

NAMES = ("ann", "bob", "cyd", "dan")
WRITES = "mkdir -p out; echo {who} > {outputs}"
FAILS = f"{WRITES}; test {{who}} != bob"


@pytest.fixture
def sweep_lab(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """On a local scheduler that runs all tasks of a sweep at a time."""
    monkeypatch.setenv("DATALAD_HPC_LOCAL_SLOTS", "8")
    yield local_lab
    let_go(local_lab, *NAMES)


@pytest.fixture
def any_sweep_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The same on each scheduler in turn."""
    monkeypatch.setenv("DATALAD_HPC_LOCAL_SLOTS", "8")
    yield lab
    let_go(lab, *NAMES)


def sweep(lab: Lab, command: str = WRITES, names: Sequence[str] = NAMES, **options: Any) -> str:
    """Schedule a sweep over names; gives its id."""
    options.setdefault("outputs", ["out/{who}.txt"])
    job = lab.schedule(command, foreach=[f"who={','.join(names)}"], **options)
    assert job["status"] == "ok", text_of(job)
    return str(job["slurm_job_id"])


def gated(lab: Lab, command: str = WRITES) -> str:
    """The command, but each task waits for :func:`let_go`."""
    return f"until test -e {lab.root.parent}/go-{{who}}; do sleep 0.05; done; {command}"


def let_go(lab: Lab, *names: str) -> None:
    for name in names:
        (lab.root.parent / f"go-{name}").touch()


def until_over(lab: Lab, job: str, number: int) -> None:
    """Until so many of the open tasks of a sweep are over."""

    def over() -> bool:
        tasks = lab.listed()[job]["tasks"]
        live = sum(
            len(array_indices(spec))
            for state, spec in tasks.items()
            if state in ("PENDING", "RUNNING", "COMPLETING")
        )
        return sum(len(array_indices(spec)) for spec in tasks.values()) - live == number

    wait_for(over, interval=0.1)


def by_id(results: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {res["slurm_job_id"]: res["status"] for res in results}


def commits(lab: Lab) -> dict[str, set[str]]:
    """Files of each commit with a record, by the id in it."""
    found: dict[str, set[str]] = {}
    for commit in lab.git("rev-list", "--no-merges", "HEAD").split():
        if "slurm_job_id" in lab.message(commit):
            job = str(record_of(lab, commit)["slurm_job_id"])
            assert job not in found
            found[job] = lab.committed(commit)
    return found


def files_of(job: str, index: int, name: str) -> set[str]:
    return {f"out/{name}.txt", f"slurm-{job}_{index}.out"}


def test_each_task_gets_a_commit_and_a_record(lab: Lab) -> None:
    job = sweep(lab, message="for {who}")
    lab.wait()
    before = lab.git("rev-parse", "HEAD").strip()
    results = lab.finish()
    assert by_id(results) == {f"{job}_{index}": "ok" for index in range(4)}, results
    assert commits(lab) == {
        f"{job}_{index}": files_of(job, index, name) for index, name in enumerate(NAMES)
    }
    assert lab.changes() == ""
    assert lab.git("rev-parse", "HEAD~4").strip() == before
    for index, name in enumerate(NAMES):
        commit = next(res["commit"] for res in results if res["slurm_job_id"] == f"{job}_{index}")
        record = record_of(lab, commit)
        assert record["outputs"] == [f"out/{name}.txt"]
        assert record["slurm_outputs"][0] == f"slurm-{job}_{index}.out"
        assert name in record["cmd"]
        assert "{who}" not in lab.message(commit)
        assert f"for {name}" in lab.message(commit)
        assert lab.message(commit).startswith(
            f"[DATALAD SLURM RUN] Slurm job {job}_{index}: Completed\n"
        )
    assert lab.listed() == {}
    assert text_of(lab.finish(job)[0]) == f"Job {job} is over already: of its tasks 4 finished"


def test_tasks_that_end_at_different_times(any_sweep_lab: Lab) -> None:
    lab = any_sweep_lab
    job = sweep(lab, gated(lab))
    wait_for(lambda: lab.listed()[job]["tasks"] == {"RUNNING": "0-3"}, interval=0.1)
    let_go(lab, "cyd")
    until_over(lab, job, 1)
    results = lab.finish()
    assert by_id(results) == {job: "impossible", f"{job}_2": "ok"}
    (live,) = (res for res in results if res.get("live"))
    assert text_of(live) == f"Job {job} is not over: tasks 0-1,3: RUNNING"
    (listed,) = lab.listed().values()
    assert listed["slurm_job_status"] == "RUNNING"
    assert listed["tasks"] == {"RUNNING": "0-1,3"}
    let_go(lab, "ann", "dan")
    until_over(lab, job, 2)
    assert by_id(lab.finish()) == {f"{job}_0": "ok", f"{job}_3": "ok", f"{job}_1": "impossible"}
    (alone,) = lab.finish()
    assert text_of(alone) == f"Job {job}_1 is not over: RUNNING"
    assert alone["live"]
    let_go(lab, "bob")
    lab.wait()
    assert by_id(lab.finish()) == {f"{job}_1": "ok"}
    assert lab.listed() == {}
    assert set(commits(lab)) == {f"{job}_{index}" for index in range(4)}
    assert ask_store(lab, "SELECT state FROM jobs") == [("finished",)]


def test_a_failed_task_in_the_middle(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab, FAILS)
    lab.wait()
    results = lab.finish()
    assert by_id(results) == {
        f"{job}_0": "ok",
        f"{job}_1": "impossible",
        f"{job}_2": "ok",
        f"{job}_3": "ok",
    }
    (text,) = (text_of(res) for res in results if res["status"] != "ok")
    assert text.startswith(f"Job {job}_1 did not succeed: FAILED (exit code 1); it stays open")
    assert f"`datalad finish --close-failed-jobs {job}_1`" in text
    assert lab.listed()[job]["slurm_job_status"] == "FAILED"
    assert by_id(lab.finish(commit_failed_jobs=True)) == {f"{job}_1": "ok"}
    assert lab.message().startswith(f"[DATALAD SLURM RUN] Slurm job {job}_1: Failed\n")
    assert lab.committed() == files_of(job, 1, "bob")


def test_many_failed_tasks_are_one_result(sweep_lab: Lab) -> None:
    lab = sweep_lab
    lab.write("out/ann.txt")
    job = sweep(lab, f"{WRITES}; test {{who}} = bob")
    lab.wait()
    failed = next(res for res in lab.finish() if res["status"] != "ok")
    text = text_of(failed)
    assert text.startswith(
        f"Tasks of job {job} did not succeed: tasks 0,2-3: FAILED (exit code 1); they stay open"
    )
    assert f"--close-failed-jobs {job}`" in text
    assert f"--commit-failed-jobs {job}`" in text
    assert f"{job}_0" in text
    assert by_id(lab.finish(f"{job}_2", commit_failed_jobs=True)) == {f"{job}_2": "ok"}
    (named,) = lab.finish(f"{job}_0", f"{job}_3")
    assert f"--close-failed-jobs {job}_0 {job}_3`" in text_of(named)
    closed = lab.finish(job, close_failed_jobs=True)
    assert by_id(closed) == {f"{job}_0": "ok", f"{job}_3": "ok"}
    assert text_of(closed[0]) == (
        f"Job {job}_0 did not succeed: FAILED (exit code 1); closed without a commit; it had "
        "changed these, which were left so: out/ann.txt"
    )
    assert text_of(closed[1]).endswith("closed without a commit")
    assert text_of(lab.finish(f"{job}_0")[0]) == (
        f"Job {job}_0 is over already: closed without a commit"
    )
    assert "over already: committed as" in text_of(lab.finish(f"{job}_1")[0])
    over = text_of(lab.finish(job)[0])
    assert over == f"Job {job} is over already: of its tasks 2 closed, 2 finished"
    assert lab.listed() == {}


def test_what_one_task_gave_up_is_free_while_others_run(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab, gated(lab, FAILS))
    let_go(lab, "bob")
    until_over(lab, job, 1)
    refused = lab.schedule("echo x > {outputs}", outputs=["out/bob.txt"])
    assert f"out/bob.txt (job {job})" in text_of(refused)
    assert by_id(lab.finish(f"{job}_1", close_failed_jobs=True)) == {f"{job}_1": "ok"}
    again = lab.schedule("echo again > {outputs}", outputs=["out/bob.txt"])
    assert again["status"] == "ok", text_of(again)
    refused = lab.schedule("echo x > {outputs}", outputs=["out/ann.txt"])
    assert f"out/ann.txt (job {job})" in text_of(refused)
    lab.wait(again["slurm_job_id"])
    assert by_id(lab.finish()) == {again["slurm_job_id"]: "ok", job: "impossible"}
    let_go(lab, *NAMES)
    lab.wait()
    assert by_id(lab.finish()) == {f"{job}_{index}": "ok" for index in (0, 2, 3)}
    assert (lab.root / "out/bob.txt").read_text() == "again\n"


def test_a_task_without_its_output_keeps_back_no_other(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab, "mkdir -p out; test {who} = bob || echo {who} > {outputs}")
    lab.wait()
    results = {res["slurm_job_id"]: res for res in lab.finish()}
    assert {key: res["status"] for key, res in results.items()} == {
        f"{job}_0": "ok",
        f"{job}_1": "error",
        f"{job}_2": "ok",
        f"{job}_3": "ok",
    }
    assert text_of(results[f"{job}_1"]).startswith(
        f"Job {job}_1 completed, but did not produce out/bob.txt; it stays open"
    )
    (lab.root / "out/bob.txt").write_text("by hand\n")
    assert by_id(lab.finish(f"{job}_1")) == {f"{job}_1": "ok"}


def test_names_that_mean_nothing(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab)
    lab.wait()
    (stranger,) = lab.finish(f"{job}_9")
    assert "has no task" in text_of(stranger)
    assert text_of(lab.finish("4711_2")[0]).startswith("There is no job 4711_2 in this dataset")
    both = by_id(lab.finish(job, f"{job}_1"))
    assert both == {f"{job}_{index}": "ok" for index in range(4)}


def test_more_outputs_belong_to_one_task(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab, f"{WRITES}; echo more > more-{{who}}")
    lab.wait()
    (refused,) = lab.finish(job, outputs=["more-ann"])
    assert f"`datalad finish {job}_0 -o PATH`" in text_of(refused)
    (taken,) = lab.finish(f"{job}_0", outputs=["out/bob.txt"])
    assert f"out/bob.txt (job {job})" in text_of(taken)
    assert by_id(lab.finish(f"{job}_0", outputs=["more-ann"])) == {f"{job}_0": "ok"}
    assert lab.committed() == {*files_of(job, 0, "ann"), "more-ann"}


def test_on_branches(sweep_lab: Lab) -> None:
    lab = sweep_lab
    lab.write("out/bob.txt", "before\n")
    job = sweep(lab)
    lab.wait()
    head = lab.git("rev-parse", "HEAD")
    results = lab.finish(branches=True)
    assert by_id(results) == {f"{job}_{index}": "ok" for index in range(4)}
    assert lab.git("rev-parse", "HEAD") == head
    assert (lab.changes(), (lab.root / "out/bob.txt").read_text()) == ("", "before\n")
    assert [path.name for path in (lab.root / "out").iterdir()] == ["bob.txt"]
    for index, name in enumerate(NAMES):
        assert lab.committed(f"job-{job}_{index}") == files_of(job, index, name)
        assert lab.git("rev-parse", f"job-{job}_{index}~") == head


def test_the_parts_of_one_round_are_merged(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab, gated(lab))
    let_go(lab, *NAMES[:3])
    until_over(lab, job, 3)
    lab.finish(octopus=True)
    parents = lab.git("log", "-1", "--format=%P").split()
    assert len(parents) == 4
    ids = [record_of(lab, parent)["slurm_job_id"] for parent in parents[1:]]
    assert ids == [f"{job}_{index}" for index in range(3)]
    assert lab.changes() == f"?? slurm-{job}_3.out\n"
    let_go(lab, "dan")
    lab.wait()
    assert by_id(lab.finish(octopus=True)) == {f"{job}_3": "ok"}
    assert lab.changes() == ""


def test_an_existing_output_that_a_task_leaves_alone_is_what_it_was(sweep_lab: Lab) -> None:
    lab = sweep_lab
    for name in NAMES:
        lab.write(f"out/{name}.txt", f"{name} before\n")
    job = sweep(lab, "test {who} = ann")
    assert not (lab.root / "out/bob.txt").is_symlink()
    lab.wait()
    assert by_id(lab.finish(f"{job}_1", close_failed_jobs=True)) == {f"{job}_1": "ok"}
    locked = {name: (lab.root / f"out/{name}.txt").is_symlink() for name in NAMES}
    assert locked == {"ann": False, "bob": True, "cyd": False, "dan": False}
    lab.finish(close_failed_jobs=True)
    assert all((lab.root / f"out/{name}.txt").is_symlink() for name in NAMES)
    assert (
        lab.changes()
        == "?? " + "\n?? ".join(f"slurm-{job}_{index}.out" for index in (1, 2, 3)) + "\n"
    )


def test_a_sweep_in_an_alternative_directory(sweep_lab: Lab, tmp_path: Path) -> None:
    lab = sweep_lab
    (tmp_path / "alt").mkdir()
    job = sweep(lab, FAILS, alt_dir=str(tmp_path / "alt"))
    lab.wait()
    results = by_id(lab.finish())
    assert results == {f"{job}_{index}": "ok" if index != 1 else "impossible" for index in range(4)}
    left = {path.name for path in (tmp_path / "alt").rglob("*") if path.is_file()}
    assert left == {"bob.txt", f"slurm-{job}_1.out"}
    (closed,) = lab.finish(close_failed_jobs=True)
    assert f"what it left stays in {tmp_path / 'alt'}" in text_of(closed)


def test_a_sweep_that_was_forgotten(sweep_lab: Lab, local_spool: Path) -> None:
    lab = sweep_lab
    job = sweep(lab)
    lab.wait()
    assert by_id(lab.finish(f"{job}_0")) == {f"{job}_0": "ok"}
    shutil.rmtree(local_spool)
    (unknown,) = lab.finish()
    assert unknown["status"] == "impossible"
    assert f"does not know job {job} (yet)" in text_of(unknown)
    let_time_pass(lab)
    (forgotten,) = lab.finish()
    assert f"does not know job {job} any more" in text_of(forgotten)
    assert f"--commit-failed-jobs {job}`" in text_of(forgotten)
    assert by_id(lab.finish(f"{job}_2", commit_failed_jobs=True)) == {f"{job}_2": "ok"}
    assert by_id(lab.finish(job, close_failed_jobs=True)) == {f"{job}_1": "ok", f"{job}_3": "ok"}
    assert lab.listed() == {}


def test_a_sweep_of_a_worktree_that_was_removed(sweep_lab: Lab) -> None:
    lab = sweep_lab
    job = sweep(lab)
    lab.wait()
    assert by_id(lab.finish(f"{job}_0")) == {f"{job}_0": "ok"}
    elsewhere = "json_set(details, '$.worktree', 'worktrees/gone')"
    ask_store(lab, f"UPDATE jobs SET details = {elsewhere}")
    (told,) = lab.finish()
    assert "which was removed; give it up" in text_of(told)
    assert by_id(lab.finish(job, close_failed_jobs=True)) == {job: "ok"}
    standings = [("finished",), *[("closed",)] * 3]
    assert ask_store(lab, "SELECT standing FROM tasks ORDER BY number") == standings
    assert text_of(lab.finish(job)[0]).endswith("of its tasks 1 finished, 3 closed")


def test_what_was_planned_but_never_committed_is_decided_anew(sweep_lab: Lab) -> None:
    """A round died after the plan; the commits are in no branch, and may be gone from Git."""
    lab = sweep_lab
    job = sweep(lab, FAILS)
    lab.wait()
    planned = f"[commit] = '{'c' * 40}', ref = 'refs/heads/main'"
    ask_store(lab, f"UPDATE tasks SET {planned}")
    results = by_id(lab.finish(f"{job}_1", close_failed_jobs=True))
    assert results == {f"{job}_1": "ok"}
    assert text_of(lab.finish(f"{job}_1")[0]).endswith("over already: closed without a commit")
    assert by_id(lab.finish()) == {f"{job}_{index}": "ok" for index in (0, 2, 3)}
    assert set(commits(lab)) == {f"{job}_{index}" for index in (0, 2, 3)}
