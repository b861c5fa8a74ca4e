"""Several git-annex processes that share the files of many jobs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from datalad_hpc.commit.annexing import BYTES_EACH, FILES_EACH, processes_for
from datalad_hpc.commit.recording import Recorded, Recorder
from datalad_hpc.errors import CommitFailed
from tests.commit.helpers import assert_sound, changed, commit, content, git, status, work, write

NUMBER = 3 * FILES_EACH
COUNTING = """\
#!/bin/sh
echo "$$" >> {log}
{before}
exec {annex} "$@"
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gets a line for each git-annex process from now on."""
    return _wrap_annex(tmp_path, monkeypatch, "")


def _wrap_annex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> Path:
    log, folder = tmp_path / "started", tmp_path / "bin"
    folder.mkdir()
    annex = shutil.which("git-annex")
    (folder / "git-annex").write_text(COUNTING.format(log=log, annex=annex, before=before))
    (folder / "git-annex").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def _recorded(root: Path, *outputs: str, jobs: int = 3) -> list[Recorded]:
    works = [work(key, output) for key, output in enumerate(outputs, start=1)]
    return Recorder(root, jobs=jobs).record(works, lambda _planned: None)


def _files(number: int = NUMBER) -> Mapping[str, str | bytes]:
    return {
        f"out/{position % 3}/{position}.{'txt' if position % 2 else 'dat'}": (
            f"text {position}\n" if position % 2 else bytes([0, 1, 2, position % 256]) * 9
        )
        for position in range(number)
    }


def test_all_share_the_files_and_nothing_is_lost(text_root: Path, started: Path) -> None:
    files = _files()
    write(text_root, files)
    outcomes = _recorded(text_root, "out/0/", "out/1/", "out/2/")
    assert len(started.read_text().splitlines()) == 3
    assert sorted(name for outcome in outcomes for name in outcome.files) == sorted(files)
    assert changed(text_root) == sorted(name for name in files if name.startswith("out/2/"))
    for name, written in files.items():
        is_text = isinstance(written, str)
        assert (text_root / name).is_symlink() is not is_text
        assert content(text_root, name).startswith("text" if is_text else "../../.git/annex/")
    assert_sound(text_root)


def test_one_at_a_time_where_git_annex_has_no_better_lock(text_root: Path, started: Path) -> None:
    git(text_root, "config", "annex.pidlock", "true")
    write(text_root, _files())
    (outcome,) = _recorded(text_root, "out/")
    assert len(outcome.files) == NUMBER
    assert len(started.read_text().splitlines()) == 1


def test_the_same_content_in_all_files(root: Path) -> None:
    write(root, {f"out/{position}": "the same" for position in range(NUMBER)})
    _recorded(root, "out/")
    assert_sound(root)


def test_files_are_kept_locked_or_not_as_they_were(root: Path) -> None:
    names = [f"out/{position}" for position in range(2 * NUMBER)]
    commit(root, {name: f"first {name}" for name in names})
    unlocked = names[::2]
    git(root, "annex", "unlock", "-q", *unlocked)
    git(root, "commit", "-q", "-m", "unlocked", "-a")
    git(root, "annex", "unlock", "-q", *names)
    write(root, {name: f"second {name}" for name in names})
    (root / names[-1]).unlink()
    _recorded(root, "out/")
    assert changed(root) == sorted(names)
    pointers = [name for name in names[:-1] if not content(root, name).startswith("../")]
    assert pointers == unlocked
    assert status(root) == ""


def test_what_the_user_has_staged_stays_staged(root: Path) -> None:
    commit(root, {"mine": "1", "out/7": "old"})
    git(root, "annex", "unlock", "-q", "mine")
    write(root, {"mine": "2", "also mine": "3"})
    git(root, "annex", "add", "-q", "mine", "also mine")
    staged = git(root, "diff", "--cached", "--name-status", "--", "mine", "also mine")
    git(root, "annex", "unlock", "-q", "out/7")
    write(root, {f"out/{position}": str(position) for position in range(NUMBER)})
    (outcome,) = _recorded(root, "out/")
    assert len(outcome.files) == NUMBER
    assert git(root, "diff", "--cached", "--name-status") == staged
    assert staged


def test_one_that_dies_stops_all_and_loses_nothing(
    text_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die = f"mkdir {tmp_path}/first || {{ echo no room left >&2; exit 3; }}"
    files = _files()
    write(text_root, files)
    before = git(text_root, "rev-parse", "HEAD")
    with monkeypatch.context() as patch:
        _wrap_annex(tmp_path, patch, die)
        with pytest.raises(CommitFailed, match="no room left"):
            _recorded(text_root, "out/")
    assert git(text_root, "rev-parse", "HEAD") == before
    assert git(text_root, "diff", "--cached", "--name-only") == ""
    (outcome,) = _recorded(text_root, "out/")
    assert sorted(outcome.files) == sorted(files)
    assert_sound(text_root)


def test_each_file_is_told_of_once(text_root: Path) -> None:
    write(text_root, _files())
    told: list[None] = []
    recorder = Recorder(text_root, jobs=3, hashed=lambda: told.append(None))
    recorder.record([work(1, "out/")], lambda _planned: None)
    assert len(told) == NUMBER


@pytest.mark.parametrize(
    ("files", "size", "jobs", "number"),
    [
        (0, 0, None, 1),
        (1, 0, None, 1),
        (1, 100 * BYTES_EACH, 8, 1),
        (4, 2 * BYTES_EACH, 8, 2),
        (FILES_EACH, 0, 8, 1),
        (3 * FILES_EACH, 0, 8, 3),
        (100 * FILES_EACH, 0, 8, 8),
        (100 * FILES_EACH, 0, 1, 1),
    ],
)
def test_another_process_has_to_be_worth_it(
    files: int, size: int, jobs: int | None, number: int
) -> None:
    assert processes_for(files, size, jobs) == number


def test_not_all_processors_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: range(128))
    assert processes_for(10**6, 0, None) == 4
