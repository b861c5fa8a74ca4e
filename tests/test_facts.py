"""The file with the scheduler's facts: complete, neutral, and without names of people."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.claims import claim_for
from datalad_hpc.facts import HIDDEN, facts_path, facts_path_of, facts_text
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job, JobState, Request
from datalad_hpc.status import JobStatus, Phase, TaskStatus

ROOT = "/data/ds"
WHEN = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)

JOB = Job(
    key=1,
    token="0123456789abcdef",
    state=JobState.OPEN,
    scheduler="slurm",
    cluster="east",
    job_id="42",
    created=WHEN,
    submitted=WHEN,
    request=Request("sbatch job.sh", "", (), ("out/",)),
    script="#!/bin/sh\n",
    submit_line=("sbatch", "job.sh"),
    tasks=None,
    head="",
    commit="",
    ref="",
)
STATUS = JobStatus(
    "42",
    (TaskStatus(None, "COMPLETED", Phase.COMPLETED, exit_code=0),),
    facts={"name": "job.sh"},
    identity={"user": "alice", "group": "bobs", "account": "carols"},
)


def facts(job: Job = JOB, status: JobStatus = STATUS, *, with_identity: bool = False) -> Any:
    return json.loads(facts_text(job, status, ROOT, with_identity=with_identity))


def words_of(*words: str, with_identity: bool = False) -> list[str]:
    line: list[str] = facts(replace(JOB, submit_line=words), with_identity=with_identity)[
        "submit_line"
    ]
    return line


def script_of(text: str) -> str:
    script: str = facts(replace(JOB, script=text))["script"]
    return script


def test_all_that_the_scheduler_knows_is_in_it() -> None:
    task = TaskStatus(
        3, "TIMEOUT", Phase.FAILED, "TimeLimit", 1, 15, 61.5, 0.25, 2048, "n[1-2]", WHEN, None
    )
    assert facts(status=JobStatus("42", (task,), facts={"partition": "debug"})) == {
        "format": 1,
        "scheduler": "slurm",
        "cluster": "east",
        "job_id": "42",
        "submit_line": ["sbatch", "job.sh"],
        "script": "#!/bin/sh\n",
        "partition": "debug",
        "tasks": [
            {
                "index": 3,
                "state": "TIMEOUT",
                "reason": "TimeLimit",
                "failure": {"cause": "timeout"},
                "exit_code": 1,
                "signal": 15,
                "elapsed": 61.5,
                "cpu_time": 0.25,
                "peak_memory": 2048,
                "nodes": "n[1-2]",
                "started": "2024-05-01T12:00:00+00:00",
                "ended": None,
            }
        ],
    }


def test_the_file_ends_in_a_newline_and_keeps_letters() -> None:
    text = facts_text(replace(JOB, script="# ä\n"), STATUS, ROOT, with_identity=False)
    assert text.endswith("}\n")
    assert "# ä" in text


IDENTITY = [
    ("--account=carols",),
    ("--account", "carols"),
    ("--account=two carols",),
    ("--acco=carols",),
    ("--accou", "carols"),
    ("-A", "carols"),
    ("-Acarols",),
    ("-HA", "carols"),
    ("-HAcarols",),
    ("--uid=alice",),
    ("--uid", "alice"),
    ("--gid=bobs",),
    ("--gi", "bobs"),
    ("--mail-user=alice@example.com",),
    ("--mail-us", "alice@example.com"),
]


@pytest.mark.parametrize("words", IDENTITY)
def test_names_of_people_are_kept_on_request_only(words: tuple[str, ...]) -> None:
    line = ("sbatch", "-n1", *words, "--output=x", "job.sh", "last")
    hidden = words_of(*line)
    assert not any(name in word for word in hidden for name in ("alice", "bobs", "carols"))
    assert len(hidden) == len(line)
    assert hidden[-3:] == ["--output=x", "job.sh", "last"]
    assert any(HIDDEN in word for word in hidden)
    assert words_of(*line, with_identity=True) == list(line)


@pytest.mark.parametrize(
    "option",
    [
        "-A carols", "-A  carols", "-Acarols", "--account=carols", "--account carols",
        "--account='the carols'", '-A "the carols"', "--acco carols", "--uid alice",
        "--gid=bobs", "--mail-user=alice@example.com", "-HA carols",
    ],
)  # fmt: skip
def test_names_of_people_are_hidden_in_the_script(option: str) -> None:
    lines = f"#!/bin/sh\n#SBATCH -n 1 {option} --time=5 # x\n#SBATCH\t{option}\n"
    hidden = script_of(lines)
    assert not any(name in hidden for name in ("alice", "bobs", "carols"))
    assert hidden.count(HIDDEN) == 2
    assert hidden.startswith("#!/bin/sh\n#SBATCH -n 1 ")
    assert " --time=5 # x\n" in hidden


def test_other_lines_of_the_script_are_as_they_were() -> None:
    script = "#!/bin/sh\nls -A here\n#SBATCH --mail-type=END --array=1-3\n  #SBATCH -A x\n"
    assert script_of(script) == script


def test_other_options_are_as_they_were() -> None:
    line = ("sbatch", "-a", "1-3", "--array=1", "--acctg-freq=5", "--gres=gpu", "--mail-type=ALL")
    assert words_of(*line) == list(line)


def test_identity_is_written_only_if_wished() -> None:
    assert "identity" not in facts()
    assert facts(with_identity=True)["identity"] == STATUS.identity
    text = facts_text(JOB, STATUS, ROOT, with_identity=False)
    assert not any(name in text for name in ("alice", "bobs", "carols"))


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("/data/ds", "{dspath}"),
        ("/data/ds/sub/x", "{dspath}/sub/x"),
        ("--chdir=/data/ds", "--chdir={dspath}"),
        ("-o/data/ds/log", "-o{dspath}/log"),
        ("cp /data/ds/a /data/ds/b", "cp {dspath}/a {dspath}/b"),
        ("'/data/ds' \"/data/ds\";", "'{dspath}' \"{dspath}\";"),
        ("PATH=/bin:/data/ds:/x", "PATH=/bin:{dspath}:/x"),
        ("cc -I/data/ds/inc", "cc -I{dspath}/inc"),
        ("file:///data/ds/x", "file://{dspath}/x"),
        ("/data/ds2", "/data/ds2"),
        ("/data/ds-old/x", "/data/ds-old/x"),
        ("/data/ds.bak", "/data/ds.bak"),
        ("/data/dsä", "/data/dsä"),
        ("/data/ds*", "/data/ds*"),
        ("/data/ds$N", "/data/ds$N"),
        ("/data/ds\\ 2", "/data/ds\\ 2"),
        ("/mnt/data/ds/x", "/mnt/data/ds/x"),
        ("~/data/ds", "~/data/ds"),
        ("../data/ds", "../data/ds"),
        ("${HOME}/data/ds", "${HOME}/data/ds"),
        ("data/ds", "data/ds"),
    ],
)
def test_the_root_is_replaced_where_it_is_the_root(text: str, neutral: str) -> None:
    assert words_of("sbatch", text)[1] == neutral
    assert script_of(f"#!/bin/sh\n{text}\n") == f"#!/bin/sh\n{neutral}\n"


def test_a_root_may_look_like_an_expression() -> None:
    job = replace(JOB, submit_line=("sbatch", "/d+(s)[1]/x", "/dds1/x"))
    text = facts_text(job, STATUS, "/d+(s)[1]", with_identity=False)
    assert json.loads(text)["submit_line"] == ["sbatch", "{dspath}/x", "/dds1/x"]


@given(st.text(), st.text())
def test_a_text_is_changed_by_the_root_alone(before: str, after: str) -> None:
    text = f"{before}{ROOT}{after}"
    assert script_of(text).replace("{dspath}", ROOT) == text.replace("{dspath}", ROOT)


@pytest.mark.parametrize(
    ("folder", "logs", "path"),
    [
        ("", [], "slurm-job-7.env.json"),
        ("sub", [], "sub/slurm-job-7.env.json"),
        ("sub", ["slurm-7.out"], "slurm-job-7.env.json"),
        ("", ["logs/7.out", "err/7.err"], "logs/slurm-job-7.env.json"),
        ("", ["logs/7_*.out"], "logs/slurm-job-7.env.json"),
        ("", ["logs/*/out", "x"], "logs/slurm-job-7.env.json"),
        ("", ["a[[]1]/7_*.out"], "a[1]/slurm-job-7.env.json"),
        ("", ["*/7.out"], "slurm-job-7.env.json"),
    ],
)
def test_facts_lie_beside_the_first_log(folder: str, logs: list[str], path: str) -> None:
    assert facts_path(folder, [claim_for(log, ClaimRole.LOG) for log in logs], "7") == path


def test_a_log_in_an_oddly_named_folder_is_no_glob() -> None:
    log = Claim("a[1]/7.out", ClaimKind.FILE, ClaimRole.LOG)
    assert facts_path("", [log], "7") == "a[1]/slurm-job-7.env.json"


def test_the_facts_of_a_kept_job_are_found_among_its_claims() -> None:
    claims = tuple(
        claim_for(path, ClaimRole.LOG) for path in ("l/42.out", "l/slurm-job-42.env.json")
    )
    output = claim_for("out/slurm-job-42.env.json")
    assert facts_path_of(replace(JOB, claims=(output, *claims))) == "l/slurm-job-42.env.json"
    assert facts_path_of(JOB) == "slurm-job-42.env.json"
