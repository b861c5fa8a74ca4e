"""``--submits``: a program of the site's that submits jobs itself, all of which are tracked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.commands.conftest import Lab, text_of

JOB = 'mkdir -p out; echo "$@" > "out/$1"'


def program(lab: Lab, text: str, name: str = "submit.sh") -> None:
    """Save a submission program in the dataset."""
    lab.script(text, name)
    (lab.root / name).chmod(0o755)
    lab.save(name)


def submit(lab: Lab, command: str = "./submit.sh", **options: Any) -> dict[str, Any]:
    return lab.schedule(command, submits=True, **{"outputs": ["out/"], **options})


def the_record(lab: Lab) -> dict[str, Any]:
    text = lab.message().partition("=== Do not change lines below ===")[2].partition("^^^")[0]
    record: dict[str, Any] = json.loads(text)
    return record


@pytest.fixture
def three(lab: Lab) -> Lab:
    """Submits an array, a job that waits for it, and one in another folder, with three logs."""
    lab.script(JOB)
    lab.script('mkdir -p out; echo "$SLURM_ARRAY_TASK_ID" > out/$SLURM_ARRAY_TASK_ID', "array.sh")
    lab.script("echo elsewhere > ../out/elsewhere", "there/job.sh")
    program(
        lab,
        "set -e; mkdir -p logs out\n"
        'echo "submitting $1"\n'
        "first=$(sbatch --parsable --array=1-2 --output=logs/%a.log array.sh)\n"
        'sbatch --dependency="afterok:$first" -o logs/second.log job.sh "$1" "$2"\n'
        "cd there; exec sbatch job.sh\n",
    )
    return lab


def test_all_jobs_of_a_program_are_one(three: Lab) -> None:
    lab = three
    job = submit(lab, "./submit.sh a 'b c'")
    assert job["status"] == "ok", text_of(job)
    ids = job["slurm_job_ids"]
    assert len(ids) == 3
    assert job["slurm_job_id"] == ids[0]
    assert list(lab.listed()) == [ids[0]]
    lab.wait()
    (done,) = lab.finish(ids[2])
    assert done["status"] == "ok", text_of(done)
    assert lab.listed() == {}
    logs = {"logs/1.log", "logs/2.log", "logs/second.log", f"there/slurm-{ids[2]}.out"}
    facts = f"logs/slurm-job-{ids[0]}.env.json"
    assert lab.committed() == {"out/1", "out/2", "out/a", "out/elsewhere", facts, *logs}
    assert (lab.root / "out/a").read_text() == "a b c\n"
    assert lab.changes() == ""
    record = the_record(lab)
    assert record["cmd"] == "./submit.sh a 'b c'"
    told = json.loads((lab.root / facts).read_text())
    assert [(each["job_id"], each["index"]) for each in told["tasks"]] == [
        (ids[0], 1),
        (ids[0], 2),
        (ids[1], None),
        (ids[2], None),
    ]
    assert [each["job_id"] for each in told["jobs"]] == ids
    assert "SLURM_ARRAY_TASK_ID" in told["jobs"][0]["script"]
    assert (lab.root / ".git/datalad/hpc").glob("*.jobs") != []
