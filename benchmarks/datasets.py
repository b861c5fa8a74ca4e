"""Datasets of any size in no time: ``git fast-import`` where ``datalad save`` would take hours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.toolbox import Toolbox

SCRIPT = "job.sh"
"""The batch script in every dataset: what a job computes is no part of any figure."""

FOLDER_SIZE = 1000
"""Files in each folder of many."""

PLAIN_CHECKOUT = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "filter.annex.process=",
    "-c", "filter.annex.smudge=",
    "-c", "filter.annex.clean=",
    "-c", "filter.annex.required=false",
)  # fmt: skip
"""git-annex need not look at files of which none is annexed."""

MESSAGE = """\
[DATALAD SLURM RUN] Slurm job {number}: Completed

Step {number} of the simulation

=== Do not change lines below ===
{{
 "chain": [],
 "cmd": "sbatch job.sh {number}",
 "commit_id": "",
 "dsid": "{dataset_id}",
 "extra_inputs": [],
 "inputs": [],
 "outputs": [
  "past/state.txt"
 ],
 "pwd": ".",
 "slurm_job_id": {number},
 "slurm_outputs": [
  "past/slurm-{number}.out",
  "past/slurm-job-{number}.env.json"
 ]
}}
^^^ Do not change lines above ^^^
"""


def create(tools: Toolbox, root: Path) -> None:
    """Make a dataset under the ``text2git`` configuration, with a batch script in it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    tools.run("datalad", "create", "-c", "text2git", str(root), folder=root.parent)
    (root / SCRIPT).write_text("#!/bin/bash\nexit 0\n")
    tools.run("datalad", "save", "-m", "Batch script", SCRIPT, folder=root)


def track_files(tools: Toolbox, root: Path, number: int) -> None:
    """Add many small text files in one commit, and check them out."""
    _import(tools, root, _files(_tip(tools, root), number))
    tools.run("git", *PLAIN_CHECKOUT, "reset", "--quiet", "--hard", folder=root)
    _let_annex_look(tools, root)


def age(tools: Toolbox, root: Path) -> None:
    """Give all tracked files another time than Git remembers.

    So it is after a dataset was copied or restored, and all the time on a file system whose
    inode numbers do not stay: Git cannot tell from its index that a file is unchanged.
    """
    listed = tools.run("git", "ls-files", "-z", folder=root).output
    for path in listed.split("\0")[:-1]:
        os.utime(root / path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def add_history(tools: Toolbox, root: Path, number: int) -> None:
    """Add commits with records of jobs, which all change the same file."""
    _import(tools, root, _commits(_tip(tools, root), number))
    tools.run("git", *PLAIN_CHECKOUT, "reset", "--quiet", "--hard", folder=root)
    _let_annex_look(tools, root)


def count_commits(tools: Toolbox, root: Path) -> int:
    """Commits on the current branch."""
    return int(tools.run("git", "rev-list", "--count", "HEAD", folder=root).output)


def _tip(tools: Toolbox, root: Path) -> tuple[str, str]:
    """The current branch and its commit."""
    branch = tools.run("git", "symbolic-ref", "HEAD", folder=root).output.strip()
    return branch, tools.run("git", "rev-parse", "HEAD", folder=root).output.strip()


def _import(tools: Toolbox, root: Path, lines: Iterator[bytes]) -> None:
    stream = b"".join(lines)
    tools.run("git", "fast-import", "--quiet", "--done", folder=root, stdin=stream)


def _files(tip: tuple[str, str], number: int) -> Iterator[bytes]:
    branch, commit = tip
    yield _commit_line(branch, f"Add {number} files\n")
    yield b"from %s\n" % commit.encode()
    for file in range(number):
        path = f"data/{file // FOLDER_SIZE:04}/{file:07}.txt"
        yield b"M 100644 inline %s\n" % path.encode()
        yield _data(f"measurement {file}\n")
    yield b"\ndone\n"


def _commits(tip: tuple[str, str], number: int) -> Iterator[bytes]:
    branch, commit = tip
    for position in range(number):
        message = MESSAGE.format(number=position + 1, dataset_id="0" * 8)
        yield _commit_line(branch, message)
        if position == 0:
            yield b"from %s\n" % commit.encode()
        yield b"M 100644 inline past/state.txt\n"
        yield _data(f"state {position}\n")
    yield b"done\n"


def _commit_line(branch: str, message: str) -> bytes:
    who = b"committer Bench <bench@example.com> 1700000000 +0000\n"
    return b"commit %s\n" % branch.encode() + who + _data(message)


def _data(text: str) -> bytes:
    content = os.fsencode(text)
    return b"data %d\n%s\n" % (len(content), content)


def _let_annex_look(tools: Toolbox, root: Path) -> None:
    """git-annex looks through what is new in the index once: not in a measurement."""
    (root / "seen.txt").write_text("git-annex has seen this dataset\n")
    tools.run("git", "annex", "add", "--quiet", "seen.txt", folder=root)
    tools.run("git", "commit", "--quiet", "-m", "git-annex has seen it", folder=root)
    tools.run("git", "update-index", "-q", "--refresh", folder=root)
