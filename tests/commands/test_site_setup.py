"""What a site needs before a command can run is configured once, and goes into each job."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from datalad_hpc.plans.site_setup import site_setup
from datalad_hpc.workplace import Workplace
from tests.commands.conftest import Lab, text_of
from tests.commands.test_resources import configure, dry

MODULE = """\
module() {
    case $2 in
        bad*) echo "no module $2" >&2; return $CODE;;
        *) export LOADEDMODULES=$LOADEDMODULES:$2/1.0; echo "$@" >> order.txt;;
    esac
}
"""
"""A command ``module`` as its init file defines it; ``CODE`` is how it ends without success."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with environment modules; what is in the file can be changed."""
    file = tmp_path / "modules home/init/bash"
    file.parent.mkdir(parents=True)
    file.write_text(MODULE.replace("$CODE", "1"))
    monkeypatch.setenv("MODULESHOME", str(file.parent.parent))
    monkeypatch.delenv("BASH_FUNC_module%%", raising=False)
    return file


def test_modules_then_variables_then_the_prologue(lab: Lab, site: Path) -> None:
    configure(lab, "datalad.hpc.modules", "one two", "three")
    configure(lab, "datalad.hpc.variables", "A=$HOME 'x'", "B=$(module load four)")
    configure(lab, "datalad.hpc.prologue", 'echo "$A" >> order.txt', 'echo "$B" >> order.txt \\')
    done = lab.run("echo command >> order.txt", outputs=["order.txt"])
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "order.txt").read_text().splitlines() == [
        *("load one", "load two", "load three", "$HOME 'x'", "$(module load four)", "command")
    ]


@pytest.mark.parametrize(("code", "version"), [("1", ""), ("0", "3.2.10")])
def test_a_module_that_cannot_be_loaded_fails_the_job(
    local_lab: Lab, site: Path, code: str, version: str
) -> None:
    site.write_text(MODULE.replace("$CODE", code) + f"MODULE_VERSION={version}\n")
    configure(local_lab, "datalad.hpc.modules", "good bad/1.0 other")
    done = local_lab.run("echo command >> order.txt", outputs=["order.txt"])
    assert done["status"] == "impossible"
    (log,) = local_lab.root.glob("slurm-*.out")
    assert log.read_text().splitlines() == [
        "no module bad/1.0",
        "datalad-hpc: the module bad/1.0 of the setting datalad.hpc.modules could not be loaded "
        f"on {os.uname().nodename}, so the job's command was not run",
    ]
    assert (local_lab.root / "order.txt").read_text() == "load good\n"


def test_a_machine_without_modules_fails_the_job(local_lab: Lab, site: Path) -> None:
    if any(Path("/etc/profile.d").glob("*mod*.sh")):
        pytest.skip("this machine has modules")
    site.unlink()
    configure(local_lab, "datalad.hpc.modules", "gcc")
    done = local_lab.run("echo command > out.txt", outputs=["out.txt"])
    assert done["status"] == "impossible"
    (log,) = local_lab.root.glob("slurm-*.out")
    assert "there is no command 'module'" in log.read_text()
    assert not (local_lab.root / "out.txt").exists()


def test_nothing_is_taken_from_the_dataset(local_lab: Lab) -> None:
    before = dry(local_lab)["script"]
    for name in ("modules", "variables", "prologue"):
        configure(local_lab, f"datalad.hpc.{name}", "X=1", file=".datalad/config")
    assert dry(local_lab)["script"] == before
    configure(local_lab, "datalad.hpc.variables", "Y=2")
    assert "export Y=2\n" in dry(local_lab)["script"]
    assert "X=1" not in dry(local_lab)["script"]


def test_an_empty_value_forgets_those_before(local_lab: Lab) -> None:
    configure(local_lab, "datalad.hpc.variables", "A=1", "", "B=2")
    assert site_setup(Workplace.of(local_lab.root, "test")) == "export B=2"


def test_a_variable_has_the_value_that_is_configured(local_lab: Lab) -> None:
    values = [
        *("", " ", "it's", '"; touch here; "', "$(touch here)", "`touch here`", "a\nb", "\\", "#"),
        *("=", "näme 名", "-n", "\x1b[2J", "!x", "*"),
    ]
    named = {f"V{number}": value for number, value in enumerate(values)}
    configure(local_lab, "datalad.hpc.variables", *(f"{name}={named[name]}" for name in named))
    script = dry(local_lab)["script"] + "".join(f'printf "%s\\0" "${name}"\n' for name in named)
    shown = subprocess.run(["bash", "-c", script], capture_output=True, cwd=local_lab.root)
    assert shown.stdout.decode().split("\0")[:-1] == values
    assert not (local_lab.root / "here").exists()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("variables", "A", "'A', which is not NAME=VALUE"),
        ("variables", "=1", "which is not NAME=VALUE"),
        ("variables", "A B=1", "which is not NAME=VALUE"),
        ("variables", "A;B=1", "which is not NAME=VALUE"),
        ("modules", "gcc --help", "'--help', which is no name of a module"),
        ("prologue", "echo\r\necho", "DOS line breaks"),
    ],
)
def test_what_cannot_be_used_submits_nothing(
    local_lab: Lab, name: str, value: str, complaint: str
) -> None:
    configure(local_lab, f"datalad.hpc.{name}", value)
    job = local_lab.schedule("true", outputs=["out.txt"])
    assert job["status"] == "impossible"
    assert complaint in text_of(job)
    assert local_lab.listed() == {}


def test_a_command_that_sbatch_would_refuse_submits_nothing(local_lab: Lab) -> None:
    job = local_lab.schedule("echo a\r\necho b", outputs=["out.txt"])
    assert "made for the command has DOS line breaks" in text_of(job)
    assert local_lab.listed() == {}


def test_a_name_of_a_module_is_never_more_than_a_name(local_lab: Lab, site: Path) -> None:
    configure(local_lab, "datalad.hpc.modules", "x;touch $(touch) `touch` 'a *")
    script = dry(local_lab)["script"]
    loaded = [line for line in script.splitlines() if line.startswith("if ! module load")]
    names = [shlex.split(line.partition(" || ")[0])[4] for line in loaded]
    assert names == ["x;touch", "$(touch)", "`touch`", "'a", "*"]
