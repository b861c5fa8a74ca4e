"""Mail that the user asks Slurm for, and whose address stays out of what is shared."""

from __future__ import annotations

import pytest
from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, text_of
from tests.helpers import wait_for
from tests.slurm.private import PrivateCluster

ADDRESS = "somebody@example.com"
MAIL = f"mail-type=END,FAIL mail-user={ADDRESS}"


@pytest.fixture
def lab(dataset: Dataset, cluster: PrivateCluster) -> Lab:
    cluster.mails.unlink(missing_ok=True)
    return Lab(dataset, "slurm")


def has_mail(cluster: PrivateCluster, job: str, what: str) -> bool:
    lines = cluster.mails.read_text().splitlines() if cluster.mails.exists() else []
    return any(ADDRESS in line and f"Job_id={job} " in line and what in line for line in lines)


@pytest.mark.parametrize("command", ["echo x > out", ["sbatch", "--wrap", "echo x > out"]])
def test_mail_is_sent_and_the_address_kept_to_oneself(
    lab: Lab, cluster: PrivateCluster, command: str | list[str]
) -> None:
    job = lab.schedule(command, outputs=["out"], resources=[MAIL])["slurm_job_id"]
    wait_for(lambda: has_mail(cluster, job, "Ended"))
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert ADDRESS not in lab.git("show", "HEAD")
    facts = (lab.root / f"slurm-job-{job}.env.json").read_text()
    assert ADDRESS not in facts
    assert "mail-type" in facts


def test_a_retry_sends_mail_too(lab: Lab, cluster: PrivateCluster) -> None:
    job = lab.schedule("test -e .git/ok && echo x > out", outputs=["out"], resources=[MAIL])
    wait_for(lambda: has_mail(cluster, job["slurm_job_id"], "Failed"))
    lab.wait()
    (lab.root / ".git" / "ok").touch()
    (again,) = lab.dataset.reschedule(failed=True, **QUIET)
    assert again["status"] == "ok", text_of(again)
    wait_for(lambda: has_mail(cluster, again["slurm_job_id"], "Ended"))
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert ADDRESS not in lab.git("show", "HEAD")
