"""sbatch: its environment and its answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import SubmissionRefused, SubmissionUncertain
from datalad_hpc.schedulers.slurm_submit import (
    SUBMISSION_MAY_HAVE_BEEN_ACCEPTED,
    failure,
    query_environment,
    submission_environment,
    submissions_in,
)
from datalad_hpc.status import Submission

JOB_AROUND = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "4000", "SLURMD_NODENAME": "node01"}
OWN = {"PATH": "/bin", "SBATCH_ACCOUNT": "physics", "SLURM_CONF": "/etc/slurm.conf"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("128\n", [Submission("128")]),
        ("128;one\n", [Submission("128", "one")]),
        ("Submitted batch job 128\n", [Submission("128")]),
        ("Submitted batch job 128 on cluster one\n", [Submission("128", "one")]),
        ("*** Welcome ***\nQuota: 300 GB\n\n128;one\nBye\n", [Submission("128", "one")]),
        ("300\nSubmitted batch job 128\n", [Submission("128")]),
        ("[site] Submitted batch job 128\r\n", [Submission("128")]),
        ("128\n128\n", [Submission("128")]),
        (
            "Submitted batch job 128\nSubmitted batch job 128 on cluster one\n",
            [Submission("128", "one")],
        ),
        ("128\n129\n", [Submission("128"), Submission("129")]),
        ("Submitted batch job 5\nSubmitted batch job 6\n", [Submission("5"), Submission("6")]),
        ("", []),
        ("Quota: 300\nrun 7 times\n", []),
    ],
)
def test_answers(text: str, expected: list[Submission]) -> None:
    assert list(submissions_in(text)) == expected


@given(st.integers(1, 2**31), st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True))
def test_every_id_and_cluster_is_read(job: int, cluster: str) -> None:
    expected = (Submission(str(job), cluster),)
    assert submissions_in(f"{job};{cluster}\n") == expected
    assert submissions_in(f"Submitted batch job {job} on cluster {cluster}\n") == expected


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified",
        "sbatch: unrecognized option '--nosuch'",
        "sbatch: error: Unable to open file /data/job.sh",
        "sbatch: error: No cluster 'nope' known by database.",
        "sbatch: error: Batch job submission failed: "
        "Unable to contact slurm controller (connect failure)",
        "sbatch: debug: Connection timed out\nsbatch: error: Batch job submission failed: "
        "Unable to contact slurm controller (connect failure)",
    ],
)
def test_refusals_show_the_words_of_sbatch(words: str) -> None:
    error = failure(1, words)
    assert isinstance(error, SubmissionRefused)
    assert words in str(error)


@pytest.mark.parametrize("phrase", SUBMISSION_MAY_HAVE_BEEN_ACCEPTED)
def test_a_lost_answer_is_no_refusal(phrase: str) -> None:
    words = f"sbatch: error: Batch job submission failed: {phrase.capitalize()}"
    error = failure(1, words)
    assert isinstance(error, SubmissionUncertain)
    assert words in str(error)


@pytest.mark.parametrize(("code", "words"), [(-9, "sbatch: error: x"), (137, "Killed"), (1, "")])
def test_an_sbatch_that_was_stopped_is_no_refusal(code: int, words: str) -> None:
    assert isinstance(failure(code, words), SubmissionUncertain)


def test_the_job_around_us_does_not_leak() -> None:
    around = {**JOB_AROUND, "SBATCH_CPU_BIND": "quiet", "SBATCH_MEM_BIND_TYPE": "none"}
    assert submission_environment({**OWN, **around}) == OWN


def test_outside_a_job_settings_stay() -> None:
    own = {**OWN, "SLURM_HINT": "nomultithread"}
    assert submission_environment({**own, "SBATCH_WAIT": "1"}) == own


def test_queries_are_not_narrowed_by_settings_of_the_user() -> None:
    narrowing = {"SQUEUE_STATES": "RUNNING", "SACCT_LOCAL": "1", "SLURM_CLUSTERS": "one"}
    environment = query_environment({**OWN, **narrowing, "TZ": "Asia/Tokyo"})
    assert not narrowing.keys() & environment.keys()
    assert environment["TZ"] == "UTC"
    assert environment["SLURM_CONF"] == OWN["SLURM_CONF"]
