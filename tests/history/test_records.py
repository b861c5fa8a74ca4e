"""Records in real histories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import BadRequest
from datalad_hpc.history.records import records
from datalad_hpc.record import MARKER


class History:
    """A repository that commits are put into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet")

    def git(self, *arguments: str, stdin: str = "") -> str:
        argv = ["git", *arguments]
        ended = subprocess.run(
            argv, cwd=self.path, input=stdin.encode(), check=True, stdout=subprocess.PIPE
        )
        return ended.stdout.decode().strip()

    def commit(self, message: str, *more: str) -> str:
        self.git("commit", "--allow-empty", "--cleanup=verbatim", "-F", "-", *more, stdin=message)
        return self.git("rev-parse", "HEAD")

    def job(self, name: str, message: str = "") -> str:
        fields = {"cmd": f"sbatch {name}", "outputs": [name]}
        text = f"{MARKER} Slurm job 1: Completed\n\n{message}=== Do not change lines below ===\n"
        return self.commit(f"{text}{json.dumps(fields)}\n^^^ Do not change lines above ^^^\n")

    def found(self, revision: str | None = None, since: str | None = None) -> list[str]:
        return [
            commit.record.request.command if commit.record else f"broken: {commit.problem}"
            for commit in records(Repository.find(self.path), revision, since)
        ]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "repository")


def test_a_commit_is_taken_alone(history: History) -> None:
    first = history.job("a")
    second = history.job("b")
    third = history.commit("no record")
    assert history.found() == []
    assert history.found("HEAD^") == ["sbatch b"]
    assert history.found(first) == ["sbatch a"]
    assert history.found(second[:10]) == ["sbatch b"]
    (found,) = records(Repository.find(history.path), first, None)
    assert found.commit == first
    assert third


def test_a_range_comes_oldest_first(history: History) -> None:
    first = history.job("a")
    history.commit("between")
    history.job("b")
    history.job("c")
    assert history.found(since=first) == ["sbatch b", "sbatch c"]
    assert history.found(since="") == ["sbatch a", "sbatch b", "sbatch c"]
    assert history.found("HEAD^", "") == ["sbatch a", "sbatch b"]
    assert history.found("HEAD^", "HEAD^") == []


def test_jobs_of_merged_branches_come_before_the_merge(history: History) -> None:
    start = history.commit("start")
    for name in "ab":
        history.git("checkout", "--quiet", "-B", f"job-{name}", start)
        history.job(name)
    history.git("checkout", "--quiet", "-B", "both", start)
    history.git("merge", "--quiet", "--no-ff", "-m", "octopus", "job-a", "job-b")
    history.job("c")
    found = history.found(since="")
    assert sorted(found) == ["sbatch a", "sbatch b", "sbatch c"]
    assert found[-1] == "sbatch c"
    assert history.found("HEAD^") == []


def test_a_broken_record_is_told_and_stops_no_other(history: History) -> None:
    history.job("a")
    history.commit(f"{MARKER} Slurm job 1: Completed\n")
    history.job("b")
    found = history.found(since="")
    assert (found[0], found[2]) == ("sbatch a", "sbatch b")
    assert found[1].startswith("broken: the lines between the markers")


@pytest.mark.parametrize("revision", ["gone", "", "a..b", "--all", "HEAD HEAD", "a\nb", ":/x"])
def test_a_revision_that_is_none_is_refused(history: History, revision: str) -> None:
    history.job("a")
    if revision:
        with pytest.raises(BadRequest, match="there is no commit"):
            history.found(revision)
        with pytest.raises(BadRequest, match="there is no commit"):
            history.found(None, revision)
    else:
        assert history.found(revision) == ["sbatch a"]


def test_a_dataset_without_commits_has_none(history: History) -> None:
    with pytest.raises(BadRequest, match="there is no commit 'HEAD'"):
        history.found(since="")


def test_a_tag_stands_for_its_commit(history: History) -> None:
    history.job("a")
    history.git("tag", "-a", "-m", "first", "v1")
    history.job("b")
    assert history.found("v1") == ["sbatch a"]
    assert history.found(since="v1") == ["sbatch b"]


def test_settings_of_the_log_do_not_matter(history: History) -> None:
    """A signature's verdict would stand before the marker."""
    settings = {
        "log.showSignature": "true",
        "log.decorate": "full",
        "log.showRoot": "true",
        "color.ui": "always",
        "format.pretty": "oneline",
        "i18n.logOutputEncoding": "UTF-16",
    }
    history.job("a", "Schöne Grüße\n\n")
    for name, value in settings.items():
        history.git("config", name, value)
    (found,) = records(Repository.find(history.path), None, "")
    assert found.record
    assert found.record.messages == "Schöne Grüße"
