"""Killed at any moment: the same call completes the work, and nothing is left behind.

A child process counts what it changes on disk, and kills itself before the N-th
of these steps, for every N that there is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc import process
from datalad_hpc.commit.gathering import Work
from datalad_hpc.commit.recording import Layout, Recorder
from tests.commit.helpers import (
    Planned,
    assert_sound,
    changed,
    commit,
    git,
    history,
    leftovers,
    one,
    record,
    status,
    work,
    write,
)

READING = {
    "config",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "merge-base",
    "rev-parse",
    "symbolic-ref",
    "var",
}
"""Git's commands that change nothing: to be killed before one is like after the step before."""


def _killed_at(step: int, call: Callable[[], object]) -> bool:
    """Whether a child process that does ``call`` was killed before its step of this number."""
    child = os.fork()
    if child == 0:
        _kill_at(step)
        code = 1
        try:
            call()
            code = 0
        finally:
            os._exit(code)
    _, ended = os.waitpid(child, 0)
    assert ended in (0, signal.SIGKILL)
    return ended != 0


def _kill_at(step: int) -> None:
    """From now on count, and kill this process before the step."""
    steps = iter(range(1, 100_000))

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(what: Any, *arguments: Any, **options: Any) -> Any:
            if READING.isdisjoint(what if isinstance(what, tuple) else ()) and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(what, *arguments, **options)

        return call

    for module, names in ((process, ("run",)), (os, ("replace", "symlink", "unlink", "mkdir"))):
        for name in names:
            setattr(module, name, counted(getattr(module, name)))


class Rounds:
    """What ``finish`` remembers from one round to the next, in a file as the store does."""

    def __init__(self, root: Path, layout: Layout, works: list[Work]) -> None:
        self.root, self.layout, self.works = root, layout, works
        self._file = root.parent / "planned.json"

    def finish(self) -> None:
        """Complete what was committed before an interruption, and record the rest."""
        recorder = Recorder(self.root, self.layout)
        planned = json.loads(self._file.read_text()) if self._file.exists() else {}
        plans = {key: (ref, commit) for key, (ref, commit) in planned.items()}
        made = recorder.held(plans.values())
        held = [job for job in self.works if plans.get(str(job.key)) in made]
        for job in held:
            recorder.catch_up([job])
        rest = [job for job in self.works if job not in held]
        if rest:
            outcomes = Recorder(self.root, self.layout).record(rest, self._plan)
            assert [outcome.problem for outcome in outcomes] == [""] * len(rest)

    def _plan(self, planned: Planned) -> None:
        plan = {key: (ref, commit) for key, (commit, ref) in planned.items()}
        self._file.with_suffix(".new").write_text(json.dumps(plan))
        self._file.with_suffix(".new").rename(self._file)


@pytest.fixture(scope="session")
def family_template(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in a repository, without annexes: everything is quick."""
    folder = tmp_path_factory.mktemp("family")
    top, sub = folder / "top", folder / "top/sub"
    for repository in (top, sub):
        repository.mkdir()
        git(repository, "init", "-q")
        commit(repository, {"out/old": "1", "out/deleted": "2"})
    git(top, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git(top, "config", "-f", ".gitmodules", "submodule.sub.path", "sub")
    git(top, "config", "-f", ".gitmodules", "submodule.sub.url", "./sub")
    git(top, "add", ".gitmodules")
    git(top, "commit", "-q", "-m", "sub")
    for repository in (top, sub):
        (repository / "out/deleted").unlink()
        write(repository, {"out/old": "changed", "out/new": "3", "log": "4"})
    return folder


@pytest.fixture
def family(family_template: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a fresh copy of the two repositories."""
    copies = iter(range(1000))
    return lambda: shutil.copytree(family_template, tmp_path / f"copy-{next(copies)}") / "top"


JOBS = [work(1, "out/", "sub/out/"), work(2, "sub/log", "log")]


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.OCTOPUS])
def test_killed_anywhere(family: Callable[[], Path], layout: Layout) -> None:
    for top in _interrupted(family, layout):
        for repository in (top, top / "sub"):
            assert status(repository) == ""
            subjects = history(repository)
            assert (subjects.count("job 101"), subjects.count("job 102")) == (1, 1)
            listed = git(repository, "ls-tree", "-r", "--name-only", "HEAD", "out", "log")
            assert listed.split("\n") == ["log", "out/new", "out/old"]
            assert git(repository, "show", "HEAD:out/old") == "changed"
        assert git(top, "rev-parse", "HEAD:sub") == git(top / "sub", "rev-parse", "HEAD")


def test_killed_anywhere_with_branches(family: Callable[[], Path]) -> None:
    for top in _interrupted(family, Layout.BRANCHES):
        for repository in (top, top / "sub"):
            assert status(repository) == ""
            assert "job 101" not in history(repository)
            assert history(repository, "job-101")[0] == "job 101"
            assert [name for name in changed(repository, "job-101") if name != "sub"] == [
                "out/deleted",
                "out/new",
                "out/old",
            ]
            assert [name for name in changed(repository, "job-102") if name != "sub"] == ["log"]
        for branch in ("job-101", "job-102"):
            link = git(top, "rev-parse", f"{branch}:sub")
            assert git(top / "sub", "rev-parse", branch) == link


def _interrupted(family: Callable[[], Path], layout: Layout) -> Iterator[Path]:
    """Copies in which ``finish`` was killed at one step each, and was then run again."""
    step, killed = 0, True
    while killed:
        step += 1
        top = family()
        rounds = Rounds(top, layout, JOBS)
        killed = _killed_at(step, rounds.finish)
        rounds.finish()
        assert leftovers(top) == [], step
        yield top
        shutil.rmtree(top.parent)
    assert step > 20


@pytest.mark.parametrize("layout", list(Layout))
def test_stopped_before_the_move(root: Path, layout: Layout) -> None:
    before = git(root, "rev-parse", "HEAD")
    write(root, {"out": "x"})

    def stop(_planned: Planned) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(root, work(1, "out"), layout=layout, before_move=stop)
    assert leftovers(root) == []
    assert git(root, "rev-parse", "HEAD") == before
    assert status(root) == "?? out\0"
    one(record(root, work(1, "out"), layout=layout))
    assert status(root) == ""


@pytest.mark.parametrize("layout", [Layout.LINEAR, Layout.BRANCHES])
def test_annexed_outputs_after_a_kill(root: Path, layout: Layout) -> None:
    """At the step that makes it hardest: moved, and neither index nor work tree have followed."""
    commit(root, {"out/old": "1", "out/deleted": "22"})
    for name in ("old", "deleted"):
        (root / "out" / name).unlink()
    write(root, {"out/old": "changed", "out/new": "333"})
    rounds = Rounds(root, layout, [work(1, "out/")])
    moved = "main" if layout is Layout.LINEAR else "job-101"
    step = _first_step_after(root, moved, rounds)
    assert step
    rounds.finish()
    assert history(root, moved).count("job 101") == 1
    assert changed(root, moved) == ["out/deleted", "out/new", "out/old"]
    assert leftovers(root) == []
    assert_sound(root)


def _first_step_after(root: Path, ref: str, rounds: Rounds) -> int:
    """Kill later and later, until the ref has been moved."""
    for step in range(5, 40):
        _killed_at(step, rounds.finish)
        if process.run(["git", "log", "-1", "--format=%s", ref], folder=root).text == "job 101\n":
            return step
    return 0


def test_new_file_beside_branch_outputs_is_not_removed_afterwards(root: Path) -> None:
    """What was not committed must not be withdrawn, whatever happened since the kill."""
    write(root, {"out/a": "1", "out/b": "22"})
    recorded = record(root, work(1, "out/"), layout=Layout.BRANCHES)
    assert not (root / "out").exists()
    write(root, {"out/a": "1", "out/b": "changed since", "out/c": "new since"})
    recorder = Recorder(root, Layout.BRANCHES)
    assert recorder.held([("refs/heads/job-101", recorded[0].commit)])
    recorder.catch_up([work(1, "out/")])
    assert status(root) == "?? out/b\0?? out/c\0"
    assert leftovers(root) == []


def test_catching_up_leaves_what_the_user_staged(root: Path) -> None:
    write(root, {"out/a": "1", "mine": "2"})
    index = (root / ".git/index").read_bytes()
    outcome = one(record(root, work(1, "out/")))
    (root / ".git/index").write_bytes(index)
    git(root, "add", "mine")
    assert "D  out/a" in status(root)
    recorder = Recorder(root)
    assert recorder.held([("refs/heads/main", outcome.commit)])
    recorder.catch_up([work(1, "out/")])
    assert status(root) == "A  mine\0"


def test_what_is_held(root: Path) -> None:
    write(root, {"out": "1", "other": "2"})
    recorder = Recorder(root)
    first, outcome = (commit.commit for commit in record(root, work(1, "out"), work(2, "other")))
    asked = [
        *(("refs/heads/main", commit) for commit in (first, outcome, "0" * 40)),
        *(("HEAD", commit) for commit in (first, outcome)),
        ("refs/heads/none", outcome),
    ]
    assert recorder.held(asked) == {
        *(("refs/heads/main", commit) for commit in (first, outcome)),
        *(("HEAD", commit) for commit in (first, outcome)),
    }
    git(root, "reset", "-q", "--hard", "HEAD~")
    assert recorder.held(asked) == {("refs/heads/main", first), ("HEAD", first)}
    git(root, "branch", "other", outcome)
    assert recorder.held([("refs/heads/other", first)]) == {("refs/heads/other", first)}
    assert recorder.held([]) == set()
