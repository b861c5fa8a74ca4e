"""Names in commands arrive whole, and what would need a shell is refused."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datalad_hpc import process
from datalad_hpc.errors import BadRequest
from datalad_hpc.placeholders import (
    expand_paths,
    fill,
    fill_command,
    fill_paths,
    one_line,
    split_words,
)

if TYPE_CHECKING:
    from datalad.api import Dataset

ODD = [
    "a b", " lead", "trail ", "it's", '"q"', "$HOME", "`id`", "$(id)", "*", "?[x]", "~", "a\nb",
    "\t", "-n", "--wrap=x", "{inputs}", "{{", "}", "\\", "\\\\n", "a;b", "a&&b", "|", "<>", "#x",
    "ä ö", "\u00a0", "!x", "%s", "=", "",
]  # fmt: skip
NAMES = st.lists(
    st.sampled_from(ODD)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    max_size=4,
)


def values(inputs: list[str], **more: Any) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": ["o 1", "o2"], "pwd": "/p w/d", "dspath": "/ds", **more}


@settings(max_examples=300, deadline=None)
@given(NAMES)
@example(ODD)
def test_names_arrive_whole(names: list[str]) -> None:
    assert fill_command("sbatch job.sh {inputs}", values(names)) == ["sbatch", "job.sh", *names]
    argv = fill_command("sbatch job.sh x={inputs} end", values(names or ["x"]))
    assert argv == ["sbatch", "job.sh", *_prefixed("x=", names or ["x"]), "end"]


def _prefixed(prefix: str, names: list[str]) -> list[str]:
    return [prefix + names[0], *names[1:]]


@settings(deadline=None)
@given(NAMES)
def test_a_quoted_placeholder_is_one_argument(names: list[str]) -> None:
    for word in ('"{inputs}"', "'{inputs}'"):
        assert fill_command(f"sbatch job.sh {word}", values(names))[2:] == [" ".join(names)]
    assert fill_command(r"sbatch job.sh \ {inputs}", values(names))[2:] == [f" {' '.join(names)}"]


@settings(deadline=None)
@given(NAMES.filter(bool))
def test_a_list_of_words_is_kept_word_by_word(words: list[str]) -> None:
    escaped = [word.replace("{", "{{").replace("}", "}}") for word in words]
    line = one_line(["sbatch", "x.sh", *escaped])
    assert fill_command(line, values([])) == ["sbatch", "x.sh", *words]
    assert split_words(line)[:2] == ["sbatch", "x.sh"]


SHELL_NAMES = st.lists(
    st.sampled_from([name for name in ODD if name])
    | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
    ),
    min_size=1,
    max_size=3,
)


def told_by_shell(text: str, folder: str = "/") -> list[str]:
    """The arguments that a shell gives to ``printf``, as it reads the text of ``--wrap``."""
    ended = process.check(["sh", "-c", text], folder=folder)
    return ended.text.split("\0")[:-1]


WRAPS = [
    ["sbatch", "--wrap", "printf '%s\\0' {inputs}"],
    ["sbatch", "--wrap=printf '%s\\0' {inputs}"],
    ["sbatch", "--wra=printf '%s\\0' {inputs}"],
]


@settings(max_examples=30, deadline=None)
@given(SHELL_NAMES)
@example([name for name in ODD if name])
def test_a_shell_gets_each_name_from_wrap(names: list[str]) -> None:
    for command in WRAPS:
        argv = fill_command(one_line(command), values(names))
        assert argv[:-1] == command[:-1]
        assert told_by_shell(argv[-1].partition("=")[2] if len(argv) == 2 else argv[-1]) == names
    line = """sbatch --wrap="printf '%s\\0' {inputs}" """
    assert told_by_shell(fill_command(line, values(names))[-1].partition("=")[2]) == names


@settings(max_examples=30, deadline=None)
@given(SHELL_NAMES)
@example([name for name in ODD if name])
def test_quotes_around_a_placeholder_in_wrap_make_one_argument(names: list[str]) -> None:
    for quote in "'\"":
        text = f"printf '%s\\0' {quote}<{{inputs}}>{quote} {quote}{quote}{{inputs[0]}}"
        argv = fill_command(one_line(["sbatch", "--wrap", text]), values(names))
        assert told_by_shell(argv[-1]) == [f"<{' '.join(names)}>", names[0]]


def test_wrap_keeps_the_shells_own_signs() -> None:
    text = "cat {inputs} | awk '{{print $1}}' > {outputs[0]} && echo \"$(date)\" ${{X}} \\{{"
    argv = fill_command(one_line(["sbatch", "--wrap", text]), values(["a b"]))
    expected = "cat 'a b' | awk '{print $1}' > 'o 1' && echo \"$(date)\" ${X} \\{"
    assert argv == ["sbatch", "--wrap", expected]


@pytest.mark.parametrize("text", ['echo "$(cat {inputs})"', 'echo "`cat {inputs}`"'])
def test_a_name_that_cannot_be_quoted_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="cannot be quoted safely"):
        fill_command(one_line(["sbatch", "--wrap", text]), values(["a"]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sbatch  job.sh\t'a b'\n", ["sbatch", "job.sh", "'a b'"]),
        ("sbatch a\u00a0b c\u2003d", ["sbatch", "a\u00a0b", "c\u2003d"]),
        (r"a\ b 'c'\''d' \' \;", [r"a\ b", r"'c'\''d'", r"\'", r"\;"]),
        ('--x="a \'b\' \\" c"d', ['--x="a \'b\' \\" c"d']),
        ("'' \"\"", ["''", '""']),
        ("", []),
    ],
)
def test_words_are_those_of_a_shell(line: str, words: list[str]) -> None:
    assert split_words(line) == words
    assert [shlex.split(word)[0] for word in words] == shlex.split(line)


@settings(max_examples=300)
@given(st.text("ab '\"\\\n\t$", max_size=12))
def test_quoting_is_read_as_shlex_reads_it(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(BadRequest):
            split_words(line)
        return
    assert [shlex.split(word)[0] for word in split_words(line)] == expected


@pytest.mark.parametrize("line", ["sbatch 'a", 'sbatch "a', "sbatch a\\", "sbatch 'it's'", "'"])
def test_an_unclosed_quote_is_refused(line: str) -> None:
    with pytest.raises(BadRequest, match="quote that is not closed"):
        fill_command(line, {})


@pytest.mark.parametrize("sign", ["|", "&&", ";", "&", ">", "<", "`", "(", ")", "$("])
def test_what_needs_a_shell_is_refused_and_may_be_quoted(sign: str) -> None:
    for line in (f"sbatch a {sign} b", f"sbatch a{sign}b"):
        with pytest.raises(BadRequest, match="not run through a shell"):
            fill_command(line, {})
    assert fill_command(f"sbatch 'a {sign} b' \"{sign}\"", {}) == ["sbatch", f"a {sign} b", sign]


@pytest.mark.parametrize(
    "word",
    [
        "{nothing}", "{inputs[5]}", "{inputs[x]}", "{}", "{0}", "{inputs", "inputs}", "{inputs!x}",
        "{pwd:d}", "{inputs.none}", "{pwd[x]}", "{a-b}", "{ inputs }",
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", ["sbatch {}", "sbatch '{}'", "sbatch --wrap '{}'"])
def test_an_unknown_placeholder_is_refused_and_the_known_are_named(word: str, line: str) -> None:
    with pytest.raises(BadRequest, match=r"known are {dspath}, {inputs}, {outputs}, {pwd}, and"):
        fill_command(line.replace("{}", word), values(["a"]))


def test_placeholders_are_filled() -> None:
    line = "sbatch {{x}} {inputs[0]} {inputs[1]} {outputs} {pwd}/x --chdir={dspath} {own} a{{b}}c"
    assert fill_command(line, values(["a b", "c"], own="x y")) == [
        "sbatch", "{x}", "a b", "c", "o 1", "o2", "/p w/d/x", "--chdir=/ds", "x y", "a{b}c",
    ]  # fmt: skip


def test_no_inputs_are_no_argument() -> None:
    assert fill_command("sbatch {inputs} x", values([])) == ["sbatch", "x"]
    assert fill_command("sbatch '{inputs}' x", values([])) == ["sbatch", "", "x"]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (" sbatch x ", "sbatch x"),
        (["sbatch x 'a b'"], "sbatch x 'a b'"),
        (["sbatch", "x", "a b"], "sbatch x 'a b'"),
        (["--", "sbatch", "x"], "sbatch x"),
        (["--", "sbatch x"], "sbatch x"),
        ([], ""),
        (["--"], ""),
        ("", ""),
    ],
)
def test_a_command_is_one_line(command: str | list[str], line: str) -> None:
    assert one_line(command) == line


@pytest.mark.parametrize(("command", "words"), [("a\udcff", "UTF-8"), ("a\0b", "NUL")])
def test_a_command_that_no_record_can_hold_is_refused(command: str, words: str) -> None:
    for given_as in (command, [command], ["sbatch", command]):
        with pytest.raises(BadRequest, match=words):
            one_line(given_as)


@pytest.mark.parametrize(
    "command",
    [
        "sbatch job.sh {inputs} -- {outputs}",
        "sbatch job.sh {inputs[1]} {outputs[0]} x{inputs[0]}",
        "sbatch --chdir={pwd} {dspath}/job.sh '{{literal}}'",
        ["sbatch", "job.sh", "a b", "it's", "{{x}}"],
        "sbatch {greeting} x",
    ],
)
def test_core_fills_the_same(command: str | list[str], dataset: Dataset) -> None:
    """What a shell makes of the line that ``datalad run`` would give it."""
    from datalad.core.local.run import format_command

    dataset.config.set("datalad.run.substitutions.greeting", "hello", scope="local")
    names = {"inputs": ["in a.txt", "in'b"], "outputs": ["out 1"]}
    for name in (*names["inputs"], *names["outputs"]):
        (dataset.pathobj / name).touch()
    places = {"pwd": dataset.path, "dspath": dataset.path}
    theirs = format_command(dataset, command, **names, **places)
    ours = fill_command(one_line(command), {**names, **places, "greeting": "hello"})
    assert ours == shlex.split(theirs)


def test_values_are_texts_when_a_text_is_filled() -> None:
    assert fill("{inputs} {inputs[1]} {{}} {n}", {"inputs": ["a b", "c"], "n": 3}) == "a b c c {} 3"


def test_paths_are_filled() -> None:
    known = {"inputs": ["a b", "c"], "who": "me"}
    assert fill_paths(["{inputs}"], known) == ("a b", "c")
    assert fill_paths(["x/{who}.txt", "{inputs[1]}", "a{{b}}"], known) == ("x/me.txt", "c", "a{b}")
    assert fill_paths(["xinputsx", "y"], known) == ("xinputsx", "y")
    assert fill_paths(["xinputsx"], known) == ("xinputsx",)
    assert fill_paths([], known) == ()
    with pytest.raises(BadRequest, match=r"'\{nobody\}' has a placeholder that is not known"):
        fill_paths(["{nobody}"], known)


def test_globs_are_expanded_and_names_like_globs_are_not(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "[a].txt", ".h.txt", "sub/c.txt", "sub/deep/d.txt", "*"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert expand_paths(["?.txt", "a.txt", "gone"], tmp_path) == ["a.txt", "b.txt", "gone"]
    assert expand_paths(["[a].txt"], tmp_path) == ["[a].txt"]
    assert expand_paths(["*"], tmp_path) == ["*"]
    assert expand_paths(["none*"], tmp_path) == []
    assert expand_paths(["**/?.txt"], tmp_path) == [
        "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt",
    ]  # fmt: skip
    assert os.getcwd() != str(tmp_path)
