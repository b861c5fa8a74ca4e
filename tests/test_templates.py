"""Outputs of tasks: what a template stands for, and what it must not look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest
from datalad_hpc.templates import glob_of, is_template, path_of, refuse_variants, template_of

MARK = "0123456789abcdef"
PIECES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*?[]"), max_size=8)


@given(PIECES, PIECES)
def test_braces_of_a_name_stay_what_they_are(before: str, behind: str) -> None:
    template = template_of(f"{before}{MARK}{behind}", {"task": MARK})
    assert is_template(template)
    assert path_of(template, 12) == f"{before}12{behind}"
    assert glob_of(template) == f"{before}*{behind}".rstrip("/")


@pytest.mark.parametrize(
    "text", ["", "out", "{{task}}", "{", "{x}", "{task:03}", "{task!r}", "{task.real}", "{task}{0}"]
)
def test_what_is_no_template(text: str) -> None:
    assert not is_template(text)


@pytest.mark.parametrize("path", ["{task:03}", "out/{task!r}.dat", "{task.real}", "{task[0]}"])
def test_the_index_comes_in_one_form(path: str) -> None:
    with pytest.raises(BadRequest, match="plain number only"):
        refuse_variants(path)


@pytest.mark.parametrize("path", ["{task}", "{{task:03}}", "{x:3}", "{inputs[0]}", "{tasks:3}"])
def test_what_has_another_meaning_is_left_alone(path: str) -> None:
    refuse_variants(path)


@pytest.mark.parametrize("path", ["out/M*", "*M.dat", "M[0-9]", "[ab]M", "M1*", "?0M", "M/M?"])
def test_a_glob_beside_the_index_covers_other_tasks_too(path: str) -> None:
    with pytest.raises(BadRequest, match="task 11"):
        template_of(path.replace("M", MARK), {"task": MARK})


@pytest.mark.parametrize("path", ["out/M-*", "*/M.dat", "M/**", "**/M", "M.[ab]"])
def test_a_glob_apart_from_the_index_is_fine(path: str) -> None:
    assert template_of(path.replace("M", MARK), {"task": MARK}) == path.replace("M", "{task}")
