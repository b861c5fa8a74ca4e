"""What arrives with a clone, or is made by a job, runs nothing and leads nowhere.

Each test has a canary: a command that would make a file. First it is shown to
sing where Git or DataLad are told to run it, so that its silence means something.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datalad.interface.common_cfg import definitions

from datalad_hpc.workplace import Workplace
from tests.commands.conftest import Lab, text_of

OURS = sorted(name for name in definitions if name.startswith("datalad.hpc."))


class Canary:
    """A program that leaves a trace."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.song = folder / "song"
        self.program = folder / "canary"
        self.program.write_text(f"#!/bin/sh\ntouch {self.song}\n")
        self.program.chmod(0o755)

    def sang(self) -> bool:
        """Whether it was run since it was asked last."""
        sang = self.song.exists()
        self.song.unlink(missing_ok=True)
        return sang


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "cage")


def run(*argv: object, folder: Path, **environment: str) -> str:
    ended = subprocess.run(
        [str(word) for word in argv],
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return ended.stdout


def datalad(*arguments: str, folder: Path) -> str:
    return run(Path(sys.executable).parent / "datalad", *arguments, folder=folder)


def one_round(lab: Lab, output: str = "out/", **options: Any) -> dict[str, Any]:
    """Every command once."""
    lab.reschedule(report=True)
    lab.finish(list_open_jobs=True)
    lab.finish()
    done = lab.run(
        f"sbatch --wrap 'mkdir -p out; date > {output}/new'", outputs=[output], **options
    )
    lab.reschedule(report=True)
    return done


# Configuration


def test_no_setting_is_taken_from_a_clone(local_lab: Lab, tmp_path: Path) -> None:
    lab, config = local_lab, str(local_lab.root / ".datalad" / "config")
    assert len(OURS) >= 8
    place = Workplace.of(lab.dataset, "look")
    own = {name: place.setting(name) for name in OURS}
    for name in OURS:
        lab.git("config", "-f", config, name, str(tmp_path / "theirs"))
    lab.save(".datalad/config")
    lab.dataset.config.reload(force=True)
    assert {name: Workplace.of(lab.dataset, "look").setting(name) for name in OURS} == own
    done = one_round(lab)
    assert done["status"] == "ok", text_of(done)
    assert not (tmp_path / "theirs").exists()
    # The same where the user says it counts.
    for name in OURS:
        lab.git("config", name, str(tmp_path / "theirs"))
    lab.dataset.config.reload(force=True)
    told = {Workplace.of(lab.dataset, "look").setting(name) for name in OURS} - set(own.values())
    assert told == {str(tmp_path / "theirs")}


def test_hooks_of_datalad_in_a_clone_are_not_run(local_lab: Lab, canary: Canary) -> None:
    lab = local_lab
    hook = "datalad.result-hook.canary"
    call = f'run_procedure {{{{"spec": "canary", "dataset": "{lab.root}"}}}}'
    items = {
        f"{hook}.match-json": json.dumps({"action": "finish"}),
        f"{hook}.call-json": call,
        "datalad.locations.dataset-procedures": "procedures",
        "datalad.procedures.canary.call-format": f"{canary.program}",
    }
    lab.write("procedures/canary.sh", f"touch {canary.song}\n")
    for name, value in items.items():
        lab.git("config", "-f", ".datalad/config", name, value)
    lab.save(".datalad/config")
    lab.dataset.config.reload(force=True)
    done = one_round(lab)
    assert done["status"] == "ok", text_of(done)
    assert not canary.sang()
    lab.git("config", f"{hook}.call-json", call)
    lab.dataset.config.reload(force=True)
    lab.finish()
    assert canary.sang()


def test_attributes_of_a_clone_run_nothing(local_lab: Lab, canary: Canary) -> None:
    lab = local_lab
    before = lab.git("rev-parse", "HEAD").strip()
    words = "filter=canary diff=canary merge=canary annex.backend=XCANARY"
    (lab.root / ".gitattributes").write_text(f"* {words}\n")
    for name in ("filter.canary.clean", "filter.canary.smudge", "filter.canary.process"):
        for file in (".gitconfig", ".gitmodules", ".datalad/config"):
            lab.git("config", "-f", file, name, str(canary.program))
    backend = lab.root / "git-annex-backend-XCANARY"
    backend.write_bytes(canary.program.read_bytes())
    backend.chmod(0o755)
    lab.git("add", "-f", ".")
    lab.git("commit", "-q", "-m", "by its author")
    done = one_round(lab)
    assert done["status"] in ("ok", "error"), text_of(done)
    assert not canary.sang()
    told = f"diff.canary.textconv={canary.program}"
    run("git", "-c", told, "diff", "--textconv", before, folder=lab.root)
    assert canary.sang()
    path = f"{lab.root}{os.pathsep}{os.environ['PATH']}"
    (lab.root / "again").write_text("again")
    run("git", "annex", "add", "again", folder=lab.root, PATH=path)
    assert canary.sang()


def test_subdatasets_of_a_clone_run_nothing(local_lab: Lab, canary: Canary) -> None:
    lab = local_lab
    url = f"ext::{canary.program} %S"
    lab.git("config", "-f", ".gitmodules", "submodule.sub.path", "sub")
    lab.git("config", "-f", ".gitmodules", "submodule.sub.url", url)
    lab.git("config", "-f", ".gitmodules", "submodule.sub.update", f"!{canary.program}")
    tip = lab.git("rev-parse", "HEAD").strip()
    lab.git("update-index", "--add", "--cacheinfo", f"160000,{tip},sub")
    lab.git("add", "-f", ".gitmodules")
    lab.git("commit", "-q", "-n", "-m", "by its author")
    (lab.root / "sub").mkdir()
    done = one_round(lab)
    assert done["status"] == "ok", text_of(done)
    lab.schedule("sbatch --wrap true", outputs=["sub/x"], inputs=["sub/y"])
    assert not canary.sang()
    run("git", "clone", url, "x", folder=canary.song.parent, GIT_ALLOW_PROTOCOL="ext")
    assert canary.sang()


REMOTE = "externaltype=canary type=external encryption=none autoenable=true"


def test_a_clone_starts_no_remote_of_its_author(
    local_lab: Lab, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is there; git-annex would start it when it makes an annex of a clone."""
    lab = local_lab
    name = canary.program.parent / "git-annex-remote-canary"
    name.write_text("#!/bin/sh\necho VERSION 1\nwhile read line; do case $line in "
                    "INITREMOTE) echo INITREMOTE-SUCCESS;; PREPARE) echo PREPARE-SUCCESS;; "
                    "EXTENSIONS*) echo EXTENSIONS;; *) echo UNSUPPORTED-REQUEST;; esac; done\n"
                    )  # fmt: skip
    name.chmod(0o755)
    monkeypatch.setenv("PATH", f"{name.parent}{os.pathsep}{os.environ['PATH']}")
    lab.git("annex", "initremote", "theirs", *REMOTE.split())
    name.write_bytes(canary.program.read_bytes())
    lab.run("sbatch --wrap 'date > new'", outputs=["new"])
    run("git", "clone", "-q", lab.root, "clone", folder=tmp_path)
    for arguments in (
        ["finish", "--list-open-jobs"],
        ["finish"],
        ["reschedule", "--report"],
    ):
        datalad(*arguments, folder=tmp_path / "clone")
        assert not canary.sang(), arguments
    run("git", "annex", "init", folder=tmp_path / "clone")
    assert canary.sang()


# Repositories within the dataset


def hostile_repository(folder: Path, canary: Canary) -> None:
    """A repository that has its commands run wherever Git looks closer."""
    folder.mkdir(parents=True)
    run("git", "init", "-q", folder=folder)
    (folder / "x").write_text("x")
    run("git", "add", "x", folder=folder)
    run("git", "commit", "-q", "-m", "x", folder=folder)
    tree = run("git", "rev-parse", "HEAD^{tree}", folder=folder).strip()
    (folder / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    for item in (
        f"core.fsmonitor {canary.program}",
        f"core.sshCommand {canary.program}",
        "core.repositoryFormatVersion 1",
        "extensions.partialClone theirs",
        "remote.theirs.promisor true",
        "remote.theirs.url ssh://nowhere.invalid/x",
    ):
        run("git", "config", *item.split(), folder=folder)


def test_a_repository_that_a_job_made_is_not_looked_into(local_lab: Lab, canary: Canary) -> None:
    lab = local_lab
    hostile_repository(canary.song.parent / "theirs", canary)
    run("git", "cat-file", "-p", "HEAD^{tree}", folder=canary.song.parent / "theirs")
    assert canary.sang()
    done = lab.run(f"sbatch --wrap 'cp -r {canary.song.parent}/theirs out'", outputs=["out/"])
    assert not canary.sang()
    assert done["status"] == "error"
    assert "not a subdataset" in text_of(done)
    lab.finish(close_failed_jobs=True)
    assert not canary.sang()


def test_a_bare_repository_in_a_clone_is_no_place_of_work(local_lab: Lab, canary: Canary) -> None:
    """Git takes a folder that looks like a repository for one, if it is called in it."""
    lab, bare = local_lab, local_lab.root / "out" / "bare"
    run("git", "init", "-q", "--bare", bare, folder=lab.root)
    run("git", "config", "core.bare", "false", folder=bare)
    run("git", "config", "core.worktree", "..", folder=bare)
    run("git", "config", "core.fsmonitor", canary.program, folder=bare)
    run("git", "config", "datalad.hpc.store", bare / "theirs", folder=bare)
    run("git", "config", "datalad.hpc.local.spool", bare / "theirs", folder=bare)
    (bare / "objects" / "keep").touch()
    (bare / "refs" / "keep").touch()
    for path in sorted(bare.rglob("*")):
        if path.is_file():
            oid = lab.git("hash-object", "-w", str(path)).strip()
            name = path.relative_to(lab.root)
            lab.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{name}")
    lab.git("commit", "-q", "-m", "by its author")
    run("git", "status", folder=bare)
    assert canary.sang()
    done = one_round(lab)
    assert done["status"] == "ok", text_of(done)
    for arguments in (
        ["schedule", "--scheduler", "local", "-o", "y", "sbatch", "--wrap", "date > y"],
        ["finish", "--list-open-jobs"],
        ["finish"],
        ["reschedule", "--report"],
    ):
        datalad(*arguments, folder=bare)
        assert not canary.sang(), arguments
        assert not (bare / "theirs").exists(), arguments


# Links within the dataset


def test_a_link_that_looks_annexed_brings_no_file_of_the_users(
    local_lab: Lab, tmp_path: Path
) -> None:
    lab = local_lab
    (tmp_path / "annex" / "objects").mkdir(parents=True)
    (tmp_path / "annex" / "key").write_text("secret\n")
    (tmp_path / "other").write_text("secret\n")
    links = {
        "a": f"{tmp_path}/annex/objects/../key",
        "b": f"{tmp_path}/annex/objects/../../other",
        "c": ".git/annex/objects/../../config",
        "d": "elsewhere/annex/objects/../key",
    }
    (lab.root / "elsewhere").symlink_to(tmp_path)
    for name, target in links.items():
        (lab.root / name).symlink_to(target)
    lab.git("add", ".")
    lab.git("commit", "-q", "-m", "by its author")
    for options in ({}, {"close_failed_jobs": True}):
        job = lab.schedule("sbatch --wrap 'exit 1'", outputs=[*links])
        assert job["status"] == "ok", text_of(job)
        assert {name: os.readlink(lab.root / name) for name in links} == links
        lab.wait()
        (done,) = lab.finish(**(options or {"commit_failed_jobs": True}))
        assert done["status"] == "ok", text_of(done)
        assert {name: os.readlink(lab.root / name) for name in links} == links
    assert sorted(path.name for path in (tmp_path / "annex").iterdir()) == ["key", "objects"]


def test_a_folder_that_became_a_link_takes_nothing_out(local_lab: Lab, tmp_path: Path) -> None:
    lab, there = local_lab, tmp_path / "there"
    there.mkdir()
    lab.write("out/old", "old\n")
    lab.git("annex", "drop", "--force", "out/old")
    lab.write("logs/keep")
    for output, command in (
        ("out", f"rm -r out; ln -s {there} out"),
        ("gone/", f"rm -r logs; ln -s {there} logs"),
    ):
        job = lab.schedule(["sbatch", "--output=logs/%j.log", "--wrap", command], outputs=[output])
        assert job["status"] == "ok", text_of(job)
        lab.wait()
        (done,) = lab.finish(commit_failed_jobs=True)
        assert list(there.iterdir()) == []
    assert done["status"] == "error"
    assert "is a symbolic link" in text_of(done)
