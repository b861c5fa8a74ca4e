"""What recording costs: programs that are started, and what they are asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from datalad_hpc.commit.hooks import hooks_passed_over
from datalad_hpc.commit.recording import Layout, Recorder
from datalad_hpc.commit.upkeep import let_git_clean_up
from tests.commit.helpers import changed, commit, git, record, status, work, write

WRAPPER = """\
#!/bin/sh
printf '%s\\0' "$@" END >> {log}
exec {git} "$@"
"""

WHOLE = ({"status"}, {"commit"}, {"diff-files"}, {"diff"}, {"add", "-A"}, {"read-tree"}, {"gc"})
"""Words that together make a command which looks at the whole work tree, or at all objects."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gets a line for each Git process from now on: its arguments."""
    log, folder = tmp_path / "asked", tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("git")
    (folder / "git").write_text(WRAPPER.format(log=log, git=real))
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def _commands(asked: Path) -> list[list[str]]:
    """What was asked since the last call."""
    text = asked.read_text() if asked.exists() else ""
    asked.unlink(missing_ok=True)
    return [command.split("\0") for command in text.split("\0END\0")[:-1]]


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("text_root", Layout.LINEAR),
        ("nested", Layout.LINEAR),
        ("text_root", Layout.OCTOPUS),
        ("text_root", Layout.BRANCHES),
    ],
)
def test_as_many_programs_for_twenty_jobs_as_for_one(
    kind: str, layout: Layout, asked: Path, request: pytest.FixtureRequest
) -> None:
    top: Path = request.getfixturevalue(kind)
    where = "one/" if kind == "nested" else ""
    commit(top / where, {"old": "1"})
    counts = []
    for batch in (range(1), range(1, 21)):
        for key in batch:
            write(top, {f"{where}out/{key}": f"{key}", f"{where}bin/{key}": bytes([key])})
        works = [work(key, f"{where}out/{key}", f"{where}bin/{key}") for key in batch]
        _commands(asked)
        Recorder(top, layout).record(works, lambda _planned: None)
        commands = _commands(asked)
        counts.append(len(commands))
        for words in map(set, commands):
            assert not any(whole <= words for whole in WHOLE), words
    assert 5 < counts[0] < 60
    assert counts[0] == counts[1]
    assert status(top) == ""


@pytest.mark.parametrize("kind", ["root", "nested"])
def test_settings_are_asked_for_once(
    kind: str, asked: Path, request: pytest.FixtureRequest
) -> None:
    """Signing, hooks and clean-up cost one question in each repository with outputs."""
    top: Path = request.getfixturevalue(kind)
    outputs = ["out/a", "one/out/a"] if kind == "nested" else ["out/a"]
    write(top, dict.fromkeys(outputs, "x"))
    recorder = Recorder(top)
    recorder.record([work(1, *outputs)], lambda _planned: None)
    for repository in recorder.written.values():
        assert hooks_passed_over(repository) == ()
        let_git_clean_up(repository)
    commands = [set(command) for command in _commands(asked)]
    assert sum({"config", "--get-regexp", "--null"} <= words for words in commands) == len(outputs)
    assert sum("var" in words for words in commands) == 2 * len(outputs)
    assert not any("maintenance" in words for words in commands), "maintenance.auto is false here"


def test_the_rest_of_the_work_tree_is_not_looked_at(plain: Path) -> None:
    """Whoever looks writes down the times of what he has seen."""
    commit(plain, {f"folder/{number}": "x" for number in range(10)})
    for path in (plain / "folder").iterdir():
        os.utime(path, ns=(0, 0))
    seen = git(plain, "ls-files", "--debug", "folder")
    write(plain, {"out": "x"})
    record(plain, work(1, "out"))
    assert git(plain, "ls-files", "--debug", "folder") == seen
    status(plain)
    assert git(plain, "ls-files", "--debug", "folder") != seen


def test_five_hundred_small_files(text_root: Path) -> None:
    files = {f"out/{number % 7}/{number}.txt": f"{number}\n" for number in range(500)}
    write(text_root, files)
    jobs = [work(key, f"out/{key}/") for key in range(7)]
    recorded = record(text_root, *jobs)
    assert sum(len(outcome.files) for outcome in recorded) == 500
    assert changed(text_root) == sorted(name for name in files if name.startswith("out/6/"))
    assert status(text_root) == ""
