"""``datalad hpc-check``: what is found on this machine, and what is said where something lacks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import QUIET, Lab, stand_in
from tests.helpers import wait_for

DATALAD = str(Path(sys.executable).parent / "datalad")
PATIENCE = 60

Found = dict[str, dict[str, Any]]


def run(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> Any:
    return subprocess.run(
        [*before, DATALAD, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def checked(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> tuple[int, Found]:
    """Exit code, and the results by check, as a script would read them."""
    done = run(folder, "-f", "json", "hpc-check", *arguments, before=before)
    return done.returncode, by_check(done.stdout)


def by_check(text: str) -> Found:
    results = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len({res["check"] for res in results}) == len(results), "a check stands twice"
    return {res["check"]: res for res in results}


def looked(lab: Lab) -> tuple[int, Found]:
    """The same without a process of its own, which takes longer than the check."""
    lab.dataset.config.reload(force=True)
    results = lab.dataset.hpc_check(**QUIET)
    assert all(res["standing"] == "broken" for res in results if res["status"] == "impossible")
    text = "\n".join(json.dumps(res) for res in results)
    return any(res["status"] in ("impossible", "error") for res in results), by_check(text)


@pytest.fixture
def local_lab(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER", "local")
    return local_lab


@pytest.mark.slurm
def test_a_healthy_cluster(dataset: Any) -> None:
    code, found = checked(Path(dataset.path))
    assert code == 0
    for name in ("chosen", "Slurm", "controller", "accounting", "a small job", "clock"):
        assert (found[name]["standing"], found[name]["status"]) == ("ok", "ok"), found[name]
    assert found["Slurm"]["found"]["version"][0].isdigit()
    assert found["chosen"]["found"]["scheduler"] == "slurm"
    partitions = found["partitions"]["found"]["partitions"]
    assert partitions[0]["default"]
    assert int(found["site limits"]["found"]["MaxArraySize"]) > 1
    assert found["your limits"]["standing"] == "ok"


@pytest.mark.slurm
def test_a_job_knows_that_it_is_one(dataset: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = f"{DATALAD} -f json hpc-check -d {dataset.path}"
    subprocess.run(
        [
            "sbatch",
            "--wait",
            "--quiet",
            f"--output={log}",
            f"--chdir={tmp_path}",
            "--wrap",
            command,
        ],
        check=True,
        timeout=PATIENCE,
    )
    found = by_check(log.read_text())["this node"]
    assert found["found"]["role"] == "compute"
    assert found["found"]["job"].isdigit()
    assert f"inside job {found['found']['job']}" in found["text"]


@pytest.mark.slurm
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a process another host name")
def test_a_login_node_is_told_from_a_compute_node(dataset: Any) -> None:
    here = checked(Path(dataset.path))[1]["this node"]["found"]
    assert (here["role"], here["host"]) == ("compute", socket.gethostname())
    renamed = ("unshare", "--uts", "sh", "-c", 'hostname login1; exec "$@"', "sh")
    code, found = checked(Path(dataset.path), before=renamed)
    there = found["this node"]["found"]
    assert (there["role"], there["host"], there["nodes"]) == ("login", "login1", [])
    assert "login node" in found["this node"]["text"]
    disk = found["file system"]
    if not disk["found"]["shared"]:
        # Jobs run elsewhere now.
        assert disk["standing"] in ("limited", "broken")
        assert "--alt-dir" in disk["advice"]
    assert code == (disk["standing"] == "broken")


@pytest.mark.slurm
def test_accounting_that_is_down(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = subprocess.run(
        ["scontrol", "show", "config"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"^SLURM_CONF\s*= (.*)$", shown, re.MULTILINE)
    assert found
    text = Path(found[1].strip()).read_text()
    broken = tmp_path / "slurm.conf"
    broken.write_text(
        re.sub(r"(?m)^AccountingStoragePort.*", "", text) + "\nAccountingStoragePort=1\n"
    )
    monkeypatch.setenv("SLURM_CONF", str(broken))
    code, checks = checked(Path(dataset.path))
    assert code == 0
    assert checks["controller"]["standing"] == "ok"
    assert checks["accounting"]["standing"] == "limited"
    assert "Connection refused" in checks["accounting"]["text"]
    assert "your limits" not in checks


@pytest.mark.slurm
def test_a_program_that_hangs_is_given_up(
    dataset: Any, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER__TIMEOUT", "6")
    stand_in(before, "sacct", "exec sleep 50")
    started = time.monotonic()
    code, found = checked(Path(dataset.path))
    assert time.monotonic() - started < 30
    assert code == 0
    assert "did not answer within 6 seconds" in found["accounting"]["text"]
    # The controller had answered seconds before.
    assert found["clock"]["standing"] == "ok"


def test_a_machine_without_slurm(local_lab: Lab) -> None:
    code, found = looked(local_lab)
    assert code == 0
    assert found["this node"]["found"]["role"] == "alone"
    assert found["slots"]["found"]["slots"] == os.cpu_count()
    assert found["queue"]["found"]["queued"] == 0
    assert "controller" not in found


def test_local_jobs_that_wait_are_counted(local_lab: Lab, tmp_path: Path) -> None:
    go = tmp_path / "go"
    local_lab.script(f"until [ -e {go} ]; do sleep 0.05; done; echo x > o")
    job = local_lab.schedule("sbatch job.sh", outputs=["o"])["slurm_job_id"]
    found = looked(local_lab)[1]
    assert found["queue"]["found"]["queued"] == 1
    assert found["queue"]["found"]["dispatched"]
    assert found["job store"]["found"]["jobs"] == {"open": 1}
    assert "1 open of 1 jobs" in found["job store"]["text"]
    go.touch()
    local_lab.wait(job)


def test_a_job_whose_path_lacks_slurm_is_warned(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    found = looked(local_lab)[1]["this node"]
    assert (found["standing"], found["found"]["role"]) == ("limited", "compute")
    assert "77" in found["text"]


def test_outside_of_any_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER", "local")
    code, found = checked(tmp_path)
    assert code == 0
    assert "in no dataset" in found["dataset"]["text"]
    assert "job store" not in found
    assert found["git-annex"]["standing"] == "ok"
    assert checked(tmp_path, "-d", str(tmp_path))[0] != 0


def test_the_dataset_is_looked_at_and_left_alone(local_lab: Lab) -> None:
    (local_lab.root / "new").write_text("x")
    git_dir = local_lab.root / ".git"
    before = sorted(map(str, git_dir.rglob("*"))), local_lab.changes()
    code, found = looked(local_lab)
    assert code == 0
    assert (sorted(map(str, git_dir.rglob("*"))), local_lab.changes()) == before
    assert found["locks"]["found"]["sqlite"] == "works"
    assert found["locks"]["found"]["folder"].startswith(str(git_dir))
    assert found["file system"]["found"]["type"]
    assert found["job store"]["found"]["exists"] is False
    assert found["free space"]["found"]["bytes"] > 0
    assert found["containers"]["standing"] == "missing"


@pytest.mark.parametrize("layout", [1000, 0])
def test_a_store_of_another_version(local_lab: Lab, layout: int) -> None:
    path = local_lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as store:
        store.execute(f"PRAGMA user_version = {layout}")
    store.close()
    code, found = looked(local_lab)
    assert code == (1 if layout else 0)
    assert found["job store"]["standing"] == ("broken" if layout else "ok")
    assert found["job store"]["found"]["layout"] == layout


def test_a_store_that_is_none(local_lab: Lab) -> None:
    path = local_lab.root / ".git" / "datalad" / "hpc" / "jobs.db"
    path.parent.mkdir(parents=True)
    path.write_text("something else" * 500)
    code, found = looked(local_lab)
    assert (code, found["job store"]["status"]) == (1, "impossible")
    assert "not a job store" in found["job store"]["text"]


def test_git_annex_that_does_not_run(local_lab: Lab, before: Path) -> None:
    stand_in(before, "git-annex", "echo lost its libraries >&2; exit 127")
    code, found = looked(local_lab)
    assert code == 1
    assert found["git-annex"]["standing"] == "broken"
    assert "lost its libraries" in found["git-annex"]["text"]
    assert "pip install git-annex" in found["git-annex"]["advice"]


def test_git_annex_that_is_too_old(local_lab: Lab, before: Path) -> None:
    stand_in(before, "git-annex", 'case "$*" in *version*) echo 8.20210223;; *) REAL "$@";; esac')
    code, found = looked(local_lab)
    assert code == 1
    assert "8.20210223" in found["git-annex"]["text"]
    assert "too old" in found["git-annex"]["text"]


def test_git_that_does_not_know_who_commits(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, found = looked(local_lab)
    assert (code, found["identity"]["found"]["name"]) == (0, "Tester")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    local_lab.git("config", "user.useConfigOnly", "true")
    code, found = looked(local_lab)
    assert (code, found["identity"]["standing"]) == (1, "broken")
    assert "user.email" in found["identity"]["advice"]


def test_modules(local_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "modulecmd"
    command.write_text('#!/bin/sh\necho "Modules Release 5.2.0 (2022-11-08)" >&2\n')
    command.chmod(0o755)
    monkeypatch.delenv("LMOD_CMD", raising=False)
    monkeypatch.setenv("MODULES_CMD", str(command))
    monkeypatch.setenv("MODULEPATH", "/one:/two")
    found = looked(local_lab)[1]["modules"]
    assert found["standing"] == "ok"
    assert found["found"]["system"] == "Environment Modules"
    assert found["found"]["version"] == "5.2.0"
    assert found["found"]["module_path"] == ["/one", "/two"]


def test_modules_that_are_asked_for_and_not_there(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LMOD_CMD", "MODULES_CMD", "MODULESHOME"):
        monkeypatch.delenv(name, raising=False)
    if list(Path("/etc/profile.d").glob("*mod*.sh")):
        pytest.skip("this machine has modules")
    local_lab.git("config", "datalad.hpc.modules", "gcc/12 openmpi")
    code, found = looked(local_lab)
    assert (code, found["modules"]["standing"]) == (0, "limited")
    assert "gcc/12, openmpi" in found["modules"]["advice"]


def test_containers_of_the_dataset(local_lab: Lab) -> None:
    local_lab.git(
        "config", "-f", ".datalad/config", "datalad.containers.tool.image", "images/t.sif"
    )
    found = looked(local_lab)[1]["containers"]
    assert found["standing"] == "ok"
    assert found["found"]["containers"] == {"tool": "images/t.sif"}
    assert "images of tool are not here" in found["text"]


def test_an_unknown_scheduler_is_broken(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAD_HPC_SCHEDULER", "pigeons")
    code, found = looked(local_lab)
    assert (code, found["chosen"]["standing"]) == (1, "broken")
    assert "no scheduler 'pigeons'" in found["chosen"]["text"]


def test_what_people_see_is_aligned_and_has_no_colour_in_a_file(local_lab: Lab) -> None:
    done = run(local_lab.root, "hpc-check")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "scheduler",
        "this machine",
        "dataset",
    ]
    assert "\x1b" not in done.stdout
    rows = [line for line in lines if re.match(r"  (ok|missing|limited|broken) ", line)]
    assert len(rows) > 10
    column = rows[0].index("local, as asked for")
    assert all(row[column - 2 : column] == "  " and row[column] != " " for row in rows)
    advice = [line for line in lines if "-> " in line]
    assert advice
    assert all(line.index("->") == column for line in advice)


@pytest.mark.skipif(not shutil.which("script"), reason="no program `script`")
def test_colours_on_a_terminal(local_lab: Lab) -> None:
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", f"{DATALAD} hpc-check", os.devnull],
        cwd=local_lab.root,
        env={name: text for name, text in os.environ.items() if name != "NO_COLOR"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0
    assert "\x1b[1;32mok" in done.stdout


def test_container_engines_that_work_and_that_do_not(local_lab: Lab, before: Path) -> None:
    for name, text in (
        ("podman", "echo podman version 4.3.1"),
        ("docker", "echo no daemon at /v1.24/x >&2; exit 1"),
    ):
        program = before / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    found = looked(local_lab)[1]["container engines"]
    engines = found["found"]["engines"]
    assert engines["podman"]["version"] == "4.3.1"
    assert engines["docker"]["version"] == ""
    assert "docker says: no daemon" in found["advice"]
    assert found["standing"] == "ok"


def test_ctrl_c_ends_it_without_a_traceback(local_lab: Lab, before: Path) -> None:
    waiting = before / "waiting"
    stand_in(before, "git-annex", f"case $1 in version) touch {waiting}; exec sleep 3;; esac")
    with subprocess.Popen(
        [DATALAD, "hpc-check"], cwd=local_lab.root, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(waiting.exists)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode not in (0, -signal.SIGINT)
    assert "Traceback" not in errors
