"""Many at once: whatever the order, nothing is lost, nothing is doubled, nobody is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.children import start
from tests.commands.conftest import Lab
from tests.helpers import soak

pytestmark = pytest.mark.soak

SCHEDULES = {"local": soak(50, 200), "slurm": soak(16, 200)}
ROUNDS = soak(12, 200)
"""How often each of a crowd does what it does."""

LOCKED = (
    ".lock",
    "cannot lock ref",
    # git-annex could not add what DataLad then wants to commit.
    "did not match any file(s) known to git",
)
"""What Git, git-annex and DataLad say where another process is at work."""

SCRIPT = 'mkdir -p "$(dirname "$1")"; echo "$1" > "$1"'


def test_sixteen_at_once_want_one_output(lab: Lab) -> None:
    """Sixteen new processes, as from sixteen terminals."""
    lab.script("echo x > out.txt")
    command: list[Any] = [Path(sys.executable).parent / "datalad", "schedule"]
    command += ["--scheduler", lab.scheduler, "-o", "out.txt", "sbatch", "--hold", "job.sh"]
    if lab.scheduler == "local":
        command.remove("--hold")
        lab.script("sleep 5; echo x > out.txt")
    crowd = [
        subprocess.Popen(command, cwd=lab.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(16)
    ]
    assert sorted(process.wait() for process in crowd) == [0] + [1] * 15
    for process in crowd:
        assert process.stderr
        process.stderr.close()
    (job,) = lab.listed()
    if lab.scheduler == "slurm":
        subprocess.run(["scancel", job], check=True)
    lab.wait()
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok"]


def test_many_at_once_want_distinct_outputs(lab: Lab) -> None:
    lab.script(SCRIPT)
    # Hundreds of them wait for one store, on a small machine longer than the minute by default.
    lab.git("config", "datalad.hpc.store-timeout", str(soak(60, 900)))
    number = SCHEDULES[lab.scheduler]
    names = [f"out/{name}" for name in range(number)]

    def one(name: str) -> Callable[[], Any]:
        return lambda: lab.schedule(f"sbatch job.sh {name}", outputs=[name])

    crowd = [start(one(name)) for name in names]
    scheduled = [child.outcome().value for child in crowd]
    assert {res["status"] for res in scheduled} == {"ok"}, scheduled
    assert len({res["slurm_job_id"] for res in scheduled}) == number
    lab.wait()
    done = lab.finish()
    assert {res["status"] for res in done} == {"ok"}, done
    assert len(done) == number
    assert set(lab.git("ls-files", "out").split()) == set(names)
    assert lab.changes() == ""


class Crowd:
    """People who work in one dataset at once, each over and over again."""

    def __init__(self, lab: Lab, end: Path) -> None:
        self.lab = lab
        self._end = end

    def schedule_all(self, prefix: str) -> list[str]:
        """Schedule jobs one after another."""
        names = [f"{prefix}/{number}" for number in range(ROUNDS)]
        found = [
            self.lab.schedule(f"sbatch job.sh {name}", outputs=[name])["slurm_job_id"]
            for name in names
        ]
        self._end.joinpath(prefix).touch()
        return found

    def finish_all(self) -> list[str]:
        """Finish until all is scheduled and nothing is open; gives the ids that were committed."""
        done: list[str] = []
        while not (self._all_are_scheduled() and self._nothing_is_open()):
            found = self.lab.finish()
            bad = [res for res in found if res["status"] == "error"]
            assert not bad, bad
            done += [res["slurm_job_id"] for res in found if res.get("commit")]
        return done

    def _all_are_scheduled(self) -> bool:
        return len(list(self._end.iterdir())) == 2

    def _nothing_is_open(self) -> bool:
        worktree = str(self.lab.root)
        return not [job for job in self.lab.listed().values() if job["refds"] == worktree]

    def commit_all(self) -> list[str]:
        """Commit files with Git itself; gives their names."""
        names: list[str] = []
        for number in range(ROUNDS):
            names.append(self._written(f"committed/{number}"))
            add = ("add", names[-1])
            while not self.lab.git("ls-files", names[-1]):
                _tried(lambda add=add: self.lab.git(*add))
            # What the user has staged stays so, whoever works on the index.
            assert self.lab.git("ls-files", "--", *names).count("\n") == len(names)
            commit = ("commit", "-q", "-m", f"commit {names[-1]}", "--", names[-1])
            self._do_until_in_head(names[-1], lambda commit=commit: self.lab.git(*commit))
        return names

    def save_all(self) -> list[str]:
        """Save files with DataLad; gives their names."""
        names = []
        for number in range(ROUNDS // 2):
            name = self._written(f"saved/{number}")
            self._do_until_in_head(name, lambda name=name: self.lab.save(name))
            names.append(name)
        return names

    def _do_until_in_head(self, name: str, call: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not self.lab.git("ls-tree", "HEAD", name):
            assert time.monotonic() < end, name
            _tried(call)

    def _written(self, name: str) -> str:
        path = self.lab.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}\n")
        return name


def _tried(call: Callable[[], object]) -> None:
    """Git gives up at once where another one is at work; people try again."""
    from datalad.support.exceptions import CommandError, IncompleteResultsError

    try:
        call()
    except (subprocess.CalledProcessError, CommandError, IncompleteResultsError) as error:
        words = f"{getattr(error, 'stderr', '')}{error}"
        # DataLad commits all that is staged where nothing else is changed; for Git nothing is left.
        committed_by_others = isinstance(error, subprocess.CalledProcessError) and not error.stderr
        assert committed_by_others or any(known in words for known in LOCKED), words


@pytest.fixture
def other(local_lab: Lab, tmp_path: Path) -> Lab:
    """A second worktree of the same dataset, on a branch of its own."""
    local_lab.script(SCRIPT)
    local_lab.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    return Lab(Dataset(tmp_path / "other"), "local")


def test_all_at_once_in_two_worktrees(local_lab: Lab, other: Lab, tmp_path: Path) -> None:
    lab, end = local_lab, tmp_path / "end"
    end.mkdir()
    first = lab.git("rev-parse", "HEAD").strip()
    here, there = Crowd(lab, end), Crowd(other, end)
    scheduling = [
        start(lambda: here.schedule_all("here")),
        start(lambda: there.schedule_all("there")),
    ]
    finishing = [start(crowd.finish_all) for crowd in (here, here, here, here, there)]
    committing, saving = start(here.commit_all), start(here.save_all)
    scheduled = [child.outcome().value for child in scheduling]
    committed = committing.outcome().value
    saved = saving.outcome().value
    done = [child.outcome().value for child in finishing]
    assert sorted(chain(*done[:4])) == sorted(scheduled[0])
    assert sorted(done[4]) == sorted(scheduled[1])
    assert lab.listed() == {}
    for worktree, jobs in ((lab, scheduled[0]), (other, scheduled[1])):
        assert sorted(recorded(worktree, first)) == sorted(map(int, jobs))
        assert worktree.changes() == ""
        for name in worktree.git("ls-files").split():
            if name.partition("/")[0] in ("here", "there", "committed", "saved"):
                assert (worktree.root / name).read_text() == f"{name}\n"
    wanted = {f"here/{number}" for number in range(ROUNDS)}
    assert wanted | set(committed) | set(saved) <= set(lab.git("ls-files").split())
    assert lab.git("log", "--diff-filter=D", "--format=%H", f"{first}..HEAD") == ""
    lab.git("fsck", "--no-dangling", "--no-progress")
    assert lab.git("annex", "fsck", "--quiet") == ""


def recorded(lab: Lab, since: str) -> Iterator[int]:
    """Ids of the jobs in a worktree's new commits, each as often as it is there."""
    for message in lab.git("log", "-z", "--format=%B", f"{since}..HEAD").split("\0"):
        text = message.partition("=== Do not change lines below ===")[2].partition("^^^")[0]
        if text:
            yield json.loads(text)["slurm_job_id"]


def test_chains_are_sound_whoever_is_faster(local_lab: Lab) -> None:
    """Both ends of each chain are scheduled at once, while somebody finishes over and over."""
    lab, number = local_lab, soak(8, 100)
    lab.script(SCRIPT)
    lab.script('mkdir -p second; cp "$1" "second/${1#first/}"', "copy.sh")
    start_commit = lab.git("rev-parse", "HEAD").strip()

    def schedule_first() -> list[str]:
        names = [f"first/{name}" for name in range(number)]
        return [lab.schedule(f"sbatch job.sh {name}", outputs=[name])["status"] for name in names]

    def schedule_second() -> None:
        for name in range(number):
            command, options = f"sbatch copy.sh first/{name}", {"outputs": [f"second/{name}"]}
            # As long as nobody makes it there is no such input.
            while lab.schedule(command, inputs=[f"first/{name}"], **options)["status"] != "ok":
                pass

    def finish_all() -> None:
        while len(lab.git("ls-files", "second").split()) < number:
            bad = [res for res in lab.finish() if res["status"] == "error"]
            assert not bad, bad

    crowd = [start(schedule_first), start(schedule_second), start(finish_all)]
    assert crowd[0].outcome().value == ["ok"] * number
    for child in crowd[1:]:
        child.outcome()
    for name in range(number):
        assert (lab.root / f"second/{name}").read_text() == f"first/{name}\n"
    names = lab.git("log", "--reverse", "--format=", "--name-only", f"{start_commit}..").split()
    for name in range(number):
        assert names.index(f"first/{name}") < names.index(f"second/{name}")
    assert lab.listed() == {}
    assert lab.changes() == ""
