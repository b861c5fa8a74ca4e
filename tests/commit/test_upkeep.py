"""Git looks after itself: many finishes do not leave many packs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from datalad_hpc.commit.recording import Recorder
from datalad_hpc.commit.repository import Repository
from datalad_hpc.commit.upkeep import let_git_clean_up
from tests.commit.helpers import commit, git, history, nothing, status, work, write
from tests.helpers import wait_for

TIDY = (
    "gc.auto=1", "gc.autoPackLimit=3", "fastimport.unpackLimit=1", "maintenance.auto=true",
    "gc.autoDetach=false",
)  # fmt: skip


def configure(top: Path, settings: Sequence[str]) -> None:
    for setting in settings:
        git(top, "config", *setting.split("=", 1))


def packs(top: Path) -> int:
    return len(list((top / ".git/objects/pack").glob("*.pack")))


def finish(top: Path, keys: range) -> None:
    """What ``datalad finish`` does of it, once for each job."""
    for key in keys:
        write(top, {f"out/{key}": f"{key}"})
        recorder = Recorder(top)
        recorder.record([work(key, f"out/{key}")], nothing)
        for repository in recorder.written.values():
            let_git_clean_up(repository)


@pytest.mark.parametrize("kind", ["plain", "root"])
def test_many_finishes_leave_few_packs(kind: str, request: pytest.FixtureRequest) -> None:
    top: Path = request.getfixturevalue(kind)
    commit(top, {"old": "1"})
    configure(top, TIDY)
    finish(top, range(1, 13))
    assert 1 <= packs(top) <= 4
    assert len([subject for subject in history(top) if subject.startswith("job")]) == 12
    git(top, "fsck", "--strict")
    assert status(top) == ""


@pytest.mark.parametrize("setting", ["gc.auto=0", "maintenance.auto=false"])
def test_who_does_not_want_it_is_left_alone(setting: str, plain: Path) -> None:
    commit(plain, {"old": "1"})
    configure(plain, (*TIDY, setting))
    before = packs(plain)
    finish(plain, range(1, 9))
    assert packs(plain) == before + 8


def test_it_goes_to_the_background(plain: Path) -> None:
    commit(plain, {"old": "1"})
    configure(plain, (*TIDY, "gc.autoDetach=true"))
    finish(plain, range(1, 6))
    wait_for(lambda: packs(plain) <= 4 and not _is_at_work(plain))
    git(plain, "fsck", "--strict")


def _is_at_work(top: Path) -> bool:
    return (top / ".git/gc.pid").exists() or (top / ".git/objects/maintenance.lock").exists()


def test_only_repositories_with_new_commits(nested: Path) -> None:
    write(nested, {"one/out": "x"})
    recorder = Recorder(nested)
    recorder.record([work(1, "one/out")], nothing)
    assert list(recorder.written) == [nested / "one", nested]
    unchanged = Recorder(nested)
    (outcome,) = unchanged.record([work(2, "nowhere")], nothing)
    assert outcome.commit
    assert list(unchanged.written) == [nested]


def test_complaints_of_git_are_passed_on(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit(plain, {"old": "1"})
    configure(plain, TIDY)
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/git"
    fake.write_text("#!/bin/sh\necho too many unreachable loose objects >&2\n")
    fake.chmod(0o755)
    repository = Repository.find(plain)
    assert repository.settings.is_on("maintenance.auto", default=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    let_git_clean_up(repository)
    assert "too many unreachable" in caplog.text
    assert str(plain) in caplog.text
