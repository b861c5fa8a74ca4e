"""Records: what is written is read again, and what cannot be read is said to be broken."""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from datalad.local.rerun import get_run_info
from hypothesis import given, settings
from hypothesis import strategies as st

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import BrokenRecord
from datalad_hpc.job import ClaimRole, Job, JobState, Part, Request
from datalad_hpc.record import (
    CORE_MARKER,
    MARKER,
    Record,
    Style,
    commit_message,
    log_paths,
    read_record,
    state_word,
)
from datalad_hpc.record.layout import short_command
from datalad_hpc.status import JobStatus, Phase, TaskStatus
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
STYLE = Style(DATASET, "/data/ds")
FOR_RERUN = replace(STYLE, for_rerun=True)


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
        **fields.pop("asked", {}),
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
    style = options.pop("style", STYLE)
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


@pytest.mark.parametrize(
    ("by", "with_identity", "told"),
    [("alice", False, "owner"), ("ben", False, "another user"), ("ben", True, "ben")],
)
def test_who_cancelled_a_job_is_named_only_if_wished(
    by: str, with_identity: bool, told: str
) -> None:
    ended = task("CANCELLED", Phase.FAILED, reason=f"by {by}")
    status = JobStatus("42", (ended,), identity={"user": "alice"})
    style = replace(STYLE, with_identity=with_identity)
    message = a_message(a_job(), status, style=style)
    assert record_json(message)["hpc"]["failure"] == {"cause": "cancelled", "by": told}
    assert with_identity or by not in message


@pytest.mark.parametrize("number", [100, 101])
def test_missing_outputs_of_tasks_are_named_where_they_are_few(number: int) -> None:
    names = [f"{index}.txt" for index in range(number)]
    tasks = tuple(
        task("COMPLETED", Phase.COMPLETED, index, missing=(name,))
        for index, name in enumerate(names)
    )
    job = a_job(tasks=tuple(range(number)))
    (failure,) = record_json(a_message(job, JobStatus("42", tasks)))["hpc"]["failures"]
    assert failure["tasks"] == f"0-{number - 1}"
    assert failure.get("outputs") == (names if number == 100 else None)
    plain = task("COMPLETED", Phase.COMPLETED, missing=tuple(names))
    failure = record_json(a_message(a_job(), JobStatus("42", (plain,))))["hpc"]["failure"]
    assert failure == {"cause": "missing-output", **({"outputs": names} if number == 100 else {})}


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
        "cpu_time": None,
        "peak_memory": 7,
        "usage": {"median_elapsed": 3.75, "median_peak_memory": 6},
        "nodes": ["n1", "n2"],
        "tasks": {"COMPLETED": "0-1", "OUT_OF_MEMORY": "2"},
        "failures": [{"cause": "out-of-memory", "tasks": "2"}],
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


def a_record(text: str, subject: str = "Slurm job 1: Completed", marker: str = MARKER) -> str:
    return f"{marker} {subject}\n\n{BELOW}\n{text}\n{ABOVE}\n"


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
        ({**GOOD, "cmd": " "}, "'cmd' is empty"),
        ({**GOOD, "hpc": {"submits": 1}}, "'hpc.submits' or 'hpc.container' cannot"),
        ({**GOOD, "hpc": {"container": ["x"]}}, "'hpc.submits' or 'hpc.container' cannot"),
        ({**GOOD, "hpc": {"container": "x" * 2000}}, "'hpc.submits' or 'hpc.container' cannot"),
        ({**GOOD, "hpc": {"resources": ["time"]}}, "no object of a few options"),
        ({**GOOD, "hpc": {"resources": None}}, "no object of a few options"),
        (
            {**GOOD, "hpc": {"resources": {f"a{'b' * at}": "" for at in range(101)}}},
            "no object of a few options",
        ),
        *(
            ({**GOOD, "hpc": {"resources": {name: value}}}, "no usable value for")
            for name, value in [
                ("time", 5),
                ("time", None),
                ("time", "1\n#SBATCH --uid=0"),
                ("time", "1\u2028"),
                ("time", "\ud800"),
                ("time", "1" * 1001),
                ("Time", "1"),
                ("-time", "1"),
                ("", "1"),
                ("time=1 --uid", "0"),
                ("t" * 65, "1"),
            ]
        ),
    ],
)
def test_a_broken_record_says_what_is_wrong(record: object, words: str) -> None:
    text = record if isinstance(record, str) else json.dumps(record)
    with pytest.raises(BrokenRecord, match=words):
        read_record(a_record(text))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("", "not valid JSON"),
        ("[]", "not a JSON object"),
        (f'"{"0a" * 16}"', "not a JSON object"),
        ({}, "'cmd' is missing or not a text"),
        ({"cmd": []}, "'cmd' is empty"),
        ({"cmd": ["a", 1]}, "'cmd' is missing or not a text"),
        ({"cmd": {"a": 1}}, "'cmd' is missing or not a text"),
        ({"cmd": "x", "exit": "1"}, "'exit' is not a number"),
        ({"cmd": "x", "exit": True}, "'exit' is not a number"),
        ({"cmd": "x", "outputs": "out"}, "'outputs' is not a list"),
        ({"cmd": "x", "outputs": [1]}, "'outputs' holds something that is not text"),
        ({"cmd": "x", "pwd": 1}, "'pwd' is not a text"),
        ({"cmd": "x", "hpc": {"resources": 1}}, "no object of a few options"),
    ],
)
def test_a_broken_record_of_core_says_what_is_wrong(record: object, words: str) -> None:
    text = record if isinstance(record, str) else json.dumps(record)
    with pytest.raises(BrokenRecord, match=words):
        read_record(a_record(text, "Subject", CORE_MARKER))


def test_a_record_of_core_needs_a_command_only() -> None:
    record = read_record(a_record('{"cmd": "x"}', "Why\n\nHow", CORE_MARKER))
    assert record
    assert record.request == Request("x", "", (), ())
    assert (record.messages, record.completed, record.is_cores) == ("Why\n\nHow", True, True)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["echo a | b"], "echo a | b"),
        (["echo", "a | b", "it's"], "echo 'a | b' 'it'\"'\"'s'"),
        (["--", "echo", "a"], "echo a"),
    ],
)
def test_an_old_command_of_core_is_a_list_of_words(command: list[str], line: str) -> None:
    record = read_record(a_record(json.dumps({"cmd": command}), "Why", CORE_MARKER))
    assert record
    assert record.request.command == line


@pytest.mark.parametrize(
    ("given", "read"),
    [("x", "sub/x"), ("../x/", "sub/../x/"), ("{{a}}", "sub/{a}"), ("{a", "sub/{a")],
)
def test_paths_of_core_are_filled_and_relative_to_the_folder(given: str, read: str) -> None:
    fields = {"cmd": "x", "pwd": "sub", "outputs": [given, ""], "inputs": [given], "exit": 2}
    record = read_record(a_record(json.dumps(fields), "Why", CORE_MARKER))
    assert record
    assert record.request.outputs == (read,)
    assert record.request.inputs == (read.removeprefix("sub/"),)
    assert not record.completed


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
    "message", ["", "Fix", f" {MARKER} x", f"{CORE_MARKER} x", f"Revert\n\n{a_record('{}')}"]
)
def test_other_commits_have_no_record(message: str) -> None:
    assert read_record(message) is None


PLAIN = "sort {inputs} > {outputs}"
SCRIPT = "#!/bin/bash\n#SBATCH --account=them\n\ncd -- /data/ds/sub\nsort x\n"


def own_part(job: Job, status: JobStatus = DONE, **options: Any) -> dict[str, Any]:
    own: dict[str, Any] = record_json(a_message(job, status, **options))["hpc"]
    return own


def test_a_plain_command_tells_what_was_asked_for() -> None:
    resources = {"time": "03:00:00", "account": "them", "mail-user": "me@x", "exclusive": ""}
    job = a_job(
        command=PLAIN,
        script=SCRIPT,
        environment={"slurm": "22.05"},
        asked={"resources": resources, "container": "tool"},
    )
    message = a_message(job, waited_for=["40", "41"])
    own = record_json(message)["hpc"]
    assert own["script"] == SCRIPT.replace("/data/ds", "{dspath}").replace("=them", "=…")
    assert own["resources"] == {"time": "03:00:00", "exclusive": ""}
    assert (own["container"], own["waited_for"]) == ("tool", ["40", "41"])
    assert own["environment"] == {"slurm": "22.05"}
    assert not {"submits", "script_sha256", "task", "values"} & own.keys()
    record = read_record(message)
    assert record
    assert record.request.resources == own["resources"]
    assert record.request.container == "tool"
    named = own_part(job, style=replace(STYLE, with_identity=True))
    assert named["resources"] == resources
    assert "--account=them" in named["script"]


def test_what_was_not_asked_for_is_not_told() -> None:
    told = own_part(a_job(command=PLAIN, script=SCRIPT)).keys() - own_part(a_job()).keys()
    assert told == {"script"}


@pytest.mark.parametrize("script", ["#!/bin/bash\n" + "x" * 5000, "#!/bin/bash\n\udcff\n"])
def test_a_script_that_is_long_or_no_text_is_told_by_its_hash(script: str) -> None:
    own = own_part(a_job(command=PLAIN, script=script))
    data = script.encode("utf-8", "surrogateescape")
    assert own["script_sha256"] == hashlib.sha256(data).hexdigest()
    assert "script" not in own


def test_a_submission_program_keeps_our_marker_and_says_what_it_is() -> None:
    job = a_job(command="./submit.sh", asked={"submits": True}, script=SCRIPT)
    message = a_message(job, style=FOR_RERUN)
    assert message.startswith(MARKER)
    own = record_json(message)["hpc"]
    assert own["submits"] is True
    assert "script" not in own
    record = read_record(message)
    assert record
    assert record.request.submits


def test_one_task_of_a_sweep() -> None:
    job = a_job(
        command="echo sub-01 > out",
        job_id="42_0",
        script=SCRIPT,
        parts=(Part(0, values={"sub": "sub-01"}),),
    )
    ended = task("CANCELLED", Phase.FAILED, signal=9, reason="by 1000", cpu_time=0.0)
    message = a_message(job, JobStatus("42_0", (ended,)))
    fields = record_json(message)
    own = fields["hpc"]
    assert (own["task"], own["values"]) == (0, {"sub": "sub-01"})
    assert (own["signal"], own["cpu_time"]) == (9, 0.0)
    assert not {"reason", "started", "facts", "tasks"} & own.keys()
    assert fields["slurm_outputs"] == log_paths(job)
    record = read_record(message)
    assert record
    assert record.job_id == "42_0"
    assert record.request == Request("echo sub-01 > out", "", (), ("out/",))


PLACES = ["x", "{y}", "d/", "sub/", "sub/z", "a b/c/d/", "{{", "a{b", "}", ".", "é", "[x]*"]


@settings(max_examples=200, deadline=None)
@given(
    command=HOSTILE.filter(lambda text: text.strip() and not text.strip().startswith("sbatch")),
    folder=st.sampled_from(["", "sub", "a b/c"]),
    inputs=PATHS,
    extra_inputs=PATHS,
    outputs=st.lists(st.sampled_from(PLACES)).map(tuple),
    chain=PATHS,
    message=HOSTILE,
    finish_message=HOSTILE,
)
def test_what_is_written_for_core_is_read_again(
    outputs: tuple[str, ...], finish_message: str, **fields: Any
) -> None:
    job = a_job(**fields, outputs=outputs, claims=())
    message = a_message(job, finish_message=finish_message, style=FOR_RERUN)
    assert message.startswith(f"{CORE_MARKER} ")
    subject, info = get_run_info(None, message)
    assert info["cmd"] == job.request.command
    record = read_record(message)
    assert record
    request, wanted = record.request, job.request
    assert (request.command, request.folder) == (wanted.command, wanted.folder)
    assert (request.inputs, request.extra_inputs) == (wanted.inputs, wanted.extra_inputs)
    assert [resolved(path) for path in request.outputs] == list(map(resolved, outputs))
    told = "\n\n".join(filter(None, (finish_message.strip("\n"), wanted.message.strip("\n"))))
    short = short_command(wanted.command)
    assert record.messages == ("" if told == short else told)
    assert subject == (told or short).rstrip()
    assert record.completed
    assert record.is_cores


def resolved(path: str) -> str:
    return posixpath.normpath(path) + "/" * path.endswith("/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(["cmd", "outputs", "inputs", "pwd", "chain", "dsid", "slurm_job_id", "exit"])
    | st.text(),
    JSON | st.just("sbatch x") | st.just(["out"]) | st.just(["{", "{0.__class__}", "}{", "{a!z}"]),
)
OWN_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "resources",
            "submits",
            "container",
            "script",
            "environment",
            "task",
            "values",
            "tasks",
            "covers",
            "task_outputs",
            "waited_for",
        ]
    ),
    JSON | st.dictionaries(st.sampled_from(["time", "mem"]) | st.text(), JSON),
)
USABLE = FIELDS.flatmap(
    lambda fields: OWN_FIELDS.map(lambda own: {"cmd": "x", "outputs": ["o"], **fields, "hpc": own})
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(), HOSTILE, *(each.map(json.dumps) for each in (JSON, FIELDS, USABLE))),
    st.text(),
)
def test_no_text_raises_anything_else(text: str, subject: str) -> None:
    for marker in (MARKER, CORE_MARKER):
        told = (a_record(text, marker=marker), a_record(text, subject, marker))
        for message in (text, marker + text, *told):
            with contextlib.suppress(BrokenRecord):
                sound(read_record(message))


def sound(record: Record | None) -> None:
    """What is read has the types that it has to have, whatever was written."""
    if record is None:
        return
    request = record.request
    texts = [request.command, request.folder, request.container, record.dataset_id]
    for many in (request.inputs, request.outputs, request.extra_inputs, request.chain):
        texts += many
    texts += [*request.resources, *request.resources.values(), *record.tasks.values()]
    assert all(isinstance(text, str) and "\0" not in text for text in texts)
    assert request.command.strip()
    assert isinstance(request.submits, bool)
    assert all(value.isprintable() for value in request.resources.values())


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


def test_a_record_for_core_says_why_a_job_failed_as_well() -> None:
    ended = task("OUT_OF_MEMORY", Phase.FAILED, signal=125)
    message = a_message(a_job(command="make"), JobStatus("42", (ended,)), style=FOR_RERUN)
    assert message.startswith("[DATALAD RUNCMD]")
    assert record_json(message)["hpc"]["failure"] == {"cause": "out-of-memory"}
