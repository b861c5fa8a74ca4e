"""Where logs go, by our reading and by what Slurm really writes."""

from __future__ import annotations

import fnmatch
import glob
import os
import pwd
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.process import run
from datalad_hpc.schedulers.logs import (
    NO_INDEX,
    LogFile,
    expand_pattern,
    log_files,
    log_path,
)
from datalad_hpc.schedulers.sbatch import BatchCommand, read_batch_command

VALUES = {"A": 40, "J": 42, "N": "node7", "a": 3, "j": 42, "u": "ada", "x": "my job"}


def wrapped(*options: str) -> BatchCommand:
    return read_batch_command(["sbatch", *options, "--wrap=true"], "/w", {})


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("plain", "plain"),
        ("%A_%a-%j-%J.log", "40_3-42-42.log"),
        ("%u@%N:%x", "ada@node7:my job"),
        # Numbers are padded, up to ten digits; texts are not.
        ("%4a%04a%0a", "000300033"),
        ("%12j", "0000000042"),
        ("%9x", "my job"),
        ("%%j%%%j", "%j%42"),
        # What has no value loses all of its width but the last digit.
        ("%z%5z%12z", "%z5z2z"),
        ("%5%j", "542"),
        ("100%", "100%"),
        ("100%5", "1005"),
        # A backslash switches everything off.
        (r"\%j", "%j"),
        (r"a\\b%j", r"a\b%j"),
        ("%j\\", "%j"),
    ],
)
def test_expand_pattern(pattern: str, name: str) -> None:
    assert expand_pattern(pattern, VALUES) == name


@given(st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
def test_doubled_percent_signs_protect_any_name(name: str) -> None:
    assert expand_pattern(name.replace("%", "%%"), VALUES) == name


@given(st.text())
def test_a_backslash_protects_any_name(name: str) -> None:
    assert expand_pattern("\\" + name.replace("\\", "\\\\"), VALUES).endswith(
        name.removeprefix("\\")
    )


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ((), ["/w/slurm-77.out"]),
        (("--array=0-3",), ["*/w/slurm-77_*.out"]),
        (("--array=",), ["/w/slurm-77.out"]),
        (("-o", "o"), ["/w/o"]),
        (("-e", "e"), ["/w/slurm-77.out", "/w/e"]),
        (("-o", "o", "-e", "e"), ["/w/o", "/w/e"]),
        (("-o", "x", "-e", "./x"), ["/w/x"]),
        (("-o", "/abs/../o"), ["/o"]),
        (("-o", "//abs"), ["/abs"]),
        (("-D", "sub", "-o", "../%j/%5A"), ["/w/77/00077"]),
        (("-D", "/else"), ["/else/slurm-77.out"]),
        (("-J", "a/[b]*", "-o", "%x.%u"), ["/w/a/[b]*.ada"]),
        (("-o", "%x"), ["/w/wrap"]),
        # Known already, since it is the batch script that writes.
        (("-o", "%n-%2t-%s-%J-%a"), [f"/w/0-00-batch-77-{NO_INDEX}"]),
        # Known at the end only; what is literal is escaped then.
        (("-o", "[l]%N?.out"), ["*/w/[[]l]*[?].out"]),
        (("-o", "%b"), ["*/w/*"]),
        (("-a1", "-o", "%x/%a%N%4j-%A"), ["*/w/wrap/*-77"]),
        (("-a1", "-o", r"\%a*"), ["/w/%a*"]),
        (("-o", "/dev/null"), []),
        (("-o", "none", "-e", "NONE"), []),
        (("-o", "/dev/pts/%N"), []),
        (("-o", "/dev/shm/ds/%j.out"), ["/dev/shm/ds/77.out"]),
        (("-o", "/dev/null", "-e", "%j.err"), ["/w/77.err"]),
        (("-o", ""), []),
    ],
)
def test_log_files(options: tuple[str, ...], files: list[str]) -> None:
    found = log_files(wrapped(*options), "/w", "77", "ada")
    assert ["*" * log.is_glob + log.path for log in found] == files


def test_a_stand_in_for_the_id_is_not_padded() -> None:
    files = log_files(wrapped("-o", "%9j-%A"), "/w", "f00d", "ada")
    assert files == (LogFile("/w/f00d-f00d", False),)


def test_the_folder_takes_part_in_the_pattern_but_not_with_the_default_name() -> None:
    assert log_files(wrapped("-o", "o"), "/p%j", "7", "ada") == (LogFile("/p7/o", False),)
    assert log_files(wrapped(), "/p%j", "7", "ada") == (LogFile("/p%j/slurm-7.out", False),)


@pytest.mark.parametrize(
    ("given_name", "index", "path"),
    [
        (None, NO_INDEX, "/w/slurm-42.out"),
        (None, 3, "/w/slurm-40_3.out"),
        ("None", 3, "/dev/null"),
        ("%s%n%t-%x", 3, "/w/batch00-my job"),
        ("/l/%2a", 3, "/l/03"),
    ],
)
def test_log_path(given_name: str | None, index: int, path: str) -> None:
    assert log_path("/w", given_name, {**VALUES, "a": index}) == path


@given(
    st.lists(st.sampled_from([*"AJNabjnstux%*[?]!-/z57", "%", "%", "%"])).map("".join),
    st.booleans(),
)
def test_the_file_of_a_task_is_always_among_those_foreseen(pattern: str, is_array: bool) -> None:
    command = wrapped("-J", "my job", "-o", f"l{pattern}", *(["-a3"] if is_array else []))
    values = VALUES if is_array else {**VALUES, "a": NO_INDEX, "j": 40, "J": 40}
    real = log_path("/w", f"l{pattern}", {"b": 3, **values})
    for log in log_files(command, "/w", "40", "ada"):
        matches = fnmatch.fnmatchcase(real, log.path)
        assert matches if log.is_glob else real == log.path


# From here on with the real Slurm.

CASES: dict[str, tuple[str, ...]] = {
    "default": (),
    "default of an array": ("--array=3,12",),
    "padding": ("-o", "p-%j-%4j-%12j-%010j.o"),
    "batch": ("-o", "%a-%A-%4a-%J-%s-%3s-%n-%3n-%t-%2t.o"),
    "only newer versions know it": ("-o", "%b-%2b.o"),
    "texts": ("-J", "na me", "-o", "%u-%5u-%x-%9x-%N-%4N.o"),
    "percent signs": ("-o", "%%j-%%%j-%z-%5z-%12z-%5%j-%"),
    "width at the end": ("-o", "trailing%12"),
    "backslash": ("-o", r"a\\b-\%j-%x"),
    "hostile": ("-o", "-q'\"[x]*?#$(id);& %j\tü\n.o", "-e", "~e"),
    "name with a line break and a slash": ("-J", "made/na\nme", "-o", "%x.o"),
    "name with a placeholder": ("-J", "a%jb\\", "-o", "%x.o"),
    "empty name": ("--job-name=", "-o", "%x-.o"),
    "folders": ("-D", "made", "-o", "..//made/./%A-%%.o", "-e", "../%u.e"),
    "array": ("--array=3,12%1", "-o", "%a-%3a-%A-%j-%J.o", "-e", "err-%a"),
    "both in one": ("-o", "same.o", "-e", "./same.o"),
    "a number is a name": ("-o", "7"),
    "none": ("-o", "None", "-e", "%j.e"),
}

TELL = """
tell() { echo "$SLURM_JOB_ID ${SLURM_ARRAY_TASK_ID:-} $SLURMD_NODENAME"; }
tell; tell >&2
"""


@dataclass(frozen=True)
class Ran:
    """A job that Slurm has run in a folder of its own."""

    job_id: str
    command: BatchCommand
    folder: Path

    @property
    def written(self) -> set[str]:
        return {str(path) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    if not shutil.which("sbatch") or run(["sinfo", "-h"], folder="/").code:
        pytest.skip("no Slurm answers here")
    jobs = {
        name: _submit(options, tmp_path_factory.mktemp("case")) for name, options in CASES.items()
    }
    odd = tmp_path_factory.mktemp("odd") / "p%j"
    odd.mkdir()
    jobs["odd folder, default"] = _submit((), odd)
    jobs["odd folder, given"] = _submit(("-o", "given.o"), odd)
    _wait([job.job_id for job in jobs.values()])
    return jobs


def _submit(options: tuple[str, ...], folder: Path) -> Ran:
    (folder / "made").mkdir(exist_ok=True)
    argv = ["sbatch", "--parsable", *options, f"--wrap={TELL}"]
    ended = run(argv, folder=folder)
    assert ended.code == 0, ended.complaint
    return Ran(ended.text.strip(), read_batch_command(argv, str(folder), os.environ), folder)


def _wait(job_ids: list[str]) -> None:
    until = time.monotonic() + 60
    while run(["squeue", "-h", "-j", ",".join(job_ids)], folder="/").output:
        assert time.monotonic() < until, "the jobs did not end"
        time.sleep(0.05)


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.slurm
@pytest.mark.parametrize("name", CASES)
def test_slurm_writes_the_foreseen_files(ran: dict[str, Ran], name: str) -> None:
    job = ran[name]
    foreseen: set[str] = set()
    for log in log_files(job.command, str(job.folder), job.job_id, _user()):
        foreseen.update(glob.glob(log.path) if log.is_glob else [log.path])
    assert foreseen == job.written
    assert foreseen


@pytest.mark.slurm
@pytest.mark.parametrize("name", sorted(CASES.keys() - {"only newer versions know it"}))
def test_slurm_names_a_file_as_log_path_does(ran: dict[str, Ran], name: str) -> None:
    job = ran[name]
    options = job.command.options
    for path in job.written:
        number, index, node = Path(path).read_text().splitlines()[0].split(" ")
        values: dict[str, str | int] = {
            "A": int(job.job_id),
            "J": int(number),
            "N": node,
            "a": int(index or NO_INDEX),
            "j": int(number),
            "u": _user(),
            "x": options.get("job-name", "wrap"),
        }
        folder = os.path.join(job.folder, options.get("chdir", ""))
        output = options.get("output")
        assert path in {
            log_path(folder, given, values) for given in (output, options.get("error", output))
        }


@pytest.mark.slurm
def test_slurm_replaces_placeholders_in_the_name_of_the_folder(ran: dict[str, Ran]) -> None:
    default, named = ran["odd folder, default"], ran["odd folder, given"]
    (foreseen,) = log_files(named.command, str(named.folder), named.job_id, _user())
    assert foreseen.path == str(named.folder.with_name(f"p{named.job_id}") / "given.o")
    # Slurm makes no folder, so that job had no place for its log.
    assert named.written == {str(default.folder / f"slurm-{default.job_id}.out")}
