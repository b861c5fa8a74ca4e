"""The script that is made for a command: what is asked for arrives as it was given."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datalad_hpc.job_script import job_script
from datalad_hpc.plans.resources import UNSUITED, merged
from datalad_hpc.process import run
from datalad_hpc.schedulers.batch_script import script_options
from datalad_hpc.schedulers.sbatch_options import FLAGS, IGNORED_IN_SCRIPT, SYNONYMS, WITH_VALUE
from tests.plans.test_resources import PRINTABLE

ALLOWED = WITH_VALUE - UNSUITED.keys() - IGNORED_IN_SCRIPT - SYNONYMS.keys()
OPTIONS = st.dictionaries(st.sampled_from(sorted(ALLOWED)), PRINTABLE, max_size=6)
HOSTILE = "".join(f"{a}{b} {b}" for a in "\\\"'#$`" for b in "\\\"'#:=%;") + "näme 名 \\"


@given(OPTIONS, st.sets(st.sampled_from(sorted(FLAGS - UNSUITED.keys()))))
@example({"comment": HOSTILE}, set())
def test_options_are_read_as_they_were_given(options: dict[str, str], flags: set[str]) -> None:
    asked = merged({**options, **dict.fromkeys(flags, "")})
    found, components = script_options(job_script(asked, "/", "#SBATCH --hold", "#SBATCH -x y"))
    assert found == asked
    assert components == 1


@pytest.mark.slurm
@settings(max_examples=15, deadline=None)
@given(PRINTABLE)
@example(HOSTILE)
@example("#")
@example("a#b")
@example("'")
@example("\\")
@example("-")
def test_sbatch_reads_them_so(value: str) -> None:
    value = value.strip()[:200] or "x"
    script = job_script({"comment": value, "job-name": "two words", "hold": ""}, "/", "", "true")
    submitted = run(
        ["sbatch", "--parsable", "--output=/dev/null"], folder="/", stdin=script.encode()
    )
    assert submitted.code == 0, submitted.complaint
    try:
        shown = run(["scontrol", "show", "job", submitted.text.strip()], folder="/").text
    finally:
        run(["scancel", submitted.text.strip()], folder="/")
    assert re.findall(r"^   Comment=(.*?) ?$", shown, re.M) == [value]
    assert "JobName=two words\n" in shown
    assert "Priority=0" in shown


def test_the_command_runs_in_its_folder_behind_the_setup(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "folder" $x'
    folder.mkdir()
    script = job_script({"job-name": "x"}, str(folder), "A=1\\", 'echo "$A" > out; exit 3')
    assert subprocess.run(["bash", "-c", script], cwd="/").returncode == 3
    assert (folder / "out").read_text() == "1\n"


def test_without_its_folder_nothing_runs(tmp_path: Path) -> None:
    script = job_script({}, str(tmp_path / "gone"), f"touch {tmp_path}/a", f"touch {tmp_path}/b")
    assert subprocess.run(["bash", "-c", script], cwd="/", capture_output=True).returncode == 1
    assert list(tmp_path.iterdir()) == []
