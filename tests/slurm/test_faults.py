"""A cluster without accounting, whose nodes and controller fail, and which forgets its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands.conftest import Lab, ask_store, let_time_pass, text_of
from tests.helpers import wait_for
from tests.slurm.private import NODES, PrivateCluster

if TYPE_CHECKING:
    from datalad.api import Dataset

ENDING: list[dict[str, Any]] = [{}, {"close_failed_jobs": True}, {"commit_failed_jobs": True}]
"""The ways to call finish: none of them may end a job that has not ended."""


@pytest.fixture
def lab(dataset: Dataset, cluster: PrivateCluster) -> Lab:
    """A dataset whose jobs go to the private cluster."""
    return Lab(dataset, "slurm")


@pytest.fixture
def nodes_again(cluster: PrivateCluster) -> Iterator[None]:
    """Nodes that the test has lost are there for the next one."""
    yield
    for node in NODES:
        if not cluster.is_up(node):
            cluster.start_node(node)


def state_of(lab: Lab, job: str) -> str:
    return lab.listed()[job]["slurm_job_status"]


def assert_nothing_ends(lab: Lab, *jobs: str) -> None:
    """No finish, whatever it is allowed to do, ends one of the jobs."""
    head = lab.git("rev-parse", "HEAD")
    for options in ENDING:
        for result in lab.finish(**options):
            assert result["status"] in ("impossible", "error"), text_of(result)
    assert set(lab.listed()) == set(jobs)
    assert lab.git("rev-parse", "HEAD") == head


def assert_finished_once(lab: Lab, job: str, cluster: PrivateCluster, *outputs: str) -> None:
    """The job was handed over once, and is committed once with its files and nothing else."""
    lab.wait(job)
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert lab.committed() == {*outputs, f"slurm-{job}.out", f"slurm-job-{job}.env.json"}
    assert lab.listed() == {}
    assert lab.changes() == ""
    assert jobs_at(cluster, tokens_of(lab)) <= {job}
    assert lab.schedule("sbatch --hold job.sh", outputs=[*outputs])["status"] == "ok"


def tokens_of(lab: Lab) -> set[str]:
    return {token for (token,) in ask_store(lab, "SELECT token FROM jobs")}


def jobs_at(cluster: PrivateCluster, tokens: set[str]) -> set[str]:
    """Ids of the jobs that carry one of our tokens."""
    told = cluster.tell("squeue", "--noheader", "--states=all", "--format=%i %k")
    rows = (line.split(" ", 1) for line in told.splitlines())
    return {job for job, comment in rows if any(token in comment for token in tokens)}


def test_a_job_whose_node_is_lost_is_followed_to_the_end_of_its_next_attempt(
    lab: Lab, cluster: PrivateCluster, nodes_again: None
) -> None:
    lab.script(
        "echo $SLURMD_NODENAME >> nodes.txt; until test -e go; do sleep 0.1; done; echo x > out.txt"
    )
    started = lab.root / "nodes.txt"
    job = lab.schedule("sbatch job.sh", outputs=["out.txt", "nodes.txt"])["slurm_job_id"]
    wait_for(lambda: started.exists() and started.read_text())
    lost = started.read_text().strip()
    cluster.lose(lost)
    assert_nothing_ends(lab, job)
    wait_for(lambda: state_of(lab, job) == "PENDING", interval=0.3)
    assert_nothing_ends(lab, job)
    cluster.tell("scontrol", "update", f"job={job}", "StartTime=now")
    wait_for(lambda: len(started.read_text().split()) == 2)
    assert_nothing_ends(lab, job)
    (lab.root / "go").touch()
    lab.wait(job)
    (lab.root / "go").unlink()
    assert_finished_once(lab, job, cluster, "out.txt", "nodes.txt")
    facts = json.loads((lab.root / f"slurm-job-{job}.env.json").read_text())
    (other,) = set(NODES) - {lost}
    assert facts["restarts"] == 1
    assert [(task["state"], task["nodes"]) for task in facts["tasks"]] == [("COMPLETED", other)]


def test_a_job_whose_node_is_lost_and_that_does_not_run_again_says_so(
    lab: Lab, cluster: PrivateCluster, nodes_again: None
) -> None:
    lab.script("echo $SLURMD_NODENAME > node.txt; sleep 60")
    job = lab.schedule("sbatch --no-requeue job.sh", outputs=["node.txt"])["slurm_job_id"]
    node = lab.root / "node.txt"
    wait_for(lambda: node.exists() and node.read_text())
    cluster.lose(node.read_text().strip())
    lab.wait(job)
    (left,) = lab.finish(job)
    assert left["failure"] == {"cause": "node-failure"}
    assert f"`datalad reschedule --failed {job}`" in text_of(left)


@pytest.mark.parametrize("option", ["close_failed_jobs", "commit_failed_jobs"])
def test_a_job_that_the_cluster_has_forgotten_is_ended_by_name_only(
    lab: Lab, cluster: PrivateCluster, option: str
) -> None:
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    wait_for((lab.root / "out.txt").exists)
    wait_for(lambda: not jobs_at(cluster, tokens_of(lab)))
    assert_nothing_ends(lab, job)
    (early,) = lab.finish(job, **{option: True})
    assert "in a moment" in text_of(early)
    let_time_pass(lab)
    assert_nothing_ends(lab, job)
    (left,) = lab.finish()
    for way in ("commit", "close"):
        assert f"datalad finish --{way}-failed-jobs {job}" in text_of(left)
    (ended,) = lab.finish(job, **{option: True})
    assert ended["status"] == "ok", text_of(ended)
    assert ("out.txt" in lab.committed()) == (option == "commit_failed_jobs")
    assert lab.listed() == {}


def test_a_controller_that_is_down_is_waited_for(lab: Lab, cluster: PrivateCluster) -> None:
    lab.script("echo x > out.txt")
    first = lab.schedule("sbatch job.sh", outputs=["out.txt"])["slurm_job_id"]
    lab.wait(first)
    with cluster.without_controller():
        refused = lab.schedule("sbatch job.sh", outputs=["more.txt"])
        assert refused["status"] == "impossible"
        assert "connect failure" in text_of(refused)
        assert state_of(lab, first) == "UNKNOWN"
        assert_nothing_ends(lab, first)
        (said, *_) = lab.finish()
        assert "left as they are; try again later" in text_of(said)
    assert lab.schedule("sbatch --hold job.sh", outputs=["more.txt"])["status"] == "ok"


def test_a_job_that_a_stalled_controller_takes_later_is_adopted(
    lab: Lab, cluster: PrivateCluster
) -> None:
    lab.script("echo x > out.txt")
    with cluster.stalled_controller():
        uncertain = lab.schedule("sbatch job.sh", outputs=["out.txt"])
        assert uncertain["status"] == "error"
        assert "timed out" in text_of(uncertain)
        assert "datalad finish --list-open-jobs" in text_of(uncertain)
        (label,) = lab.listed()
        assert label.startswith("submission-")
        again = lab.schedule("sbatch job.sh", outputs=["out.txt"])
        assert again["status"] == "impossible"
        assert label in text_of(again)
    (job,) = lab.listed()
    assert_finished_once(lab, job, cluster, "out.txt")


def test_a_stranger_with_the_same_id_does_not_speak_for_a_job(
    lab: Lab, cluster: PrivateCluster
) -> None:
    """The controller lost its state, and ids began anew."""
    cluster.forget_everything()
    lab.script("echo x > out.txt")
    job = lab.schedule("sbatch --hold job.sh", outputs=["out.txt"])["slurm_job_id"]
    let_time_pass(lab)
    for comment in ("", "somebody's own", "datalad-hpc:0123456789abcdef"):
        cluster.forget_everything()
        stranger = ["sbatch", "--parsable", f"--comment={comment}", "--hold", "--wrap", "true"]
        assert cluster.tell(*stranger).strip() == job
        cluster.tell("scancel", job)
        assert "CANCELLED" in cluster.tell("squeue", "--states=all", "--format=%T")
        assert_nothing_ends(lab, job)
        assert state_of(lab, job) == "UNKNOWN"
    assert [res["status"] for res in lab.finish(job, close_failed_jobs=True)] == ["ok"]


def test_two_jobs_with_the_same_id_are_told_apart(lab: Lab, cluster: PrivateCluster) -> None:
    """The first one's controller lost its state."""
    cluster.forget_everything()
    lab.script("echo x > $1")
    first = lab.schedule("sbatch --hold job.sh old.txt", outputs=["old.txt"])["slurm_job_id"]
    let_time_pass(lab)
    cluster.forget_everything()
    second = lab.schedule("sbatch --hold job.sh new.txt", outputs=["new.txt"])["slurm_job_id"]
    assert first == second
    # By their common name: what lives is not ended.
    ended = lab.finish(first, close_failed_jobs=True)
    assert sorted((*res["outputs"], res["status"]) for res in ended) == [
        ("new.txt", "impossible"),
        ("old.txt", "ok"),
    ]
    cluster.tell("scontrol", "release", second)
    assert_finished_once(lab, second, cluster, "new.txt")
