"""How a command that starts with sbatch is read, and that Slurm reads it in the same way."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest
from datalad_hpc.process import run
from datalad_hpc.schedulers.batch_script import split_line
from datalad_hpc.schedulers.logs import log_files
from datalad_hpc.schedulers.sbatch import (
    COMMENT_LIMIT,
    BatchCommand,
    comment_with_token,
    job_name,
    read_batch_command,
    with_options,
    with_script,
    work_folder,
)
from datalad_hpc.schedulers.sbatch_options import (
    ENVIRONMENT,
    FLAGS,
    IGNORED_IN_SCRIPT,
    SBATCH,
    SHORT_OPTIONS,
    SUBMITS_NOTHING,
    SYNONYMS,
)


def wrapped(*words: str, **environment: str) -> BatchCommand:
    return read_batch_command(["sbatch", *words, "--wrap=true"], "/w", environment)


def options_of(*words: str, **environment: str) -> dict[str, str]:
    options = dict(wrapped(*words, **environment).options)
    assert options.pop("wrap") == "true"
    return options


def scripted(folder: Path, lines: str, *words: str, **environment: str) -> BatchCommand:
    (folder / "job.sh").write_text(f"#!/bin/sh\n{lines}")
    return read_batch_command(["sbatch", *words, "job.sh"], str(folder), environment)


# The command line.


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["-o", "x"], {"output": "x"}),
        (["-ox"], {"output": "x"}),
        (["-o=x"], {"output": "=x"}),
        (["--output", "x"], {"output": "x"}),
        (["--output=x=y"], {"output": "x=y"}),
        (["--output="], {"output": ""}),
        (["--out=x", "--part", "p"], {"output": "x", "partition": "p"}),
        (["--mem=1"], {"mem": "1"}),
        (["--tasks-per-node=2", "--cluster=c"], {"ntasks-per-node": "2", "clusters": "c"}),
        (["-Hv"], {"hold": "", "verbose": ""}),
        (["-HJname"], {"hold": "", "job-name": "name"}),
        (["-HJ", "name"], {"hold": "", "job-name": "name"}),
        (["-o", "--hold"], {"output": "--hold"}),
        (["-o", "--"], {"output": "--"}),
        (["-o", "a", "-o", "b"], {"output": "b"}),
        # Values that may be left out are taken attached only.
        (["--exclusive", "-k", "--nice"], {"exclusive": "", "no-kill": "", "nice": ""}),
        (
            ["--exclusive=user", "-koff", "--nice=-5", "--get-user-env=10L"],
            {"exclusive": "user", "no-kill": "off", "nice": "-5", "get-user-env": "10L"},
        ),
        # Options of plugins.
        (["--plugin=x", "--other", "-Z"], {"plugin": "x", "other": "", "Z": ""}),
    ],
)
def test_spellings_of_options(words: list[str], options: dict[str, str]) -> None:
    assert options_of(*words) == options


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "has to start with sbatch, not with nothing"),
        (["srun", "job.sh"], "has to start with sbatch, not with 'srun'"),
        (["sbatch"], "neither a batch script nor --wrap"),
        (["sbatch", "-H"], "neither a batch script nor --wrap"),
        (["sbatch", "--wrap", "true", "job.sh"], r"both --wrap and a batch script \(job.sh\)"),
        (["sbatch", "--wrap"], "option --wrap of sbatch needs a value"),
        (["sbatch", "--job"], "option --job-name of sbatch needs a value"),
        (["sbatch", "-H", "-o"], "option -o of sbatch needs a value"),
        (["sbatch", "-Ho"], "option -o of sbatch needs a value"),
        (["sbatch", "--hold=1", "job.sh"], "--hold of sbatch takes no value"),
        (["sbatch", "--exc=x", "job.sh"], "--exclude or --exclusive"),
        (["sbatch", "--test-only", "job.sh"], "no job with --test-only"),
        (["sbatch", "-V"], "no job with --version"),
    ],
)
def test_what_is_no_submission_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        read_batch_command(words, "/w", {})


def test_script_and_arguments(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text("#!/bin/sh\necho\n")
    argv = ["/opt/bin/sbatch", "-t", "5", "--", "job.sh", "-o", "x", ":", "--wrap=y"]
    command = read_batch_command(argv, str(tmp_path), {})
    assert command.argv == tuple(argv)
    assert command.options == {"time": "5"}
    assert (command.script, command.script_position) == ("job.sh", 4)
    assert command.script_path == str(tmp_path / "job.sh")
    # Slurm drops the colon.
    assert command.arguments == ("-o", "x", "--wrap=y")
    assert command.text == "#!/bin/sh\necho\n"
    assert command.components == 1


def test_a_wrapped_command_becomes_a_script() -> None:
    command = wrapped("-n1")
    assert (command.script, command.script_position, command.script_path) == (None, None, None)
    assert command.arguments == ()
    assert command.text.startswith("#!/bin/sh\n#")
    assert command.text.endswith("\ntrue\n")


def test_no_directives_are_read_in_a_wrapped_command() -> None:
    command = read_batch_command(["sbatch", "--wrap=#SBATCH -t 7\ntrue"], "/w", {})
    assert command.options.keys() == {"wrap"}


# The three sources.


def test_precedence(tmp_path: Path) -> None:
    lines = "#SBATCH -o script -e script -J script\n#SBATCH -t 1 -t 2\n"
    environment = {"SBATCH_OUTPUT": "env", "SBATCH_ERROR": "env", "SLURM_OUTPUT": "no"}
    command = scripted(tmp_path, lines, "-e", "line", **environment)
    assert command.options == {"output": "env", "error": "line", "job-name": "script", "time": "2"}


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("SBATCH_ARRAY_INX", "array"),
        ("SBATCH_JOB_NAME", "job-name"),
        ("SBATCH_EXPORT", "export"),
        ("SBATCH_OPEN_MODE", "open-mode"),
        ("SBATCH_TIMELIMIT", "time"),
        ("SBATCH_MEM_PER_NODE", "mem"),
        ("SBATCH_REQ_SWITCH", "switches"),
        ("SLURM_CLUSTERS", "clusters"),
        ("SBATCH_EXCLUSIVE", "exclusive"),
    ],
)
def test_environment(variable: str, name: str) -> None:
    assert options_of(**{variable: "user"}) == {name: "user"}


@pytest.mark.parametrize(
    ("value", "is_set"),
    [
        *[(value, True) for value in ("", "yes", "YES", "1", "-2", "01")],
        *[(value, False) for value in ("0", "no", "1x", "-")],
    ],
)
def test_variables_switch_flags_on_and_off(tmp_path: Path, value: str, is_set: bool) -> None:
    command = scripted(tmp_path, "#SBATCH --requeue\n", SBATCH_REQUEUE=value)
    assert ("requeue" in command.options) == is_set
    assert options_of("--requeue", SBATCH_REQUEUE=value) == {"requeue": ""}


def test_the_tables_agree_with_each_other() -> None:
    assert len(SBATCH.names) == sum(
        map(len, (SBATCH.with_value, SBATCH.with_optional_value, SBATCH.flags))
    )
    known = {*SHORT_OPTIONS.values(), *ENVIRONMENT.values(), *SYNONYMS.values()}
    assert known | IGNORED_IN_SCRIPT | SUBMITS_NOTHING <= SBATCH.names
    assert "hold" in FLAGS


@pytest.mark.slurm
def test_slurm_knows_the_short_options_and_flags() -> None:
    _need_slurm()
    usage = run(["sbatch", "--help"], folder="/").text
    for letter, name, rest in re.findall(r"^  (?:-(\w),?| {3}) +--([a-z-]+)(\S*)", usage, re.M):
        assert name in SBATCH.names, name
        assert not letter or SHORT_OPTIONS[letter] == name
        assert name not in FLAGS or not rest, name
        assert name not in SBATCH.with_optional_value or not rest.startswith("="), name


# The script.

LINES = [
    ("-o a -e b", ["-o", "a", "-e", "b"]),
    ("--job-name='a b' -J\"c d\"", ["--job-name=a b", "-Jc d"]),
    ("'it\"s' \"it's\"", ['it"s', "it's"]),
    (r"a\ b \# \' \"", ["a b", "#", "'", '"']),
    (r'"a\"b" ' + r"'a\'b' 'a\\b'", ['a"b', "a'b", r"a\b"]),
    ("-t 5 # -o x", ["-t", "5"]),
    ("-o out#1 -t 5", ["-o", "out"]),
    ("'#' \"a # b\"", ["#", "a # b"]),
    ("-a \t-b\v-c\r", ["-a", "-b", "-c"]),
    ('--comment="" -t 5', ["--comment=", "-t", "5"]),
    # An empty word ends the line for Slurm.
    ('-J "" -t 5', ["-J"]),
    ("a\N{NO-BREAK SPACE}b", ["a\N{NO-BREAK SPACE}b"]),
    ("a\\", ["a"]),
    ("", []),
]


@pytest.mark.parametrize(("line", "words"), LINES)
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert split_line(line) == words


@given(st.lists(st.text(min_size=1)))
def test_backslashes_protect_any_word(words: list[str]) -> None:
    line = " ".join("".join(f"\\{letter}" for letter in word) for word in words)
    assert split_line(line) == words


@given(st.lists(st.text(st.characters(exclude_characters="'\\"), min_size=1)))
def test_quotes_protect_any_word(words: list[str]) -> None:
    assert split_line(" ".join(f"'{word}'" for word in words)) == words


SCRIPTS = [
    ("#SBATCH -o x\necho\n#SBATCH -t 5\n", {"output": "x"}),
    ("\n# comment\n \t\n#SBATCH -o x\n", {"output": "x"}),
    (" #SBATCH -o x\n##SBATCH -o y\n#SBATC -o z\n", {}),
    ("#SBATCH-ox\n#SBATCH\n#SLURM -t5\n", {"output": "x", "time": "5"}),
    ("#SBATCH -o x", {"output": "x"}),
    # All lines make one list of words for Slurm.
    ("#SBATCH -J\n#SBATCH name\n", {"job-name": "name"}),
    # These are for the command line only.
    ("#SBATCH --wrap=x -Q -v -t 5\n", {"time": "5"}),
    ("#SBATCH --plugin value -t 5\n", {"plugin": "value", "time": "5"}),
    ("#SBATCH -o x\n#PBS -o y -l nodes=1 -j oe -N name -V\n", {"output": "y", "job-name": "name"}),
    (
        "#PBS -t 1-3\n#BSUB -cwd sub -J name -x\n",
        {"chdir": "sub", "job-name": "name", "exclusive": ""},
    ),
    ("#SBATCH --ignore-pbs\n#PBS -o 'y\n", {"ignore-pbs": ""}),
    ("echo\n" * 100 + "#PBS -o y\n", {"output": "y"}),
    ("echo\n" * 101 + "#PBS -o y\n", {}),
]


@pytest.mark.parametrize(("lines", "options"), SCRIPTS)
def test_options_in_a_script(tmp_path: Path, lines: str, options: dict[str, str]) -> None:
    assert scripted(tmp_path, lines).options == options


@pytest.mark.parametrize("source", ["line", "environment"])
def test_lines_of_other_systems_can_be_ignored(tmp_path: Path, source: str) -> None:
    words = ["--ignore-pbs"] if source == "line" else []
    environment = {"SBATCH_IGNORE_PBS": "1"} if source == "environment" else {}
    assert "output" not in scripted(tmp_path, "#PBS -o y\n", *words, **environment).options


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"echo\n", "does not start with #!"),
        (b"\n#!/bin/sh\n", "does not start with #!"),
        (b"#!/bin/sh\r\necho\n", "DOS line breaks"),
        (b"#!/bin/sh\n\0", "NUL"),
        (b"#!/bin/sh\n#SBATCH -o 'x\n", "a quote has no partner in this line"),
        (b"#!/bin/sh\n#SBATCH -H stray\n", "'stray' in the #SBATCH lines"),
        (b"#!/bin/sh\n#SBATCH -t\n", "option -t of sbatch needs a value"),
        (b"#!/bin/sh\n#SBATCH --test-only\n", "no job with --test-only"),
    ],
)
def test_scripts_that_sbatch_refuses(tmp_path: Path, content: bytes, flaw: str) -> None:
    (tmp_path / "job.sh").write_bytes(content)
    with pytest.raises(BadRequest, match=flaw):
        read_batch_command(["sbatch", "job.sh"], str(tmp_path), {})
    if shutil.which("sbatch"):
        refused = ["sbatch", "--test-only", "job.sh"]
        assert run(refused, folder=tmp_path).code != 0 or "--test-only" in flaw


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    content = b"#!/bin/sh\n#SBATCH -o \xff\xe4\necho \xf0\n"
    (tmp_path / "job.sh").write_bytes(content)
    command = read_batch_command(["sbatch", "job.sh"], str(tmp_path), {})
    assert command.text.encode("utf-8", "surrogateescape") == content
    assert os.fsencode(command.options["output"]) == b"\xff\xe4"


# Where the script is looked for.


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for name in ("here.sh", "sub/both.sh", "both.sh", "bin/in_path.sh", "bin/deep/er.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / "in_path.sh").mkdir()
    (tmp_path / "gone.sh").symlink_to("nowhere")
    return tmp_path


FOUND = [
    (["here.sh"], "here.sh"),
    (["./here.sh"], "here.sh"),
    (["sub/../here.sh"], "here.sh"),
    (["in_path.sh"], "bin/in_path.sh"),
    (["deep/er.sh"], "bin/deep/er.sh"),
    # --chdir comes first, and the folder of the command last.
    (["-D", "sub", "both.sh"], "sub/both.sh"),
    (["-D", "sub", "./both.sh"], "both.sh"),
    (["-D", "sub", "here.sh"], "here.sh"),
]


@pytest.mark.parametrize(("words", "place"), FOUND)
def test_the_script_is_found(places: Path, words: list[str], place: str) -> None:
    path = f"/nowhere:{places}/bin::"
    command = read_batch_command(["sbatch", *words], str(places), {"PATH": path})
    assert command.script_path == str(places / place)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.sh"], "there is no batch script .*/none.sh, and none .* PATH"),
        (["-D", "sub", "none.sh"], "the folder of --chdir"),
        (["./none.sh"], "there is no batch script .*/none.sh$"),
        (["here.sh/x"], "there is no batch script"),
        (["sub"], "sub is a folder or no ordinary file"),
        (["/dev/null"], "/dev/null is a folder or no ordinary file"),
        (["gone.sh"], "a link to a file that is not here"),
    ],
)
def test_scripts_that_are_not_found(places: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        read_batch_command(["sbatch", *words], str(places), {"PATH": "/bin"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_script_that_may_not_be_read(places: Path) -> None:
    (places / "here.sh").chmod(0)
    with pytest.raises(BadRequest, match="cannot be read"):
        read_batch_command(["sbatch", "here.sh"], str(places), {})


# Heterogeneous jobs.


@pytest.mark.parametrize(
    ("lines", "words", "options", "components"),
    [
        ("", ["-t1", ":", "-t2", "-H"], {"time": "1"}, 2),
        ("", ["-t1", ":", ":", "-t2"], {"time": "1"}, 3),
        ("#SBATCH -t3\n#SBATCH hetjob\n#SBATCH -t4 -H\n", [], {"time": "3"}, 2),
        ("#SBATCH -t3\n#SBATCH PACKJOB -H\n", ["-t1", ":", "-t2", ":"], {"time": "1"}, 3),
    ],
)
def test_the_first_component_counts(
    tmp_path: Path, lines: str, words: list[str], options: dict[str, str], components: int
) -> None:
    command = scripted(tmp_path, lines, *words)
    assert command.options == options
    assert command.components == components
    assert command.argv[command.script_position or 0] == "job.sh"


def test_a_wrapped_heterogeneous_job() -> None:
    command = wrapped("-t1", ":", "-t2")
    assert command.components == 2
    assert command.options == {"time": "1", "wrap": "true"}


# What is made of a command.


def test_with_options() -> None:
    assert with_options(["sbatch", "-o", "x"], ["--hold", "-t1"]) == (
        *("sbatch", "--hold", "-t1", "-o", "x"),
    )


def test_with_script(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("#!/bin/sh\n")
    command = read_batch_command(["sbatch", "-H", "a.sh", "a.sh"], str(tmp_path), {})
    assert with_script(command, "/b.sh") == ("sbatch", "-H", "/b.sh", "a.sh")
    with pytest.raises(BadRequest, match="--wrap instead of a batch script"):
        with_script(wrapped(), "/b.sh")


@pytest.mark.parametrize(
    ("words", "folder"),
    [((), "/w"), (("-Dsub",), "/w/sub"), (("-D", "../x/"), "/x"), (("-D/else",), "/else")],
)
def test_work_folder(words: Sequence[str], folder: str) -> None:
    assert work_folder(wrapped(*words), "/w") == folder


def test_job_name(places: Path) -> None:
    command = read_batch_command(["sbatch", "sub/both.sh"], str(places), {})
    assert job_name(command) == "both.sh"
    assert job_name(wrapped()) == "wrap"
    assert job_name(wrapped("-Jname")) == "name"
    assert job_name(wrapped("--job-name=")) == ""


TOKEN = "--comment=datalad-hpc:f00d"


@pytest.mark.parametrize(
    ("words", "submitted"),
    [
        (["job.sh", "-x"], [TOKEN, "job.sh", "-x"]),
        (["-H", "--", "job.sh"], ["-H", TOKEN, "--", "job.sh"]),
        (["--wrap", "true"], ["--wrap", "true", TOKEN]),
        (["--wrap=true", "--"], ["--wrap=true", TOKEN, "--"]),
        (
            ["--comment", "a b", "job.sh"],
            ["--comment", "a b", "--comment=a b; datalad-hpc:f00d", "job.sh"],
        ),
        (["-t1", ":", "--comment=b", "job.sh"], ["-t1", TOKEN, ":", "--comment=b", "job.sh"]),
        (["--comment=", "job.sh"], ["--comment=", TOKEN, "job.sh"]),
    ],
)
def test_comment_with_token(tmp_path: Path, words: list[str], submitted: list[str]) -> None:
    (tmp_path / "job.sh").write_text("#!/bin/sh\n")
    command = read_batch_command(["sbatch", *words], str(tmp_path), {})
    assert comment_with_token(command, "f00d") == ("sbatch", *submitted)


def test_a_comment_from_the_script_is_kept(tmp_path: Path) -> None:
    command = scripted(tmp_path, "#SBATCH --comment='mine # ours'\n")
    assert "--comment=mine # ours; datalad-hpc:t" in comment_with_token(command, "t")


def test_a_comment_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(BadRequest, match="--comment is 1 bytes too long"):
        comment_with_token(wrapped(f"--comment={'x' * (COMMENT_LIMIT - 14)}"), "t")
    fits = f"--comment={'x' * (COMMENT_LIMIT - 15)}"
    assert len(comment_with_token(wrapped(fits), "t")[-1]) == len("--comment=") + COMMENT_LIMIT


# From here on with the real Slurm.


def _need_slurm() -> None:
    if not shutil.which("sbatch") or run(["sinfo", "-h"], folder="/").code:
        pytest.skip("no Slurm answers here")


def _held(argv: Sequence[str], folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """Submit a job that does not start; what Slurm says of it."""
    submitted = run(
        with_options(argv, ["--parsable", "--hold"]), folder=folder, environment=environment
    )
    assert submitted.code == 0, submitted.complaint
    job_id = submitted.text.strip()
    try:
        shown = run(["scontrol", "show", "job", job_id], folder="/").text
    finally:
        run(["scancel", job_id], folder="/")
    # Several facts stand in a line, but those with blanks in the value end it.
    first = shown.split("\n\n")[0]
    facts = dict(re.findall(r"\b(\w+)=(\S*)", first))
    return {**facts, **dict(re.findall(r"\b(\w+)=([^=\n]*?) ?$", first, re.M)), "id": job_id}


REAL = [
    ("", ["-t5", "job.sh", "a", ":", "b"], {}),
    ("", ["-t7", "--comment=x", "--comm", "my own", "--job=a b", "--", "job.sh"], {}),
    ("#SBATCH --comment='its \"own\" # text' -J a\\ b # -J c\n#SBATCH -t 9\n", ["job.sh"], {}),
    ("#SBATCH -J out#1\n#SBATCH -t\n#SBATCH 8 -o none\necho\n#SBATCH -t 9\n", ["job.sh"], {}),
    ("#SBATCH -t 3 -o a -e b\n", ["-e%x", "job.sh"], {"SBATCH_OUTPUT": "o", "SBATCH_ERROR": "e"}),
    ("#PBS -o p -N pbs -j oe\n#SBATCH -o s -J s\n", ["job.sh"], {}),
    ("#PBS -o p -N pbs\n#BSUB -J bsub\n", ["job.sh"], {"SBATCH_TIMELIMIT": "4"}),
    ("#PBS -o p -N pbs\n", ["--ignore-pbs", "job.sh"], {}),
    ("#SBATCH -D sub -o ../%x\n", ["job.sh"], {}),
    ("", ["-D", "sub", "other.sh"], {}),
    ("", ["-t1", ":", "-t2", "job.sh"], {}),
    ("#SBATCH -t6\n#SBATCH hetjob\n#SBATCH -t4\n", ["job.sh"], {}),
    ("", ["--wrap=#SBATCH -t 7\n", "-t2"], {}),
]


@pytest.mark.slurm
@pytest.mark.parametrize(("lines", "words", "environment"), REAL)
def test_slurm_reads_it_in_the_same_way(
    tmp_path: Path, lines: str, words: list[str], environment: dict[str, str]
) -> None:
    _need_slurm()
    if "\\ " in lines and _version() < (23, 0):
        lines = lines.replace("a\\ b", "'a b'")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/other.sh").write_text("#!/bin/sh\n")
    (tmp_path / "job.sh").write_text(f"#!/bin/sh\n{lines}")
    seen = {**os.environ, **environment}
    command = read_batch_command(["sbatch", *words], str(tmp_path), seen)
    facts = _held(comment_with_token(command, "f00d"), tmp_path, seen)
    comment = command.options.get("comment")
    assert facts["Comment"] == (f"{comment}; " if comment else "") + "datalad-hpc:f00d"
    assert facts["JobName"] == job_name(command)
    assert facts["WorkDir"] == work_folder(command, str(tmp_path))
    limit = command.options.get("time")
    assert facts["TimeLimit"] == (f"00:0{limit}:00" if limit else "UNLIMITED")
    files = [log.path for log in log_files(command, str(tmp_path), facts["id"], "root")]
    shown = dict.fromkeys(os.path.normpath(facts[key]) for key in ("StdOut", "StdErr"))
    assert files == [path for path in shown if path != "/dev/null"]
    if command.script_path is not None:
        called = os.path.normpath(facts["Command"].split(" ")[0])
        assert os.path.join(tmp_path, called) == command.script_path
        assert tuple(facts["Command"].split(" ")[1:]) == command.arguments


def _version() -> tuple[int, ...]:
    text = run(["sbatch", "--version"], folder="/").text
    return tuple(map(int, re.findall(r"[0-9]+", text)))
