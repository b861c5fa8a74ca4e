"""Every option of ``finish`` does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.commit.annexing import FILES_EACH
from datalad_hpc.record import read_record
from tests.commands.conftest import Lab, ask_store, text_of

WRITES = "mkdir -p out; echo $1 > out/$1.dat; echo text > out/$1.txt"


@pytest.fixture
def lab(local_lab: Lab) -> Lab:
    local_lab.script(WRITES)
    return local_lab


def three_jobs(lab: Lab) -> list[str]:
    jobs = [lab.schedule(f"sbatch job.sh {n}", outputs=[f"out/{n}.*"]) for n in "abc"]
    lab.wait()
    return [job["slurm_job_id"] for job in jobs]


@pytest.mark.parametrize("spelling", ["positional", "option"])
def test_only_the_named_jobs_are_finished(lab: Lab, spelling: str) -> None:
    first, second, third = three_jobs(lab)
    if spelling == "positional":
        results = lab.finish(first, third)
        left = {second}
    else:
        results = lab.finish(slurm_job_id=first)
        left = {second, third}
    assert {res["status"] for res in results} == {"ok"}
    assert lab.listed().keys() == left
    assert len(lab.finish()) == len(left)


def test_a_further_output_at_finish(lab: Lab) -> None:
    lab.script("mkdir -p out more; echo x > out/x; echo y > more/y")
    job = lab.schedule("sbatch job.sh", outputs=["out/"])
    lab.wait()
    (done,) = lab.finish(job["slurm_job_id"], outputs=["more/"])
    assert done["status"] == "ok", text_of(done)
    assert {"out/x", "more/y"} < lab.committed()
    record = read_record(lab.message())
    assert record
    assert record.request.outputs == ("out/", "more/")


def test_a_further_output_of_another_job_is_refused(lab: Lab) -> None:
    first, second, _ = three_jobs(lab)
    (refused,) = lab.finish(first, outputs=["out/b.dat"])
    assert refused["status"] == "impossible"
    assert f"job {second}" in text_of(refused)
    assert len(lab.listed()) == 3
    lab.finish()


def test_branches_leave_the_checkout_as_it_was(lab: Lab) -> None:
    lab.write("out/a.dat", "old\n")
    (lab.root / "mine.txt").write_text("staged\n")
    lab.git("add", "mine.txt")
    jobs = three_jobs(lab)
    head, branch = lab.git("rev-parse", "HEAD"), lab.git("symbolic-ref", "HEAD")
    results = lab.finish(branches=True)
    assert {res["status"] for res in results} == {"ok"}, [text_of(res) for res in results]
    assert lab.git("rev-parse", "HEAD") == head
    assert lab.git("symbolic-ref", "HEAD") == branch
    assert lab.changes() == "A  mine.txt\n"
    assert (lab.root / "out" / "a.dat").read_text() == "old\n"
    assert not (lab.root / "out" / "b.dat").exists()
    # Git itself merges nothing while something is staged.
    lab.git("commit", "-q", "-m", "mine")
    for job, name in zip(jobs, "abc", strict=True):
        assert lab.git("rev-parse", f"job-{job}^") == head
        assert {f"out/{name}.dat", f"out/{name}.txt"} < lab.committed(f"job-{job}")
        lab.git("merge", "-q", "-m", "merged", f"job-{job}")
    assert (lab.root / "out" / "a.dat").read_text() == "a\n"
    assert lab.changes() == ""
    assert lab.listed() == {}


def test_octopus_merges_all_in_one_commit(lab: Lab) -> None:
    jobs = three_jobs(lab)
    head = lab.git("rev-parse", "HEAD").strip()
    results = lab.finish(octopus=True)
    assert {res["status"] for res in results} == {"ok"}
    parents = lab.git("log", "-1", "--format=%P").split()
    assert parents[0] == head
    assert parents[1:] == [res["commit"] for res in results]
    for job, commit in zip(jobs, parents[1:], strict=True):
        assert f"job {job}: Completed" in lab.message(commit)
        assert lab.git("rev-parse", f"{commit}^").strip() == head
    assert {path.name for path in (lab.root / "out").iterdir()} >= {"a.dat", "b.txt", "c.dat"}
    assert lab.changes() == ""
    assert "job-" not in lab.git("branch")


def test_a_missing_output_is_an_error(lab: Lab) -> None:
    lab.script("echo x > there.txt")
    results = lab.run("sbatch job.sh", outputs=["there.txt", "missing.txt", "empty/", "g*.z"])
    assert results["status"] == "error"
    for name in ("missing.txt", "empty/", "g*.z"):
        assert name in text_of(results)
    assert "there.txt" not in text_of(results).split("did not produce")[1]
    assert len(lab.listed()) == 1
    (done,) = lab.finish(commit_failed_jobs=True)
    assert done["status"] == "ok"
    assert "there.txt" in lab.committed()


def test_a_missing_output_can_be_a_warning(lab: Lab, caplog: Any) -> None:
    lab.git("config", "datalad.hpc.missing-outputs", "warning")
    lab.dataset.config.reload(force=True)
    lab.script("true")
    with caplog.at_level("WARNING", "datalad.hpc"):
        done = lab.run("sbatch job.sh", outputs=["missing.txt"])
    assert done["status"] == "ok"
    assert "missing.txt" in caplog.text


def test_a_job_with_a_missing_output_can_be_closed(lab: Lab) -> None:
    lab.script("true")
    lab.run("sbatch job.sh", outputs=["missing.txt"])
    (closed,) = lab.finish(close_failed_jobs=True)
    assert closed["status"] == "ok"
    assert lab.listed() == {}


def test_what_the_job_deleted_is_deleted(lab: Lab) -> None:
    lab.write("out/old.dat")
    lab.write("keep/old.dat")
    lab.script("rm out/old.dat; echo x > out/new.dat")
    done = lab.run("sbatch job.sh", outputs=["out/"])
    assert done["status"] == "ok", text_of(done)
    assert "out/old.dat" in lab.committed()
    assert lab.git("ls-tree", "-r", "--name-only", "HEAD", "out", "keep").split() == [
        "keep/old.dat",
        "out/new.dat",
    ]
    assert lab.changes() == ""


def test_outputs_in_subdatasets(lab: Lab) -> None:
    from datalad.api import create

    create(dataset=lab.root, path=lab.root / "sub", result_renderer="disabled")
    create(dataset=lab.root / "sub", path=lab.root / "sub" / "deep", result_renderer="disabled")
    lab.save()
    lab.script("echo 1 > sub/a.dat; echo 2 > sub/deep/b.dat; echo 3 > c.dat")
    done = lab.run("sbatch job.sh", outputs=["sub/a.dat", "sub/deep/", "c.dat"])
    assert done["status"] == "ok", text_of(done)
    for folder in ("", "sub", "sub/deep"):
        assert lab.changes(folder) == ""
        subject = lab.git("log", "-1", "--format=%s", folder=folder)
        assert subject.startswith("[DATALAD SLURM RUN]")
    assert {"sub", "c.dat"} < lab.committed()
    assert (
        lab.git("rev-parse", "HEAD:sub").strip()
        == lab.git("rev-parse", "HEAD", folder="sub").strip()
    )


def test_what_the_user_staged_or_left_lying_about_stays(lab: Lab) -> None:
    lab.write("tracked.dat", "old\n")
    lab.git("annex", "unlock", "tracked.dat")
    lab.git("commit", "-q", "-m", "unlocked")
    job = lab.schedule("sbatch job.sh a", outputs=["out/a.*"])
    (lab.root / "staged.txt").write_text("staged\n")
    lab.git("add", "staged.txt")
    (lab.root / "tracked.dat").write_text("changed\n")
    (lab.root / "out").mkdir(exist_ok=True)
    (lab.root / "out" / "mine.txt").write_text("mine\n")
    lab.wait()
    before = lab.changes()
    (done,) = lab.finish(job["slurm_job_id"])
    assert done["status"] == "ok", text_of(done)
    assert "out/mine.txt" not in lab.committed()
    assert {"staged.txt", "tracked.dat"}.isdisjoint(lab.committed())
    own = {"?? out/", f"?? slurm-{job['slurm_job_id']}.out"}
    assert set(before.splitlines()) - own <= set(lab.changes().splitlines())
    assert "?? out/mine.txt" in lab.changes()


def test_one_bad_job_stops_none_of_the_others(lab: Lab) -> None:
    good = lab.schedule("sbatch job.sh a", outputs=["out/a.*"])
    lab.script("mkdir -p bad; git init -q bad/repo; echo x > bad/repo/x", name="bad.sh")
    bad = lab.schedule("sbatch bad.sh", outputs=["bad/"])
    lab.script("exit 1", name="fails.sh")
    failing = lab.schedule("sbatch fails.sh", outputs=["fails"])
    lab.wait()
    results = {res["slurm_job_id"]: res for res in lab.finish()}
    assert results[good["slurm_job_id"]]["status"] == "ok"
    assert results[bad["slurm_job_id"]]["status"] == "error"
    assert "not a subdataset" in text_of(results[bad["slurm_job_id"]])
    assert results[failing["slurm_job_id"]]["status"] == "impossible"
    assert lab.listed().keys() == {bad["slurm_job_id"], failing["slurm_job_id"]}


def test_identity_is_recorded_on_request_only(lab: Lab) -> None:
    lab.git("config", "datalad.hpc.record-identity", "yes")
    lab.dataset.config.reload(force=True)
    done = lab.run("sbatch job.sh a", outputs=["out/"])
    facts = json.loads((lab.root / f"slurm-job-{done['slurm_job_id']}.env.json").read_text())
    assert facts["identity"]["user"]


def test_as_many_git_annex_processes_as_wished(lab: Lab, wrapped_annex: Path) -> None:
    count = 3 * FILES_EACH
    many = f"mkdir -p out; for i in $(seq {count}); do echo $i > out/$i; done"
    job = lab.schedule(f"sbatch --wrap '{many}'", outputs=["out/"])
    lab.wait()
    (done,) = lab.finish(job["slurm_job_id"], jobs=3)
    assert done["status"] == "ok"
    assert len(done["files"]) > count
    adding = [line for line in wrapped_annex.read_text().splitlines() if " add " in line]
    assert len(adding) == 3


def test_listing_names_every_open_job_in_one_table(lab: Lab) -> None:
    jobs = three_jobs(lab)
    listed = lab.listed()
    assert list(listed) == jobs
    assert all(res["slurm_job_status"] == "COMPLETED" for res in listed.values())
    lab.finish()


def test_nothing_to_do_is_said(lab: Lab) -> None:
    for options in ({}, {"list_open_jobs": True}):
        (answer,) = lab.dataset.finish(result_renderer="disabled", on_failure="ignore", **options)
        assert answer["status"] == "notneeded"
        assert "no open jobs" in text_of(answer).lower()


def test_an_adjusted_branch_is_refused_and_nothing_is_lost(lab: Lab) -> None:
    branch = lab.git("symbolic-ref", "--short", "HEAD").strip()
    jobs = three_jobs(lab)
    lab.git("annex", "adjust", "--unlock")
    head = lab.git("rev-parse", "HEAD")
    (refused,) = lab.finish()
    assert refused["status"] == "impossible"
    assert "adjusted branch refs/heads/adjusted/" in text_of(refused)
    assert lab.git("rev-parse", "HEAD") == head
    another = lab.schedule("sbatch job.sh", outputs=["another"])
    assert another["status"] == "impossible"
    assert "adjusted branch refs/heads/adjusted/" in text_of(another)
    assert list(lab.listed()) == jobs
    lab.git("checkout", "-q", branch)
    assert [res["status"] for res in lab.finish()] == ["ok"] * 3


def test_a_job_closed_after_its_commit_was_planned_was_not_committed(local_lab: Lab) -> None:
    """A round that was to commit it died before it moved the branch."""
    lab = local_lab
    lab.script("exit 3")
    job = lab.schedule("sbatch job.sh", outputs=["out"])["slurm_job_id"]
    lab.wait()
    ask_store(lab, f"UPDATE jobs SET [commit] = '{'c' * 40}', ref = 'refs/heads/main'")
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok"]
    assert "is over already: closed without a commit (" in text_of(lab.finish(job)[0])
