"""The pure part of sweeps: tables, requests and scripts of tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.job_script import job_script
from datalad_hpc.sweeps import batch_script_body, combined, script_of_task, task_request, used_in

commands = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=60)


@given(st.lists(commands, min_size=1, max_size=12))
def test_the_script_of_a_task_has_its_command_alone(texts: list[str]) -> None:
    script = job_script({"array": "0-3"}, "/data", "module load x", batch_script_body(texts))
    before = job_script({"array": "0-3"}, "/data", "module load x", "")
    for index, text in enumerate(texts):
        assert script_of_task(script, index) == f"{before}\n{text}\n"


def test_a_command_may_look_like_the_next_task() -> None:
    nested = "case $x in\n0)\na\n;;\n1)\nb\n;;\nesac"
    script = job_script({}, "/data", "", batch_script_body([nested, "echo 1", "echo 2"]))
    assert [script_of_task(script, index).split("\n\n", 2)[2] for index in range(3)] == [
        f"{nested}\n",
        "echo 1\n",
        "echo 2\n",
    ]


def test_a_script_of_another_form_stays_whole() -> None:
    assert script_of_task("#!/bin/sh\ntrue\n", 3) == "#!/bin/sh\ntrue\n"


def test_tables_multiply_and_the_last_one_changes_fastest() -> None:
    rows = combined([[{"a": "1"}, {"a": "2"}], [{"b": "x", "c": "p"}, {"b": "y", "c": "q"}]])
    assert [row["a"] + row["b"] + row["c"] for row in rows] == ["1xp", "1yq", "2xp", "2yq"]
    with pytest.raises(BadRequest, match="gets its values twice"):
        combined([[{"a": "1"}], [{"a": "2"}]])


def test_a_name_counts_where_it_is_a_placeholder() -> None:
    assert used_in(["{sub} {ses:>3}", "run {{no}} sub"], ["sub", "ses", "run"]) == ["sub", "ses"]


def test_values_stand_where_they_are_quoted_and_stay_no_placeholders() -> None:
    request = Request(
        "echo {v} '{v}' \"{v}\" {inputs} {{x}}", "", ("in/{v}",), (), message="{v}{w}"
    )
    task = task_request(request, {"v": "a'{b}"})
    assert task.command == "echo 'a'\"'\"'{{b}}' 'a'\\''{{b}}' \"a'{{b}}\" {inputs} {{x}}"
    assert task.inputs == ("in/a'{b}",)
    assert task.message == "a'{b}{w}"
