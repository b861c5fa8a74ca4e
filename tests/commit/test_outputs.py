"""Which files of a job are committed, and how: kinds, names, rules of the dataset."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Recorder
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    content,
    git,
    history,
    mode,
    one,
    record,
    status,
    work,
    write,
)

HOSTILE = (
    "new\nline",
    "quo\"te's",
    "back\\slash",
    "-dash",
    "--",
    "glob*?[a]",
    ":0:x",
    ":(top)x",
    "b l a n k ",
    " ",
    "ümläut-ﷺ",
    os.fsdecode(b"latin-\xe4"),
    "tab\tbell\a",
    "!not",
    "#hash",
    "~tilde",
    "$HOME",
)


def test_new_file_is_annexed_and_locked(root: Path) -> None:
    write(root, {"out/data": "result"})
    assert one(record(root, work(1, "out/"))).files == ("out/data",)
    assert mode(root, "out/data") == "120000"
    assert (root / "out/data").read_text() == "result"
    assert changed(root) == ["out/data"]
    assert_sound(root)


def test_message_is_made_from_the_files(root: Path) -> None:
    write(root, {"out/b": "b", "out/a": "a"})
    record(root, work(1, "out/"))
    assert git(root, "log", "-1", "--format=%B").rstrip() == "job 101\n\nwith a body"


def test_message_is_taken_to_the_letter(plain: Path) -> None:
    write(plain, {"out": "x"})
    text = 'ä "q"\n\n# no comment\n\n\ndata 5\nlast  \n'
    works = [Work(1, "1", (claim_for("out"),), lambda files: text + ",".join(files))]
    Recorder(plain).record(works, lambda _planned: None)
    assert git(plain, "cat-file", "commit", "HEAD").partition("\n\n")[2] == text + "out"


def test_text_goes_to_git_where_the_dataset_says_so(text_root: Path) -> None:
    write(text_root, {"out/text.txt": "words\n", "out/binary": bytes(range(256))})
    record(text_root, work(1, "out/"))
    assert (mode(text_root, "out/text.txt"), mode(text_root, "out/binary")) == ("100644", "120000")
    assert content(text_root, "out/text.txt") == "words"
    assert_sound(text_root)


def test_dotfiles_and_dot_folders_are_outputs(root: Path) -> None:
    write(root, {"out/.hidden": "1", "out/.folder/x": "2"})
    record(root, work(1, "out/"))
    assert changed(root) == ["out/.folder/x", "out/.hidden"]
    assert_sound(root)


@pytest.mark.parametrize("kind", ["root", "text_root", "plain"])
def test_executable_stays_executable(kind: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    write(top, {"tool.sh": "#!/bin/sh\n"})
    (top / "tool.sh").chmod(0o755)
    record(top, work(1, "tool.sh"))
    assert os.access(top / "tool.sh", os.X_OK)
    assert mode(top, "tool.sh") == ("120000" if kind == "root" else "100755")
    assert status(top) == ""


def test_links_of_the_job_are_committed_as_they_are(root: Path) -> None:
    write(root, {"out/file": "x"})
    targets = {"to-file": "file", "to-nothing": "no/where", "to-folder": "..", "up": "/etc/passwd"}
    for name, target in targets.items():
        (root / "out" / name).symlink_to(target)
    record(root, work(1, "out/"))
    assert {name: content(root, f"out/{name}") for name in targets} == targets
    assert_sound(root)


def test_empty_files_and_empty_folders(root: Path) -> None:
    write(root, {"out/empty": ""})
    (root / "out/folder").mkdir()
    record(root, work(1, "out/"))
    assert changed(root) == ["out/empty"]
    assert (root / "out/folder").is_dir()
    assert_sound(root)


@pytest.mark.parametrize("kind", ["root", "plain"])
def test_hostile_names_below_a_folder(kind: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    names = [f"out/{name}/{name}" for name in HOSTILE]
    write(top, dict.fromkeys(names, "first"))
    assert one(record(top, work(1, "out/"))).files == tuple(sorted(names))
    assert sorted(changed(top)) == sorted(names)
    assert status(top) == ""
    for name in names:
        (top / name).unlink()
    write(top, dict.fromkeys(names[::2], "second"))
    record(top, work(2, "out/"))
    listed = git(top, "ls-tree", "-r", "-z", "--name-only", "HEAD", "out").split("\0")[:-1]
    assert sorted(listed) == sorted(names[::2])
    assert (top / names[0]).read_text() == "second"
    assert status(top) == ""


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\udce4" not in name])
def test_hostile_name_as_a_claim(plain: Path, name: str) -> None:
    """A glob character makes a glob of the claim, which covers its own spelling."""
    write(plain, {name: "x", "other": "y"})
    assert one(record(plain, work(1, name))).files == (name,)
    assert status(plain) == "?? other\0"


def test_deep_folders(root: Path) -> None:
    deep = "out/" + "/".join(["folder"] * 60)
    write(root, {f"{deep}/file": "x"})
    assert one(record(root, work(1, "out/"))).files == (f"{deep}/file",)
    assert_sound(root)


def test_glob_takes_what_matches_and_nothing_else(root: Path) -> None:
    write(root, {"out/a.csv": "a", "out/b.csv": "b", "out/c.txt": "c", "out/.d.csv": "d"})
    record(root, work(1, "out/*.csv"))
    assert changed(root) == ["out/a.csv", "out/b.csv"]
    assert status(root) == "?? out/.d.csv\0?? out/c.txt\0"


@pytest.mark.parametrize("kind", ["root", "plain"])
@pytest.mark.parametrize("claim", ["out/", "out/run.log"])
def test_ignored_files_are_wanted_outputs(
    kind: str, claim: str, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {".gitignore": "*.log\n"})
    write(top, {"out/run.log": "text"})
    record(top, work(1, claim))
    assert changed(top) == ["out/run.log"]
    assert git(top, "status", "--porcelain", "--ignored") == ""


def test_pipe_is_left_out_with_a_note(root: Path) -> None:
    write(root, {"out/file": "x"})
    os.mkfifo(root / "out/pipe")
    outcome = one(record(root, work(1, "out/")))
    assert outcome.notes == ("neither a file nor a link, and so left out: out/pipe",)
    assert changed(root) == ["out/file"]
    assert (root / "out/pipe").is_fifo()


def test_changed_and_deleted_and_new_in_one_commit(root: Path) -> None:
    commit(root, {"out/changed": "1", "out/deleted": "2", "out/kept": "3", "out/f/deleted": "4"})
    for name in ("changed", "deleted", "f/deleted"):
        (root / "out" / name).unlink()
    write(root, {"out/changed": "one", "out/new": "5"})
    record(root, work(1, "out/"))
    assert changed(root) == ["out/changed", "out/deleted", "out/f/deleted", "out/new"]
    assert mode(root, "out/deleted") == mode(root, "out/f/deleted") == ""
    assert_sound(root)


@pytest.mark.parametrize(
    ("claim", "gone"),
    [
        ("out/a-*", ["out/a-1", "out/a-2"]),
        ("out/[ab]-1", ["out/a-1", "out/b-1"]),
        ("out/f*/x", ["out/f-1/x", "out/f-2/x"]),
        ("**/*-1/x", ["out/f-1/x"]),
        ("?ut/a-1", ["out/a-1"]),
    ],
)
def test_files_of_a_glob_that_are_gone(plain: Path, claim: str, gone: list[str]) -> None:
    names = ["out/a-1", "out/a-2", "out/ab", "out/b-1", "out/f-1/x", "out/f-2/x", "a-1"]
    commit(plain, dict.fromkeys(names, "x"))
    for name in names:
        (plain / name).unlink()
    record(plain, work(1, claim))
    assert changed(plain) == gone


@pytest.mark.parametrize("kind", ["root", "plain"])
@pytest.mark.parametrize("claim", ["out", "out/"])
def test_file_becomes_a_folder(kind: str, claim: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"out": "file", "out.other": "beside", "keep": "x"})
    (top / "out").unlink()
    write(top, {"out/a": "1", "out/b/c": "2"})
    assert one(record(top, work(1, claim))).files == ("out", "out/a", "out/b/c")
    assert git(top, "ls-tree", "-r", "--name-only", "HEAD", "out", "out.other").split("\n") == [
        "out.other",
        "out/a",
        "out/b/c",
    ]
    assert status(top) == ""


@pytest.mark.parametrize("kind", ["root", "plain"])
@pytest.mark.parametrize("claim", ["out", "out/"])
def test_folder_becomes_a_file(kind: str, claim: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"out/a": "1", "out/b/c": "2", "keep": "x"})
    git(top, "clean", "-dxfq", "out")
    for name in ("a", "b/c"):
        (top / "out" / name).unlink()
    (top / "out/b").rmdir()
    (top / "out").rmdir()
    write(top, {"out": "file"})
    record(top, work(1, claim))
    assert (top / "out").read_text() == "file"
    assert changed(top) == ["out", "out/a", "out/b/c"]
    assert status(top) == ""


def test_folder_becomes_a_link(root: Path) -> None:
    commit(root, {"out/a": "1", "other/a": "2"})
    (root / "out/a").unlink()
    (root / "out").rmdir()
    (root / "out").symlink_to("other")
    assert one(record(root, work(1, "out/"))).files == ("out", "out/a")
    assert content(root, "out") == "other"
    assert mode(root, "other/a") == "120000"
    assert_sound(root)


def test_output_behind_a_link_is_a_problem_of_its_job(root: Path) -> None:
    commit(root, {"elsewhere/keep": "x"})
    write(root, {"elsewhere/result": "1", "good": "2"})
    (root / "out").symlink_to("elsewhere")
    first, second = record(root, work(1, "out/result"), work(2, "good"))
    assert "out is a symbolic link" in first.problem
    assert second.commit == git(root, "rev-parse", "HEAD")
    assert not (root / "elsewhere/result").is_symlink()
    assert status(root) == "?? elsewhere/result\0?? out\0"


@pytest.mark.parametrize("inner", ["unborn", "committed", "empty", "broken"])
def test_git_folder_of_the_job_stops_that_job_only(root: Path, inner: str) -> None:
    write(root, {"out/tool/file": "1", "good": "2"})
    git_dir = root / "out/tool/.git"
    if inner == "empty":
        git_dir.mkdir()
    elif inner == "broken":
        git_dir.write_text("gitdir: /no/where\n")
    else:
        git(root / "out/tool", "init", "-q")
    if inner == "committed":
        commit(root / "out/tool", {"file": "1"})
    first, second = record(root, work(1, "out/"), work(2, "good"))
    assert "out/tool" in first.problem
    assert "not a subdataset" in first.problem
    assert first.commit == ""
    assert second.files == ("good",)
    assert history(root)[0] == "job 102"
    assert (root / "out/tool/file").read_text() == "1"
    assert not (root / "out/tool/file").is_symlink()


def test_job_without_changes_has_an_empty_commit(root: Path) -> None:
    commit(root, {"out": "same"})
    assert one(record(root, work(1, "out"))).files == ()
    assert history(root)[:2] == ["job 101", "before"]
    assert_sound(root)
