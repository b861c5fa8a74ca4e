"""What ``git commit`` does besides, and ``finish`` does or says once at its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datalad_hpc.finish import completing
from tests.commands.conftest import Lab, text_of

SETTINGS = ("gc.auto=1", "gc.autoPackLimit=1", "gc.autoDetach=false", "maintenance.auto=true",
            "fastimport.unpackLimit=1")  # fmt: skip


def _install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)


def _jobs(lab: Lab, *outputs: str) -> None:
    for output in outputs:
        lab.schedule(f"sbatch --wrap 'date > {output}'", outputs=[output])
    lab.wait()


def test_hooks_are_named_once(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "BATCH_JOBS", 1)
    local_lab.dataset.create("sub", result_renderer="disabled")
    _install(local_lab.root / ".git/hooks", "pre-commit", "commit-msg")
    _jobs(local_lab, "a", "b", "sub/c")
    *jobs, said = local_lab.finish()
    assert [res["status"] for res in (*jobs, said)] == ["ok"] * 4
    assert said["hooks"] == ["pre-commit", "commit-msg"]
    assert f"{local_lab.root}/.git/hooks" in text_of(said)
    assert "pre-commit, commit-msg" in text_of(said)
    assert not any("hooks" in res for res in jobs)
    assert all("hooks" not in res for res in local_lab.finish())


def test_users_read_it(local_lab: Lab) -> None:
    _install(local_lab.root / ".git/hooks", "commit-msg")
    _jobs(local_lab, "a")
    argv = [str(Path(sys.executable).parent / "datalad"), "finish"]
    ended = subprocess.run(argv, cwd=local_lab.root, capture_output=True, text=True, check=True)
    assert "commit-msg]" in ended.stdout


def test_hooks_of_a_subdataset(local_lab: Lab) -> None:
    local_lab.dataset.create("sub", result_renderer="disabled")
    _install(local_lab.root / "sub/.git/hooks", "commit-msg")
    _jobs(local_lab, "a")
    (job,) = local_lab.finish()
    _jobs(local_lab, "sub/b")
    job, said = local_lab.finish()
    assert (job["status"], said["hooks"]) == ("ok", ["commit-msg"])
    assert "/sub/.git/hooks" in text_of(said)


def test_git_cleans_up(local_lab: Lab) -> None:
    for setting in SETTINGS:
        local_lab.git("config", *setting.split("="))
    for name in "abcd":
        _jobs(local_lab, name)
        assert [res["status"] for res in local_lab.finish()] == ["ok"]
    assert len(list((local_lab.root / ".git/objects/pack").glob("*.pack"))) <= 2
    local_lab.git("fsck", "--strict")
    assert local_lab.changes() == ""
