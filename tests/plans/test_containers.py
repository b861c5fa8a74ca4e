"""A command in a call format, whatever the image is called."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.placeholders import fill_shell_text
from datalad_hpc.plans.containers import Container, wrapped

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def filled(call_format: str, image: str, command: str) -> list[str]:
    """The words that a shell gets, with "a b" for the inputs."""
    container = Container("tool", "", image, call_format, ())
    paths = {"img": image, "img_dspath": ".", "img_dirpath": "images"}
    text = wrapped(container, paths, command)
    return shlex.split(fill_shell_text(text, {"inputs": ["a b"]}))


@pytest.mark.parametrize("call_format", ["run {img} {cmd}", "run '{img}' {cmd}"])
@given(image=NAMES)
def test_any_image_is_one_word(call_format: str, image: str) -> None:
    assert filled(call_format, image, "tool {inputs}") == ["run", image, "tool", "a b"]


@given(NAMES)
def test_any_argument_of_the_command_is_one_word(argument: str) -> None:
    command = shlex.join(["tool", argument.replace("{", "{{").replace("}", "}}")])
    for image in ("images/tool", "my images/tool"):
        assert filled("run {img} {cmd}", image, command) == ["run", image, "tool", argument]


@given(NAMES)
def test_an_image_without_a_call_format_is_no_name_on_the_path(image: str) -> None:
    (program,) = filled("", image, "")
    assert "/" in program
