"""Outputs of any name: none runs as code, none is lost, and what cannot be is refused."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset
from hypothesis import given
from hypothesis import strategies as st

from tests.commands.conftest import Lab, text_of
from tests.commands.hostile import (
    GITS,
    OFTEN,
    PATH,
    WORDS,
    Teller,
    assert_sound,
    datalad,
    doubled,
    raw_git,
    record_of,
    tree_of,
    written_in,
)

pytestmark = pytest.mark.soak

COPIES = itertools.count()


@pytest.fixture
def fresh(dataset_template: Path, tmp_path: Path, local_spool: Path) -> Any:
    """Gives a fresh dataset, and jobs that write any file, as often as it is asked."""

    def make() -> Teller:
        folder = tmp_path / f"copy-{next(COPIES)}"
        root = shutil.copytree(dataset_template, folder / "ds", symlinks=True)
        teller = Teller(Lab(Dataset(root), "local"), folder / "names")
        teller.script()
        return teller

    return make


def apart(paths: Sequence[str]) -> list[str]:
    """Paths of which none lies at or below another's first part, nor is one of ours."""
    tops: dict[str, str] = {}
    for path in paths:
        tops.setdefault(path.split("/")[0], path)
    for taken in ("tell.sh", ".gitattributes", ".gitmodules", ".datalad"):
        tops.pop(taken, None)
    return list(tops.values())


def outputs_for(path: str, how: str) -> str:
    """One of several ways to declare a file."""
    if how == "folder":
        return doubled(glob.escape(path.split("/")[0])) + "/"
    if how == "glob" and "/" in path:
        folder, name = path.rsplit("/", 1)
        hidden = "." if name.startswith(".") else ""
        return doubled(glob.escape(folder)) + f"/{hidden}*"
    return doubled(glob.escape(path))


HOW = st.sampled_from(["file", "folder", "glob"])
JOBS = st.lists(st.tuples(PATH, HOW, st.booleans()), min_size=10, max_size=18)


@OFTEN
@given(JOBS)
def test_whatever_a_job_writes_is_committed_as_it_is(fresh: Any, wanted: Any) -> None:
    teller: Teller = fresh()
    lab = teller.lab
    alternative = lab.root.parent / "-s 'b'{} $(touch pwned)\n"
    alternative.mkdir()
    ways = {path: (how, elsewhere) for path, how, elsewhere in wanted}
    jobs: dict[str, str] = {}
    for path in apart(list(ways)):
        how, elsewhere = ways[path]
        outputs = [outputs_for(path, how if "/" in path else "file")]
        alt_dir = str(alternative) if elsewhere else None
        job = lab.schedule(teller.command([path]), outputs=outputs, alt_dir=alt_dir)
        assert job["status"] == "ok", (path, text_of(job))
        jobs[job["slurm_job_id"]] = path
    check_round(lab, jobs)
    again = lab.reschedule(since="")
    assert [text_of(res) for res in again if res["status"] != "ok"] == []
    check_round(lab, dict(zip((res["slurm_job_id"] for res in again), jobs.values(), strict=True)))
    assert_sound(lab, teller.folder, alternative)


def check_round(lab: Lab, jobs: dict[str, str]) -> None:
    """Each job is listed, and makes a commit of just its file."""
    assert lab.listed().keys() == jobs.keys()
    lab.wait()
    done = lab.finish()
    assert [text_of(res) for res in done if res["status"] != "ok"] == []
    assert len(done) == len(jobs)
    for res in done:
        job_id, path = res["slurm_job_id"], jobs[res["slurm_job_id"]]
        assert written_in(lab, res["commit"]) == {os.fsencode(path)}
        assert (lab.root / path).read_bytes() == os.fsencode(f"{job_id} ./{path}")
        assert os.fsencode(path) in tree_of(lab, res["commit"])
        assert record_of(lab, res["commit"])["outputs"] == res["outputs"]


def test_names_are_typed_in_a_folder_of_any_name(teller: Teller) -> None:
    """All words at once: as arguments, from a folder whose own name is no better."""
    lab = teller.lab
    here = "-h 'x' $(touch pwned) ü{}"
    (lab.root / here).mkdir()
    wanted = [f"{number}/{name}" for number, name in enumerate(WORDS)]
    declared = [f"--output={doubled(glob.escape(name))}" for name in wanted]
    call = ("schedule", *declared, "--message=-o $(touch pwned)", "--")
    ended = datalad(lab, *call, *teller.command(wanted).split(), folder=here)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lab.wait()
    ended = datalad(lab, "finish", folder=here)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert written_in(lab, "HEAD") == {os.fsencode(f"{here}/{name}") for name in wanted}
    assert record_of(lab, "HEAD")["pwd"] == here
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert len(written_in(lab, "HEAD")) == len(wanted)
    assert_sound(lab, teller.folder)


@pytest.mark.parametrize("expand", [None, "outputs"])
def test_what_is_not_utf8_is_committed_below_a_folder(teller: Teller, expand: str | None) -> None:
    """It cannot be declared by name, since no record could hold it."""
    lab = teller.lab
    paths = ["out/b\udcff/\udcfe", "out/ü", "out/\udcffd.x"]
    done = lab.run(teller.command(paths), outputs=["out/"], expand=expand)
    assert done["status"] == "ok", text_of(done)
    assert written_in(lab, "HEAD") == {os.fsencode(path) for path in paths}
    assert record_of(lab, "HEAD")["outputs"] == ["out/"]
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert_sound(lab)


def test_a_path_may_be_nearly_as_long_as_the_system_takes(teller: Teller) -> None:
    lab = plain_git(teller.lab)
    room = os.pathconf(lab.root, "PC_PATH_MAX") - len(f"{lab.root}/") - 1
    whole, rest = divmod(room, 256)
    path = "/".join(["ü" * 127 + "x"] * whole + ["y" * rest])
    assert len(os.fsencode(path)) == room
    command = teller.command([path])
    (refused,) = lab.schedule_all(command, outputs=[f"{path}y"])
    assert refused["status"] == "impossible"
    assert "too long" in text_of(refused)
    done = lab.run(command, outputs=[path])
    assert done["status"] == "ok", text_of(done)
    assert written_in(lab, "HEAD") == {os.fsencode(path)}
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)


# What cannot be is refused.


@pytest.fixture
def teller(local_lab: Lab, tmp_path: Path) -> Teller:
    """Jobs that write any file, in one dataset."""
    made = Teller(local_lab, tmp_path / "names")
    made.script()
    return made


REFUSED = [
    *("", "\0", "a\0b", "b\udcff", "\udcff/x", "..", "../x", "a/../../x", "/", "/etc/x"),
    *("x" * 256, "ü" * 128, "d/" * 2100 + "x", "out/x", "out/new/x", "into-git/x", "*/../x"),
    *(f"{above}{name}{below}" for name in GITS for above, below in (("", ""), ("d/", "/x"))),
    *("*/.git", ".GITMODULES", ".gitmodules/x", "d/.gitattributes/x"),
]


@pytest.mark.parametrize("as_process", [False, True])
def test_what_cannot_be_an_output_is_refused(
    teller: Teller, as_process: bool, tmp_path: Path, inside: Any
) -> None:
    lab = teller.lab
    (tmp_path / "elsewhere").mkdir()
    (lab.root / "out").symlink_to(tmp_path / "elsewhere")
    (lab.root / "into-git").symlink_to(".git")
    lab.save()
    command = teller.command(["good"])
    before = raw_git(lab, "rev-parse", "HEAD"), sorted(os.listdir(lab.root))
    # A process for each would take too long, and cannot be given a NUL.
    wanted = REFUSED[2::6] if as_process else REFUSED
    for path in wanted:
        if as_process and "\0" not in path:
            ended = datalad(
                lab, "schedule", "-o", "good", f"--output={path}", "--", *command.split()
            )
            assert ended.returncode == 1, path
            assert b"schedule(impossible)" in ended.stdout, path
        else:
            (refused,) = lab.schedule_all(command, outputs=["good", path])
            assert refused["status"] == "impossible", path
            assert text_of(refused).isprintable(), path
    assert lab.listed() == {}
    assert (raw_git(lab, "rev-parse", "HEAD"), sorted(os.listdir(lab.root))) == before
    assert_sound(lab, tmp_path / "elsewhere")
    # Nothing was left that would be in the way of who asks for what can be.
    assert lab.run(command, outputs=["good"])["status"] == "ok"


@pytest.mark.parametrize("annexed", [True, False])
@pytest.mark.parametrize("name", [".GIT", ".git /x", "git~1", "x\\.git", "link/.gitmodules"])
def test_a_file_that_git_refuses_keeps_its_job_open(
    teller: Teller, name: str, annexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git-annex would say that it added the file, and Git that all is well."""
    lab = teller.lab
    if not annexed:
        lab = teller.lab = plain_git(lab)
    job = lab.schedule(teller.command([f"out/{name}", "out/good"]), outputs=["out/"])
    lab.wait()
    if name.startswith("link"):
        (lab.root / "out" / name).unlink()
        (lab.root / "out" / name).symlink_to("nowhere")
    (kept,) = lab.finish()
    assert kept["status"] == "error"
    assert f"out/{name}" in text_of(kept)
    assert "rename it" in text_of(kept)
    assert lab.listed().keys() == {job["slurm_job_id"]}
    (lab.root / "out" / name).rename(lab.root / "out" / "renamed")
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert written_in(lab, "HEAD") == {b"out/good", b"out/renamed"}


def test_such_a_file_does_not_come_back_from_elsewhere(teller: Teller, tmp_path: Path) -> None:
    lab, alternative = teller.lab, tmp_path / "alternative"
    alternative.mkdir()
    command = teller.command(["out/.GIT/x", "out/good"])
    lab.schedule(command, outputs=["out/"], alt_dir=str(alternative))
    lab.wait()
    (kept,) = lab.finish()
    assert kept["status"] == "error"
    assert f"{alternative}/out/.GIT has a name" in text_of(kept)
    (alternative / "out" / ".GIT").rename(alternative / "out" / "renamed")
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert written_in(lab, "HEAD") == {b"out/good", b"out/renamed/x"}


def plain_git(lab: Lab) -> Lab:
    """A clone without git-annex."""
    root = lab.root.parent / "plain"
    raw_git(lab, "clone", "-q", lab.dataset.path, str(root))
    return Lab(Dataset(root), lab.scheduler)
