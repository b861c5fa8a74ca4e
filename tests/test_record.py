"""Records: what is written is read again, and what cannot be read is said to be broken."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import BrokenRecord
from datalad_hpc.job import ClaimRole, Job, JobState, JobStatus, Phase, Request, TaskStatus
from datalad_hpc.record import (
    MARKER,
    Style,
    commit_message,
    log_paths,
    read_record,
    state_word,
)
from datalad_hpc.templates import glob_of
from datalad_hpc.wording import ranges

RECORDS = Path(__file__).parent / "data" / "records"
BELOW = "=== Do not change lines below ==="
ABOVE = "^^^ Do not change lines above ^^^"

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
HOSTILE = st.one_of(
    TEXT,
    st.lists(
        st.sampled_from(
            [
                MARKER,
                BELOW,
                ABOVE,
                "\n",
                "\n\n",
                '"',
                "'",
                "{",
                "}",
                "\\",
                "ä",
                "%s",
                "{}",
                '{"cmd": 1}',
            ]
        )
    ).map("".join),
)
PATHS = st.lists(HOSTILE.filter(bool), max_size=3).map(tuple)


DATASET = "00000000-1111-2222-3333-444444444444"


def a_job(**fields: Any) -> Job:
    request = Request(
        command=fields.pop("command", "sbatch job.sh"),
        folder=fields.pop("folder", ""),
        inputs=fields.pop("inputs", ()),
        outputs=fields.pop("outputs", ("out/",)),
        extra_inputs=fields.pop("extra_inputs", ()),
        message=fields.pop("message", ""),
        chain=fields.pop("chain", ()),
        task_outputs=fields.pop("task_outputs", ()),
    )
    values: dict[str, Any] = {
        "key": 1,
        "token": "0123456789abcdef",
        "state": JobState.OPEN,
        "scheduler": "slurm",
        "cluster": "",
        "job_id": "42",
        "created": datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
        "submitted": datetime(2024, 5, 1, 12, 0, 1, tzinfo=timezone.utc),
        "request": request,
        "script": "#!/bin/sh\n",
        "submit_line": ("sbatch", "job.sh"),
        "tasks": None,
        "head": "a" * 40,
        "commit": "",
        "ref": "",
        "claims": (
            claim_for("out/"),
            claim_for("slurm-42.out", ClaimRole.LOG),
            claim_for("slurm-job-42.env.json", ClaimRole.LOG),
        ),
    }
    return Job(**{**values, **fields})


def task(state: str, phase: Phase, index: int | None = None, **numbers: Any) -> TaskStatus:
    return TaskStatus(index, state, phase, **numbers)


DONE = JobStatus("42", (task("COMPLETED", Phase.COMPLETED, exit_code=0),))


def a_message(job: Job, status: JobStatus = DONE, **options: Any) -> str:
    style = options.pop("style", Style(DATASET))
    values: dict[str, Any] = {
        "outputs": job.request.outputs,
        "facts_path": "slurm-job-42.env.json",
    }
    return commit_message(job, status, style, **{**values, **options})


def record_json(message: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(message.rpartition(BELOW)[2].partition(ABOVE)[0])
    return fields


@settings(max_examples=200, deadline=None)
@given(
    command=HOSTILE.filter(lambda text: text.strip()),
    folder=HOSTILE.filter(lambda text: text not in (".", "")),
    inputs=PATHS,
    extra_inputs=PATHS,
    outputs=PATHS,
    chain=PATHS,
    message=HOSTILE,
    finish_message=HOSTILE,
)
def test_what_is_written_is_read_again(finish_message: str, **fields: Any) -> None:
    job = a_job(**fields, claims=())
    record = read_record(a_message(job, facts_path="\r", finish_message=finish_message))
    assert record
    request = job.request
    assert record.request == Request(
        command=request.command,
        folder=request.folder,
        inputs=request.inputs,
        extra_inputs=request.extra_inputs,
        outputs=tuple(path for path in request.outputs if path != "\r"),
        chain=request.chain,
    )
    both = [text.strip("\n") for text in (finish_message, request.message) if text]
    assert record.messages == "\n\n".join(both).strip("\n")
    assert (record.job_id, record.state, record.completed) == ("42", "Completed", True)
    assert record.dataset_id == "00000000-1111-2222-3333-444444444444"


def test_the_message_is_laid_out_as_datalad_slurm_does() -> None:
    job = a_job(message="why\n", chain=("b" * 40,))
    lines = a_message(job, finish_message="at the end").split("\n")
    assert lines[:7] == [
        "[DATALAD SLURM RUN] Slurm job 42: Completed",
        "",
        "at the end",
        "",
        "why",
        "",
        BELOW,
    ]
    assert lines[-2:] == [ABOVE, ""]
    fields = record_json("\n".join(lines))
    assert {name: fields[name] for name in fields if name != "hpc"} == {
        "chain": ["b" * 40],
        "cmd": "sbatch job.sh",
        "commit_id": "a" * 40,
        "dsid": "00000000-1111-2222-3333-444444444444",
        "extra_inputs": [],
        "inputs": [],
        "outputs": ["out/"],
        "pwd": ".",
        "slurm_job_id": 42,
        "slurm_outputs": ["slurm-42.out", "slurm-job-42.env.json"],
    }


def test_the_record_has_the_facts_of_the_end() -> None:
    tasks = (
        task("COMPLETED", Phase.COMPLETED, 0, exit_code=0, elapsed=3, peak_memory=5, nodes="n1"),
        task("COMPLETED", Phase.COMPLETED, 1, exit_code=0, elapsed=4.5, nodes="n2"),
        task("OUT_OF_MEMORY", Phase.FAILED, 2, exit_code=9, peak_memory=7, nodes="n2"),
    )
    job = a_job(tasks=(0, 1, 2), job_id="7+1", cluster="east")
    message = a_message(job, JobStatus("7", tasks))
    assert message.startswith(f"{MARKER} Slurm job 7+1: Out of memory (1 of 3 tasks)\n")
    fields = record_json(message)
    assert fields["slurm_job_id"] == "7+1"
    assert fields["hpc"] == {
        "format": 1,
        "scheduler": "slurm",
        "cluster": "east",
        "submitted": "2024-05-01T12:00:01+00:00",
        "state": "Out of memory (1 of 3 tasks)",
        "facts": "slurm-job-42.env.json",
        "exit_code": 9,
        "elapsed": 4.5,
        "peak_memory": 7,
        "nodes": ["n1", "n2"],
        "tasks": {"COMPLETED": "0-1", "OUT_OF_MEMORY": "2"},
        "covers": "0-2",
        "task_outputs": [],
    }
    record = read_record(message)
    assert record
    assert (record.job_id, record.completed) == ("7+1", False)


def test_a_plain_job_has_no_tasks_in_its_record() -> None:
    assert "tasks" not in record_json(a_message(a_job()))["hpc"]
    status = JobStatus("42", DONE.tasks, facts={"cluster": "told"})
    assert record_json(a_message(a_job(), status))["hpc"]["cluster"] == "told"


def test_logs_are_outputs_of_the_scheduler_and_each_stands_once() -> None:
    job = a_job()
    assert log_paths(job) == ["slurm-42.out", "slurm-job-42.env.json"]
    assert record_json(a_message(job))["slurm_outputs"] == log_paths(job)
    elsewhere = record_json(a_message(job, facts_path="else.json"))["slurm_outputs"]
    assert elsewhere == [*log_paths(job), "else.json"]


OK, BAD, WORSE = (
    ("COMPLETED", Phase.COMPLETED),
    ("FAILED", Phase.FAILED),
    ("TIMEOUT", Phase.FAILED),
)


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([OK], "Completed"),
        ([OK, OK], "Completed"),
        ([BAD], "Failed"),
        ([WORSE], "Timeout"),
        ([("OUT_OF_MEMORY", Phase.FAILED)], "Out of memory"),
        ([OK, WORSE], "Timeout (1 of 2 tasks)"),
        ([WORSE, WORSE], "Timeout (2 of 2 tasks)"),
        ([OK, BAD, WORSE], "Failed (2 of 3 tasks)"),
    ],
)
def test_state_words(states: list[tuple[str, Phase]], word: str) -> None:
    tasks = tuple(task(*state, index) for index, state in enumerate(states))
    assert state_word(JobStatus("1", tasks)) == word


def test_datalad_slurms_record_is_read() -> None:
    record = read_record((RECORDS / "datalad-slurm-completed.txt").read_text())
    assert record
    assert record.request == Request("sbatch s/job.sh", "", (), ("./out",))
    assert record.completed
    assert (record.job_id, record.messages) == ("1", "")
    assert record.dataset_id == "00000000-1111-2222-3333-444444444444"


def test_datalad_slurms_record_of_a_failed_job_is_read() -> None:
    record = read_record((RECORDS / "datalad-slurm-failed.txt").read_text())
    assert record
    assert record.request == Request("sbatch ar.sh", "", (), ("./out2",))
    assert not record.completed
    assert record.state == "Failed"
    assert record.messages.endswith("\n\nhello")


def a_record(text: str, subject: str = "Slurm job 1: Completed") -> str:
    return f"{MARKER} {subject}\n\n{BELOW}\n{text}\n{ABOVE}\n"


GOOD: dict[str, Any] = {"cmd": "sbatch x", "outputs": ["out"]}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("'cmd'", "not valid JSON"),
        ("[" * 200_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        ('"0123abcd"', "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "'cmd' is missing or not a text"),
        ({"outputs": []}, "'cmd' is missing"),
        ({"cmd": "x"}, "'outputs' is missing or not a list"),
        ({**GOOD, "cmd": ["sbatch"]}, "'cmd' is missing or not a text"),
        ({**GOOD, "cmd": None}, "'cmd' is missing"),
        ({**GOOD, "cmd": "a\0b"}, "'cmd' holds something that is not text"),
        ({**GOOD, "outputs": "out"}, "'outputs' is missing or not a list"),
        ({**GOOD, "outputs": {"a": 1}}, "'outputs' is missing or not a list"),
        ({**GOOD, "outputs": ["a", 1]}, "'outputs' holds something that is not text"),
        ({**GOOD, "outputs": ["a", None]}, "'outputs' holds something"),
        ({**GOOD, "inputs": "x"}, "'inputs' is not a list"),
        ({**GOOD, "inputs": [["x"]]}, "'inputs' holds something that is not text"),
        ({**GOOD, "inputs": ["\ud800"]}, "'inputs' holds something that is not text"),
        ({**GOOD, "extra_inputs": [1]}, "'extra_inputs' holds something"),
        ({**GOOD, "slurm_outputs": [1]}, "'slurm_outputs' holds something"),
        ({**GOOD, "chain": 1}, "'chain' is not a list"),
        ({**GOOD, "pwd": ["x"]}, "'pwd' is not a text"),
        ({**GOOD, "dsid": 5}, "'dsid' is not a text"),
    ],
)
def test_a_broken_record_says_what_is_wrong(record: object, words: str) -> None:
    text = record if isinstance(record, str) else json.dumps(record)
    with pytest.raises(BrokenRecord, match=words):
        read_record(a_record(text))


@pytest.mark.parametrize(
    "message",
    [
        MARKER,
        f"{MARKER} Slurm job 1: Completed",
        f"{MARKER} Slurm job 1: Completed\n\n{BELOW}\n{{}}\n",
        f"{MARKER} Slurm job 1: Completed\n\n{{}}\n{ABOVE}\n",
        f"{MARKER} Slurm job 1: Completed\n\n{ABOVE}\n{{}}\n{BELOW}\n",
    ],
)
def test_missing_marker_lines_are_named(message: str) -> None:
    with pytest.raises(BrokenRecord, match="lines between the markers"):
        read_record(message)


def test_what_is_left_out_has_a_default() -> None:
    record = read_record(a_record(json.dumps({**GOOD, "dsid": None, "inputs": None})))
    assert record
    assert record.request == Request("sbatch x", "", (), ("out",))
    assert (record.dataset_id, record.job_id) == ("", "")


def test_lines_that_others_added_at_the_end_do_not_matter() -> None:
    record = read_record(a_record(json.dumps(GOOD)) + "\nSigned-off-by: Somebody\n")
    assert record
    assert record.request.outputs == ("out",)


@pytest.mark.parametrize(
    "message", ["", "Fix", f" {MARKER} x", "[DATALAD RUNCMD] x", f"Revert\n\n{a_record('{}')}"]
)
def test_other_commits_have_no_record(message: str) -> None:
    assert read_record(message) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(["cmd", "outputs", "inputs", "pwd", "chain", "dsid", "slurm_job_id", "hpc"])
    | st.text(),
    JSON | st.just("sbatch x") | st.just(["out"]),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), HOSTILE, JSON.map(json.dumps), FIELDS.map(json.dumps)), st.text())
def test_no_text_raises_anything_else(text: str, subject: str) -> None:
    for message in (text, MARKER + text, a_record(text), a_record(text, subject)):
        with contextlib.suppress(BrokenRecord):
            read_record(message)


INDICES = st.sets(st.integers(0, 30), min_size=1).map(sorted).map(tuple)


@given(INDICES, st.data())
def test_the_record_tells_which_tasks_the_commit_covers(
    indices: tuple[int, ...], data: st.DataObject
) -> None:
    failed = data.draw(st.sets(st.sampled_from(indices)))
    templates = data.draw(st.sampled_from([(), ("o-{task}",), ("{{x}}/{task}/", "{task}.dat")]))
    tasks = [
        task("FAILED", Phase.FAILED, each)
        if each in failed
        else task("COMPLETED", Phase.COMPLETED, each)
        for each in indices
    ]
    job = a_job(tasks=indices, outputs=("sum",), task_outputs=templates)
    outputs = ["sum", *map(glob_of, templates)]
    message = a_message(job, JobStatus("42", tuple(tasks)), outputs=outputs, left_out=failed)
    record = read_record(message)
    assert record
    assert record.covers == ranges([each for each in indices if each not in failed])
    assert record.tasks.get("FAILED", "") == ranges(list(failed))
    assert record.request.outputs == ("sum",)
    assert record.request.task_outputs == templates
    assert record_json(message)["outputs"] == outputs


def test_a_plain_job_has_no_tasks_to_cover() -> None:
    fields = record_json(a_message(a_job()))
    assert not {"tasks", "covers", "task_outputs"} & fields["hpc"].keys()
    record = read_record(a_message(a_job()))
    assert record
    assert (record.tasks, record.covers) == ({}, "")
