"""Outputs in subdatasets are committed there, and what contains them follows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    one,
    record,
    status,
    work,
    write,
)

ALL = ("", "one", "one/deep", "two")


def _link(top: Path, path: str, revision: str = "HEAD") -> str:
    """The commit of a subdataset that a commit records."""
    return git(top, "rev-parse", f"{revision}:{path}")


def _assert_consistent(nested: Path) -> None:
    """Each dataset is clean and records what its subdatasets have checked out."""
    assert {name: status(nested / name) for name in ALL} == dict.fromkeys(ALL, "")
    listed = git(nested, "submodule", "status", "--recursive").split("\n")
    assert [line[0] for line in listed] == [" "] * 3


@pytest.mark.parametrize("name", ["one", "one/deep"])
@pytest.mark.parametrize("claim", ["out/file", "out/", "out/*"])
def test_output_in_one(nested: Path, name: str, claim: str) -> None:
    before = {name: git(nested / name, "rev-parse", "HEAD") for name in ALL}
    write(nested / name, {"out/file": "x"})
    outcome = one(record(nested, work(1, f"{name}/{claim}")))
    assert outcome.files == (f"{name}/out/file",)
    assert changed(nested / name) == ["out/file"]
    assert changed(nested) == ["one"]
    assert git(nested / "two", "rev-parse", "HEAD") == before["two"]
    assert git(nested, "rev-parse", "HEAD~") == before[""]
    assert history(nested / name)[0] == "job 101"
    _assert_consistent(nested)


def test_outputs_in_all_at_once(nested: Path) -> None:
    for name in ALL:
        write(nested / name, {"out/file": name})
    claims = [f"{name}/out/".lstrip("/") for name in ALL]
    outcome = one(record(nested, work(1, *claims)))
    assert len(outcome.files) == 4
    assert sorted(changed(nested)) == ["one", "out/file", "two"]
    assert sorted(changed(nested / "one")) == ["deep", "out/file"]
    assert _link(nested, "one") == git(nested / "one", "rev-parse", "HEAD")
    _assert_consistent(nested)
    assert_sound(nested / "one/deep")


def test_folder_claim_reaches_into_subdatasets(nested: Path) -> None:
    write(nested, {"one/out/file": "1", "one/deep/file": "2"})
    assert one(record(nested, work(1, "one/"))).files == ("one/deep/file", "one/out/file")
    _assert_consistent(nested)


@pytest.mark.parametrize("claim", ["one/out/a-*", "o*/out/a-1", "*/out/a-1", "one/*/a-1"])
def test_files_of_a_glob_that_are_gone(nested: Path, claim: str) -> None:
    commit(nested / "one", {"out/a-1": "1", "out/b-1": "2"})
    git(nested, "add", "one")
    git(nested, "commit", "-q", "-m", "follow")
    for name in ("a-1", "b-1"):
        (nested / "one/out" / name).unlink()
    record(nested, work(1, claim))
    assert changed(nested / "one") == ["out/a-1"]
    assert changed(nested) == ["one"]


def test_the_whole_dataset_as_claim(nested: Path) -> None:
    write(nested, {"one/deep/a": "1", "two/b": "2", "c": "3"})
    assert one(record(nested, work(1, "."))).files == ("c", "one/deep/a", "two/b")
    _assert_consistent(nested)


def test_jobs_in_the_same_subdataset_have_a_link_each(nested: Path) -> None:
    for key in (1, 2, 3):
        write(nested, {f"one/out/{key}": f"{key}", f"log-{key}": "x"})
    jobs = [work(key, f"one/out/{key}", f"log-{key}") for key in (1, 2, 3)]
    recorded = record(nested, *jobs)
    inner = git(nested / "one", "rev-list", "--max-count=3", "--reverse", "HEAD").split()
    assert [_link(nested, "one", outcome.commit) for outcome in recorded] == inner
    for key, (outcome, commit_in_one) in enumerate(zip(recorded, inner, strict=True), start=1):
        assert changed(nested / "one", commit_in_one) == [f"out/{key}"]
        assert changed(nested, outcome.commit) == [f"log-{key}", "one"]
    _assert_consistent(nested)


def test_jobs_in_different_subdatasets(nested: Path) -> None:
    write(nested, {"one/a": "1", "two/b": "2", "one/deep/c": "3"})
    first, second, third = record(nested, work(1, "one/a"), work(2, "two/b"), work(3, "one/deep/c"))
    assert [changed(nested, job.commit) for job in (first, second, third)] == [
        ["one"],
        ["two"],
        ["one"],
    ]
    _assert_consistent(nested)


def test_what_the_user_left_in_subdatasets_stays(nested: Path) -> None:
    commit(nested / "one", {"modified": "1"})
    git(nested, "commit", "-qam", "follow")
    (nested / "one/modified").unlink()
    write(nested, {"one/modified": "2", "one/staged": "3", "one/untracked": "4", "two/staged": "5"})
    git(nested / "one", "add", "staged")
    git(nested / "two", "add", "staged")
    before = {name: status(nested / name) for name in ("one", "two")}
    write(nested, {"one/out": "x"})
    record(nested, work(1, "one/out"))
    assert changed(nested / "one") == ["out"]
    assert {name: status(nested / name) for name in before} == before
    assert git(nested, "diff", "--cached", "--raw") == ""


def test_commits_of_the_user_in_a_subdataset_are_not_taken_along(nested: Path) -> None:
    """The superdataset's link moves for an output there, not for a claim alone."""
    recorded = _link(nested, "two")
    commit(nested / "two", {"of-the-user": "1"})
    write(nested, {"one/out": "x"})
    record(nested, work(1, "one/out", "two/out"))
    assert _link(nested, "two") == recorded
    assert changed(nested) == ["one"]


def test_deletion_in_a_subdataset(nested: Path) -> None:
    commit(nested / "one", {"out/a": "1", "out/b": "2"})
    git(nested, "commit", "-qam", "follow")
    (nested / "one/out/a").unlink()
    assert one(record(nested, work(1, "one/out/"))).files == ("one/out/a",)
    _assert_consistent(nested)


@pytest.mark.parametrize("how", ["deinit", "rmtree"])
def test_uninstalled_subdataset_is_left_alone(nested: Path, how: str) -> None:
    link = _link(nested, "two")
    if how == "deinit":
        git(nested, "submodule", "deinit", "-q", "--force", "two")
    else:
        shutil.rmtree(nested / "two")
    write(nested, {"out": "x"})
    assert one(record(nested, work(1, "."))).files == ("out",)
    assert _link(nested, "two") == link


def test_files_in_an_uninstalled_subdataset_are_a_problem(nested: Path) -> None:
    link = _link(nested, "two")
    git(nested, "submodule", "deinit", "-q", "--force", "two")
    write(nested, {"two/out/file": "x", "good": "y"})
    first, second = record(nested, work(1, "two/out/"), work(2, "good"))
    assert "is not installed" in first.problem
    assert changed(nested, second.commit) == ["good"]
    assert _link(nested, "two") == link
    assert (nested / "two/out/file").read_text() == "x"


def test_subdataset_with_its_git_folder_elsewhere(nested: Path) -> None:
    git(nested, "submodule", "absorbgitdirs")
    assert not (nested / "one/.git").is_dir()
    write(nested, {"one/out": "1", "one/deep/out": "2"})
    assert len(one(record(nested, work(1, "one/out", "one/deep/out"))).files) == 2
    _assert_consistent(nested)


def test_unborn_and_unregistered_is_a_problem_until_it_is_registered(nested: Path) -> None:
    git(nested, "init", "-q", "one/new")
    commit(nested / "one/new", {"out": "1"})
    (outcome,) = record(nested, work(1, "one/new/out"))
    assert "one/new is a Git repository but not a subdataset" in outcome.problem
    git(nested / "one", "-c", "advice.addEmbeddedRepo=false", "add", "new")
    git(nested / "one", "commit", "-q", "-m", "register")
    write(nested, {"one/new/more": "2"})
    assert one(record(nested, work(1, "one/new/more"))).files == ("one/new/more",)


def test_trouble_in_one_subdataset_stops_its_jobs_only(nested: Path) -> None:
    write(nested, {"one/out": "1", "two/out": "2", "one/more": "3", "two/more": "4"})
    (nested / "one/.git/refs/heads/main.lock").touch()
    first, second, third = record(
        nested, work(1, "one/out"), work(2, "two/out"), work(3, "one/more", "two/more")
    )
    assert "main.lock" in first.problem
    assert "main.lock" in third.problem
    assert changed(nested) == ["two"]
    assert second.commit == git(nested, "rev-parse", "HEAD")
    (nested / "one/.git/refs/heads/main.lock").unlink()
    record(nested, work(1, "one/out"), work(3, "one/more", "two/more"))
    assert sorted(changed(nested)) == ["one", "two"]
    _assert_consistent(nested)


def test_adjusted_branch_in_a_subdataset_stops_its_jobs_only(nested: Path) -> None:
    git(nested / "one", "annex", "adjust", "--quiet", "--unlock")
    write(nested, {"one/out": "1", "two/out": "2"})
    first, second = record(nested, work(1, "one/out"), work(2, "two/out"))
    assert "adjusted branch refs/heads/adjusted/main(unlocked)" in first.problem
    assert second.problem == ""
    assert changed(nested) == ["two"]
