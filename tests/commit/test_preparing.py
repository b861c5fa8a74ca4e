"""Outputs made writable for a job: what Git sees before, during and after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.commit.preparing import make_writable, subdatasets_to_install
from datalad_hpc.commit.restoring import restore
from datalad_hpc.job import Claim
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    content,
    git,
    leftovers,
    mode,
    objects,
    one,
    record,
    status,
    work,
    write,
)

OUT: tuple[Claim, ...] = (claim_for("out/"),)


@pytest.fixture
def ready(root: Path) -> Path:
    """A dataset with annexed outputs that a job may write to."""
    commit(root, {"out/one": "1111", "out/two": "2222", "out/deep/three": "3333", "not": "4"})
    make_writable(root, OUT)
    return root


def _without_content(root: Path, *paths: str) -> None:
    """As in a clone: the links are there, what they point to is not."""
    git(root, "annex", "drop", "--quiet", "--force", "--", *paths)


def test_job_writes_to_copies_and_not_to_objects(root: Path) -> None:
    commit(root, {"out/one": "1111", "not": "4"})
    before = objects(root)
    make_writable(root, OUT)
    assert not (root / "out/one").is_symlink()
    assert (root / "not").is_symlink()
    with (root / "out/one").open("a") as file:
        file.write(" and more")
    assert objects(root) == before
    assert leftovers(root) == []


def test_modes_and_links_of_the_users_own_stay(root: Path) -> None:
    write(root, {"out/tool": "x", "beside": "y"})
    (root / "out/tool").chmod(0o755)
    commit(root, {"out/file": "z"})
    git(root, "annex", "add", "--quiet", "out/tool")
    (root / "out/link").symlink_to("../beside")
    make_writable(root, OUT)
    assert os.readlink(root / "out/link") == "../beside"
    assert os.access(root / "out/tool", os.X_OK)
    assert os.stat(root / "out/tool").st_mode & 0o200


def test_nothing_is_staged(ready: Path) -> None:
    assert git(ready, "diff", "--cached", "--raw") == ""


def test_changed_files_stay_locked(ready: Path) -> None:
    before = objects(ready)
    write(ready, {"out/one": "new"})
    assert one(record(ready, work(1, "out/"))).files == ("out/one",)
    assert mode(ready, "out/one") == "120000"
    assert before.items() <= objects(ready).items()
    assert_sound(ready)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_locked_stays_locked_whatever_is_configured_for_new_files(
    ready: Path, setting: str
) -> None:
    git(ready, "config", "annex.addunlocked", setting)
    write(ready, {"out/one": "new", "out/fresh": "fresh"})
    record(ready, work(1, "out/"))
    assert mode(ready, "out/one") == "120000"
    assert mode(ready, "out/fresh") == ("100644" if setting == "true" else "120000")
    assert_sound(ready)


def test_unchanged_files_are_no_change(ready: Path) -> None:
    assert one(record(ready, work(1, "out/"))).files == ()
    assert (ready / "out/one").is_symlink()
    assert_sound(ready)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_unlocked_files_stay_unlocked(root: Path, setting: str) -> None:
    commit(root, {"out/one": "1", "out/two": "2"})
    git(root, "annex", "unlock", "--quiet", "out")
    git(root, "commit", "-q", "-m", "unlocked")
    git(root, "config", "annex.addunlocked", setting)
    make_writable(root, OUT)
    write(root, {"out/one": "new"})
    assert one(record(root, work(1, "out/"))).files == ("out/one",)
    assert mode(root, "out/one") == mode(root, "out/two") == "100644"
    assert content(root, "out/one").startswith("/annex/objects/")
    assert (root / "out/one").read_text() == "new"
    assert_sound(root)


def test_executable_that_is_unlocked_stays_so(root: Path) -> None:
    write(root, {"out/tool": "1"})
    (root / "out/tool").chmod(0o755)
    commit(root, {"out/other": ""})
    git(root, "annex", "add", "--quiet", "out")
    git(root, "annex", "unlock", "--quiet", "out")
    git(root, "commit", "-q", "-m", "unlocked")
    write(root, {"out/tool": "2"})
    record(root, work(1, "out/"))
    assert mode(root, "out/tool") == "100755"
    assert_sound(root)


def test_content_that_is_not_here(root: Path) -> None:
    commit(root, {"out/written": "1", "out/untouched": "2", "out/f/g/untouched": "3"})
    links = {name: os.readlink(root / name) for name in ("out/untouched", "out/f/g/untouched")}
    _without_content(root, "out")
    make_writable(root, OUT)
    assert [path for path in (root / "out").rglob("*") if not path.is_dir()] == []
    (root / "out/f/g").rmdir()
    (root / "out/f").rmdir()
    write(root, {"out/written": "new"})
    assert one(record(root, work(1, "out/"))).files == ("out/written",)
    assert {name: os.readlink(root / name) for name in links} == links
    assert (root / "out/written").read_text() == "new"
    assert status(root) == ""


def test_absent_content_below_what_became_a_file_is_gone(root: Path) -> None:
    commit(root, {"out/f/absent": "1", "out/keep": "2"})
    _without_content(root, "out/f")
    make_writable(root, OUT)
    (root / "out/f").rmdir()
    write(root, {"out/f": "file"})
    assert one(record(root, work(1, "out/"))).files == ("out/f", "out/f/absent")
    assert status(root) == ""


def test_absent_content_replaced_by_a_folder_is_gone(root: Path) -> None:
    commit(root, {"out/f": "1"})
    _without_content(root, "out/f")
    make_writable(root, OUT)
    write(root, {"out/f/new": "file"})
    assert one(record(root, work(1, "out/"))).files == ("out/f", "out/f/new")
    assert status(root) == ""


def test_restore_links_what_is_unchanged(ready: Path) -> None:
    before = objects(ready)
    assert restore(ready, OUT) == []
    assert (ready / "out/deep/three").is_symlink()
    assert objects(ready) == before
    assert leftovers(ready) == []
    assert_sound(ready)


def test_restore_knows_unchanged_files_by_content_too(ready: Path) -> None:
    (ready / "out/one").touch()
    assert restore(ready, OUT) == []
    assert_sound(ready)


def test_restore_leaves_and_reports_what_was_changed(ready: Path) -> None:
    before = objects(ready)
    write(ready, {"out/one": "other", "out/deep/three": "same"[:4], "out/new": "x"})
    assert restore(ready, OUT) == ["out/deep/three", "out/one"]
    assert (ready / "out/one").read_text() == "other"
    assert (ready / "out/two").is_symlink()
    assert objects(ready) == before
    assert git(ready, "diff", "--name-only").split("\n") == ["out/deep/three", "out/one"]


def test_restore_brings_back_links_without_content(root: Path) -> None:
    commit(root, {"out/absent": "1", "out/here": "2"})
    _without_content(root, "out/absent")
    make_writable(root, OUT)
    assert restore(root, OUT) == []
    assert status(root) == ""


def test_restore_stages_and_unstages_nothing(ready: Path) -> None:
    write(ready, {"staged": "x"})
    git(ready, "add", "staged")
    restore(ready, OUT)
    assert status(ready) == "A  staged\0"


def test_restore_touches_no_other_claim(root: Path) -> None:
    commit(root, {"out/one": "1", "more/two": "2"})
    both = (*OUT, claim_for("more/"))
    make_writable(root, both)
    restore(root, OUT)
    assert (root / "out/one").is_symlink()
    assert not (root / "more/two").is_symlink()


@pytest.mark.parametrize("touch", [False, True])
def test_subdatasets_are_prepared_and_restored(nested: Path, touch: bool) -> None:
    for name in ("", "one", "one/deep"):
        commit(nested / name, {"out/file": name or "top"})
    git(nested / "one", "commit", "-qam", "deep")
    git(nested, "commit", "-qam", "one")
    claims = (claim_for("one/"), claim_for("out/"))
    make_writable(nested, claims)
    assert not (nested / "one/deep/out/file").is_symlink()
    if touch:
        write(nested, {"one/deep/out/file": "changed"})
    assert restore(nested, claims) == (["one/deep/out/file"] if touch else [])
    assert (nested / "one/out/file").is_symlink()
    assert (status(nested) == "") is not touch


def test_repository_without_annex_is_left_alone(plain: Path) -> None:
    commit(plain, {"out/file": "1"})
    make_writable(plain, OUT)
    assert restore(plain, OUT) == []
    assert status(plain) == ""


def test_glob_prepares_what_it_matches(root: Path) -> None:
    commit(root, {"out/a.csv": "1", "out/b.txt": "2"})
    make_writable(root, [claim_for("out/*.csv")])
    assert not (root / "out/a.csv").is_symlink()
    assert (root / "out/b.txt").is_symlink()


def test_uninstalled_subdatasets_on_the_way_are_found(nested: Path) -> None:
    git(nested, "submodule", "deinit", "-q", "--force", "two")
    assert subdatasets_to_install(nested, [claim_for("two/out/x"), claim_for("new")]) == ["two"]


def test_made_writable_in_a_plain_look_is_a_change_of_kind_only(ready: Path) -> None:
    """What `git status` shows while the job runs; nothing that a commit would take."""
    assert status(ready) == " T out/deep/three\0 T out/one\0 T out/two\0"
    assert changed(ready) == ["not", "out/deep/three", "out/one", "out/two"]
