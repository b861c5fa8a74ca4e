"""sbatch accepts a job, and its answer is late, doubled, garbled or lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commands.conftest import Lab, ask_store, stand_in, text_of

if TYPE_CHECKING:
    from datalad.api import Dataset

pytestmark = pytest.mark.slurm

KNOWN_AT_ONCE = {
    "swallowed": 'REAL "$@" > /dev/null',
    "told twice": 'REAL "$@" | sed p',
    "told twice by its number": 'REAL --parsable "$@" | sed p',
    "another id before it": 'echo Submitted batch job 4; REAL "$@"',
    "a banner": 'echo 2026; echo "3 jobs" >&2; REAL "$@"; echo 17; echo Bye >&2',
    "a banner and a number": 'echo 2026; REAL --parsable "$@"; echo 17',
    "a banner alone": 'echo 2026; REAL --quiet "$@"',
    "exit code 1": 'REAL "$@"; exit 1',
    "a number and exit code 1": 'REAL --parsable "$@"; echo odd >&2; exit 1',
    "words that nobody knows": 'REAL "$@" > /dev/null; echo quota exceeded >&2; exit 1',
}

KNOWN_LATER = {
    "swallowed, then killed": 'REAL "$@" > /dev/null; kill -9 $$',
    "never told": 'REAL "$@" > /dev/null; sleep 300',
    "exit code 1 without a word": 'REAL "$@" > /dev/null; exit 1',
    "timed out": 'REAL "$@" > /dev/null; echo "sbatch: error: Batch job submission failed: '
    'Socket timed out on send/recv operation" >&2; exit 1',
}

REFUSALS = {
    "a banner with a number": "echo 300; echo 'sbatch: error: Batch job submission failed: "
    "Invalid qos specification' >&2; exit 1",
    "before it asked": "echo 300; echo 'sbatch: unrecognized option' >&2; exit 1",
    "words that nobody knows": "echo '3 jobs are enough' >&2; exit 1",
}


@pytest.fixture
def lab(dataset: Dataset) -> Lab:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > $1")
    return lab


def patience(lab: Lab, seconds: str) -> None:
    lab.git("config", "datalad.hpc.scheduler-timeout", seconds)
    lab.dataset.config.reload(force=True)


def jobs_of(lab: Lab) -> dict[str, list[str]]:
    """Ids of the jobs that Slurm has of each of our submissions, by token."""
    told = subprocess.run(
        ["squeue", "--noheader", "--states=all", "--format=%i %k"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    tokens = [token for (token,) in ask_store(lab, "SELECT token FROM jobs")]
    return {
        token: [line.split()[0] for line in told if line.endswith(f"datalad-hpc:{token}")]
        for token in tokens
    }


def assert_each_is_finished_once(lab: Lab, before: Path, outputs: list[str]) -> None:
    """By the ordinary next commands, with the real sbatch."""
    (before / "sbatch").unlink()
    patience(lab, "60")
    listed = lab.listed()
    assert [job["outputs"] for job in listed.values()] == [[path] for path in outputs]
    assert sorted([job] for job in listed) == sorted(jobs_of(lab).values()), "submitted once each"
    lab.wait()
    start = lab.git("rev-parse", "HEAD").strip()
    done = lab.finish()
    assert [res["status"] for res in done] == ["ok"] * len(outputs), [*map(text_of, done)]
    assert lab.git("rev-list", "--count", f"{start}..HEAD").strip() == str(len(outputs))
    for result in done:
        job, (output,) = result["slurm_job_id"], result["outputs"]
        files = {output, f"slurm-{job}.out", f"slurm-job-{job}.env.json"}
        assert lab.committed(result["commit"]) == files
        facts = json.loads((lab.root / f"slurm-job-{job}.env.json").read_text())
        assert facts["job_id"] == job
    assert lab.changes() == ""
    assert ask_store(lab, "SELECT count(*) FROM jobs WHERE state != 'finished'") == [(0,)]


def test_a_job_whose_answer_is_odd_is_known_at_once(lab: Lab, before: Path) -> None:
    outputs = []
    for number, (why, text) in enumerate(KNOWN_AT_ONCE.items()):
        stand_in(before, "sbatch", text)
        outputs.append(f"out.{number}")
        job = lab.schedule(f"sbatch job.sh {outputs[-1]}", outputs=outputs[-1:])
        assert job["status"] == "ok", f"{why}: {text_of(job)}"
        assert [job["slurm_job_id"]] in jobs_of(lab).values(), why
    assert_each_is_finished_once(lab, before, outputs)


def test_a_job_whose_answer_is_lost_is_known_to_the_next_command(lab: Lab, before: Path) -> None:
    outputs = []
    for number, (why, text) in enumerate(KNOWN_LATER.items()):
        stand_in(before, "sbatch", text)
        # sbatch may take five times as long.
        patience(lab, "0.4" if "sleep" in text else "60")
        outputs.append(f"out.{number}")
        job = lab.schedule(f"sbatch job.sh {outputs[-1]}", outputs=outputs[-1:])
        assert job["status"] == "error", f"{why}: {text_of(job)}"
        assert "its outputs stay reserved" in text_of(job)
        assert "`datalad finish --list-open-jobs`" in text_of(job)
    assert_each_is_finished_once(lab, before, outputs)


def test_a_refusal_is_one_whatever_stands_beside_it(lab: Lab, before: Path) -> None:
    for why, text in REFUSALS.items():
        stand_in(before, "sbatch", text)
        job = lab.schedule("sbatch job.sh out", outputs=["out"])
        assert job["status"] == "impossible", f"{why}: {text_of(job)}"
        assert "refused the job" in text_of(job)
        assert lab.listed() == {}


def test_one_of_two_jobs_of_one_submission_is_kept(lab: Lab, before: Path) -> None:
    stand_in(before, "sbatch", 'REAL --hold "$@"; REAL --hold "$@"')
    job = lab.schedule("sbatch job.sh out", outputs=["out"])
    assert job["status"] == "error"
    ((first, second),) = (sorted(jobs, key=int) for jobs in jobs_of(lab).values())
    assert f"({first}, {second})" in text_of(job)
    assert "scancel" in text_of(job)
    (label,) = lab.listed()
    assert label.startswith("submission-")
    subprocess.run(["scancel", first], check=True)
    subprocess.run(["scontrol", "release", second], check=True)
    assert list(lab.listed()) == [second]
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
