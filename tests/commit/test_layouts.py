"""A branch for each job, and all of them merged at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.commit.preparing import make_writable
from datalad_hpc.commit.recording import Layout
from tests.commit.helpers import (
    assert_sound,
    changed,
    commit,
    git,
    history,
    mode,
    one,
    record,
    status,
    work,
    write,
)

CHANGED = ("locked", "unlocked", "in-git", "f", "new/file")
BRANCHES, OCTOPUS = Layout.BRANCHES, Layout.OCTOPUS


def _head(top: Path) -> str:
    return git(top, "rev-parse", "HEAD")


def _index(top: Path) -> str:
    return git(top, "ls-files", "--stage")


def _files(top: Path) -> dict[str, str]:
    return {
        path.relative_to(top).as_posix(): path.read_text()
        for path in top.rglob("*")
        if ".git" not in path.parts and path.is_file()
    }


@pytest.fixture
def old(root: Path) -> Path:
    """A dataset with outputs of before: locked, unlocked and in Git."""
    in_git = {
        "out/.gitattributes": "in-git annex.largefiles=nothing\n",
        "out/in-git": "kept in Git",
    }
    commit(root, {"out/locked": "1", "out/unlocked": "2", "out/deleted": "3", "out/f/g": "4"})
    commit(root, in_git)
    git(root, "annex", "unlock", "--quiet", "out/unlocked")
    git(root, "commit", "-q", "-m", "old")
    assert mode(root, "out/in-git") == mode(root, "out/unlocked") == "100644"
    assert status(root) == ""
    assert mode(root, "out/in-git") == mode(root, "out/unlocked") == "100644"
    return root


def _job(top: Path) -> None:
    """Change, delete and make everything that a job can."""
    make_writable(top, [claim_for("out/")])
    for name in ("deleted", "f/g"):
        (top / "out" / name).unlink()
    (top / "out/f").rmdir()
    # Sizes differ: git-annex takes files of one size, inode and second for the same.
    write(top / "out", {name: f"changed {name}" for name in CHANGED})


def test_branches_leave_the_checkout_as_it_was(old: Path) -> None:
    write(old, {"user": "staged"})
    git(old, "add", "user")
    before = _head(old), _index(old), _files(old), status(old)
    _job(old)
    write(old, {"log": "second job"})
    first, second = record(old, work(1, "out/"), work(2, "log"), layout=BRANCHES)
    assert (_head(old), _index(old), _files(old), status(old)) == before
    assert not (old / "out/new").exists()
    for outcome, branch in ((first, "job-101"), (second, "job-102")):
        assert git(old, "rev-parse", branch, f"{branch}~").split() == [outcome.commit, before[0]]
        assert changed(old, branch) == list(outcome.files)
    assert mode(old, "out/locked", "job-101") == "120000"


def test_branches_can_be_merged(old: Path) -> None:
    _job(old)
    write(old, {"log": "second job"})
    record(old, work(1, "out/"), work(2, "log"), layout=BRANCHES)
    for branch in ("job-101", "job-102"):
        git(old, "merge", "-q", "-m", "merged", branch)
    for name in CHANGED:
        assert (old / "out" / name).read_text() == f"changed {name}"
    assert not (old / "out/deleted").exists()
    assert (old / "log").read_text() == "second job"
    assert_sound(old)


def test_branches_where_a_file_became_a_folder(old: Path) -> None:
    before = _files(old)
    make_writable(old, [claim_for("out/")])
    (old / "out/locked").unlink()
    write(old, {"out/locked/a/b": "x"})
    record(old, work(1, "out/"), layout=BRANCHES)
    assert _files(old) == before
    assert_sound(old)


@pytest.mark.parametrize("key", [1, 2])
def test_taken_branch_stops_its_job_only(root: Path, key: int) -> None:
    git(root, "branch", f"job-10{key}")
    write(root, {"out/1": "1", "out/2": "2"})
    recorded = record(root, work(1, "out/1"), work(2, "out/2"), layout=BRANCHES)
    assert f"the branch job-10{key} exists already" in recorded[key - 1].problem
    assert recorded[2 - key].commit == git(root, "rev-parse", f"job-10{3 - key}")
    assert _head(root) == git(root, "rev-parse", f"job-10{key}")
    assert status(root) == f"?? out/{key}\0"


def test_branches_on_an_unborn_branch(plain: Path) -> None:
    write(plain, {"out": "x"})
    outcome = one(record(plain, work(1, "out"), layout=BRANCHES))
    assert git(plain, "rev-list", "job-101") == outcome.commit
    assert not (plain / "out").exists()
    assert status(plain) == ""


def test_branches_with_subdatasets(nested: Path) -> None:
    heads = {name: _head(nested / name) for name in ("", "one", "one/deep")}
    for key in (1, 2):
        write(nested, {f"one/deep/out/{key}": f"{key}", f"log-{key}": "x"})
    recorded = record(
        nested, *(work(key, f"one/deep/out/{key}", f"log-{key}") for key in (1, 2)), layout=BRANCHES
    )
    assert {name: _head(nested / name) for name in heads} == heads
    assert status(nested) == status(nested / "one") == status(nested / "one/deep") == ""
    for outcome, branch in zip(recorded, ("job-101", "job-102"), strict=True):
        assert git(nested, "rev-parse", branch) == outcome.commit
        link = git(nested, "rev-parse", f"{branch}:one")
        assert git(nested / "one", "rev-parse", branch) == link
        assert git(nested / "one", "rev-parse", f"{branch}:deep") == git(
            nested / "one/deep", "rev-parse", branch
        )
        assert git(nested / "one/deep", "rev-parse", f"{branch}~") == heads["one/deep"]


def test_taken_branch_in_a_subdataset(nested: Path) -> None:
    git(nested / "one", "branch", "job-101")
    git(nested / "two", "branch", "job-101")
    taken = _head(nested / "one")
    write(nested, {"one/out": "1", "good": "2"})
    first, second = record(nested, work(1, "one/out"), work(2, "good"), layout=BRANCHES)
    assert "the branch job-101 exists already" in first.problem
    assert str(nested / "one") in first.problem
    assert second.problem == ""
    assert git(nested / "one", "rev-parse", "job-101") == taken
    assert (nested / "one/out").exists()
    # In a subdataset that the job has nothing in, its name may well be taken.
    git(nested / "one", "branch", "-D", "job-101")
    one(record(nested, work(1, "one/out"), layout=BRANCHES))


def test_octopus_merges_all_jobs_in_one_commit(old: Path) -> None:
    tip = _head(old)
    _job(old)
    write(old, {"log": "second job", "third": "third job"})
    recorded = record(old, work(1, "out/"), work(2, "log"), work(3, "third"), layout=OCTOPUS)
    parents = git(old, "log", "-1", "--format=%P").split()
    assert parents == [tip, *(outcome.commit for outcome in recorded)]
    for outcome in recorded:
        assert git(old, "log", "-1", "--format=%P", outcome.commit) == tip
        assert changed(old, outcome.commit) == list(outcome.files)
    assert history(old)[0] == "Merge the results of jobs 101, 102, 103"
    assert changed(old) == sorted(path for outcome in recorded for path in outcome.files)
    assert_sound(old)


@pytest.mark.parametrize("keys", [(1,), (1, 2)])
def test_octopus_on_an_unborn_branch(plain: Path, keys: tuple[int, ...]) -> None:
    for key in keys:
        write(plain, {f"out/{key}": f"{key}"})
    recorded = record(plain, *(work(key, f"out/{key}") for key in keys), layout=OCTOPUS)
    parents = git(plain, "log", "-1", "--format=%P").split()
    assert parents == [outcome.commit for outcome in recorded]
    assert status(plain) == ""


def test_octopus_with_subdatasets(nested: Path) -> None:
    for key in (1, 2):
        write(nested, {f"one/deep/out/{key}": f"{key}", f"log-{key}": "x"})
    write(nested, {"two/out": "only the first"})
    first, second = record(
        nested,
        work(1, "one/deep/out/1", "log-1", "two/out"),
        work(2, "one/deep/out/2", "log-2"),
        layout=OCTOPUS,
    )
    for name in ("", "one", "one/deep", "two"):
        assert status(nested / name) == ""
    assert git(nested, "rev-parse", "HEAD:one") == _head(nested / "one")
    assert git(nested, "rev-parse", f"{first.commit}:two") != _head(nested / "two")
    assert git(nested, "rev-parse", "HEAD:two") == _head(nested / "two")
    assert changed(nested, second.commit) == ["log-2", "one"]
    deep = git(nested / "one/deep", "log", "-1", "--format=%P").split()
    links = [
        git(nested / "one", "rev-parse", git(nested, "rev-parse", f"{job.commit}:one") + ":deep")
        for job in (first, second)
    ]
    assert deep[1:] == links


def test_octopus_with_many_arms(plain: Path) -> None:
    commit(plain, {"before": "1"})
    jobs = [work(key, f"out/{key}") for key in range(100)]
    write(plain, {f"out/{key}": f"{key}" for key in range(100)})
    record(plain, *jobs, layout=OCTOPUS)
    assert len(git(plain, "log", "-1", "--format=%P").split()) == 101
    assert status(plain) == ""
