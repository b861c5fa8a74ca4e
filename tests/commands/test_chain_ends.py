"""A chain, one job of which fails: what the others become, and the ways out."""

from __future__ import annotations

import pytest

from tests.commands.conftest import Lab, text_of
from tests.commands.test_chains import GATE, held, let_go, scheduled


def chain_of_three(lab: Lab) -> tuple[str, str, str]:
    """The second fails unless there is a file ``works``."""
    first = held(lab)
    inputs = {"inputs": ["a.txt"], "outputs": ["b.txt"]}
    second = scheduled(lab, "test -e .git/works && cp a.txt b.txt", **inputs)
    third = scheduled(lab, "cp b.txt c.txt", inputs=["b.txt"], outputs=["c.txt"])
    return first, second, third


def test_a_failure_in_the_middle_leaves_a_clear_picture(lab: Lab) -> None:
    first, second, third = chain_of_three(lab)
    assert lab.listed()[third]["chain_note"] == f"waits for job {second}"
    let_go(lab)
    lab.wait()
    reason = f"its predecessor, job {second}, failed"
    listed = lab.listed()
    assert listed[third]["slurm_job_status"] == "CANCELLED"
    assert reason in text_of(listed[third])
    assert listed[third]["chain_note"] == reason
    one, two, three = lab.finish()
    assert one["status"] == "ok"
    assert lab.committed() >= {"a.txt"}
    assert [two["status"], three["status"]] == ["impossible", "impossible"]
    assert f"--close-failed-jobs {second}" in text_of(two)
    assert reason in text_of(three)
    assert f"--close-failed-jobs {third}" in text_of(three)
    assert "run its predecessor again first" in text_of(three)
    assert "--commit-failed-jobs" not in text_of(three)
    # What nobody makes any more is no input, and says so.
    again = lab.schedule("cp c.txt d.txt", inputs=["c.txt"], outputs=["d.txt"])
    assert again["status"] == "impossible"
    assert f"job {third}, which makes c.txt, did not succeed" in text_of(again)
    assert f"predecessor, job {second}, failed" not in text_of(lab.finish(second)[-1])
    assert [res["status"] for res in lab.finish(second, close_failed_jobs=True)] == ["ok"]
    assert f"its predecessor, job {second}, was given up" in text_of(lab.listed()[third])
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok"]
    failed = second
    (lab.root / ".git" / "works").touch()
    second = scheduled(lab, "cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    third = scheduled(lab, "cp b.txt c.txt", inputs=["b.txt"], outputs=["c.txt"])
    lab.wait()
    assert [res["slurm_job_id"] for res in lab.finish()] == [second, third]
    assert lab.changes() == f"?? slurm-{failed}.out\n"
    assert (lab.root / "c.txt").exists()
    assert first not in lab.listed()


def test_nothing_is_committed_before_what_it_depends_on(local_lab: Lab) -> None:
    lab = local_lab
    # It completes, and stays open since it made too little.
    first = scheduled(lab, "echo a > a.txt", outputs=["a.txt", "missing.txt"])
    lab.wait()
    second = scheduled(lab, "cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    third = scheduled(lab, "cp b.txt c.txt", inputs=["b.txt"], outputs=["c.txt"])
    other = scheduled(lab, "echo o > o.txt", outputs=["o.txt"])
    lab.wait()
    results = {res["slurm_job_id"]: res for res in lab.finish()}
    assert results[first]["status"] == "error"
    assert results[other]["status"] == "ok"
    for job, before in ((second, first), (third, second)):
        assert results[job]["status"] == "impossible"
        assert f"until job {before} is finished or closed" in text_of(results[job])
    # Also if it is named alone.
    assert f"until job {first}" in text_of(lab.finish(second)[-1])
    (lab.root / "missing.txt").write_text("late\n")
    assert [res["slurm_job_id"] for res in lab.finish()] == [first, second, third]
    assert lab.changes() == ""


def test_what_depends_on_a_closed_job_can_be_committed(local_lab: Lab) -> None:
    lab = local_lab
    first = scheduled(lab, "echo a > a.txt; exit 1", outputs=["a.txt"])
    lab.wait()
    assert lab.finish(first, commit_failed_jobs=True)[-1]["status"] == "ok"
    second = lab.schedule("cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert "waits" not in text_of(second)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"


@pytest.mark.parametrize("layout", ["branches", "octopus"])
def test_layouts_keep_the_order(local_lab: Lab, layout: str) -> None:
    lab = local_lab
    lab.write("start.txt")
    first, second, third = (
        held(lab),
        scheduled(lab, "cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"]),
        scheduled(lab, "cp b.txt c.txt", inputs=["b.txt"], outputs=["c.txt"]),
    )
    let_go(lab)
    lab.wait()
    done = lab.finish(**{layout: True})
    assert [res["slurm_job_id"] for res in done] == [first, second, third]
    assert {res["status"] for res in done} == {"ok"}
    assert lab.changes() == ""
    if layout == "branches":
        names = [f"job-{job}" for job in (first, second, third)]
        assert set(lab.git("branch", "--format=%(refname:short)").split()) >= {*names}
        assert not (lab.root / "a.txt").exists()


def test_outputs_do_not_go_to_a_branch_while_they_are_read(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("start.txt")
    first = scheduled(lab, "echo a > a.txt", outputs=["a.txt"])
    lab.wait()
    second = scheduled(lab, f"{GATE}cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    results = {res["slurm_job_id"]: res for res in lab.finish(branches=True)}
    assert f"until job {second} has ended" in text_of(results[first])
    let_go(lab)
    lab.wait()
    done = lab.finish(branches=True)
    assert [res["status"] for res in done] == ["ok", "ok"], done


def test_a_chain_is_run_again_in_order(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("start.txt")
    start = lab.git("rev-parse", "HEAD").strip()
    command = 'test "$(cat start.txt)" = content || sleep 0.5; cat start.txt > a.txt'
    scheduled(lab, command, inputs=["start.txt"], outputs=["a.txt"])
    scheduled(lab, "cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    lab.wait()
    assert len(lab.finish()) == 2
    lab.git("annex", "unlock", "--quiet", "start.txt")
    (lab.root / "start.txt").write_text("changed\n")
    lab.save("start.txt")
    again = lab.reschedule(since=start)
    assert [res["status"] for res in again] == ["ok", "ok"], again
    assert f"waits for job {again[0]['slurm_job_id']} (a.txt)" in text_of(again[1])
    lab.wait()
    done = lab.finish()
    assert [res["slurm_job_id"] for res in done] == [res["slurm_job_id"] for res in again]
    assert (lab.root / "b.txt").read_text() == "changed\n"


def test_a_job_that_never_starts_and_is_not_ended_says_so(local_lab: Lab) -> None:
    """On the local scheduler such a job always ends."""
    lab = local_lab
    first = held(lab, f"{GATE}false")
    lab.script("true", "b.sh")
    second = scheduled(
        lab, "sbatch --kill-on-invalid-dep=no b.sh", inputs=["a.txt"], outputs=["b.txt"]
    )
    let_go(lab)
    lab.wait()
    assert f"its predecessor, job {first}, failed" in text_of(lab.listed()[second])
