"""Logs of any name, given in any way that sbatch knows, are claimed and committed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of
from tests.commands.hostile import (
    RUNS,
    assert_sound,
    record_of,
    written_in,
)
from tests.helpers import soak

pytestmark = pytest.mark.soak

NAMES = [
    *("a b", "it's", '"q"', "-rf", "--help", "*", "[ab]?", "{a}", "{{", "!x", "~", "#x", "$HOME"),
    *("a\nb", "\t", "\r", "ü", "u\u0308", "\u00a0", "\u2028", ".x", "%", "%%", "%j", "%4j-%A"),
    *("%x %u", "%s%n%t", "%12z", "x\\", "\\%j", "a\\\\b%j", "%a", "%5", "x" * 225, *RUNS),
]


def on_the_line(name: str) -> tuple[list[str], str, dict[str, str]]:
    return [f"--output=logs/{name}"], "", {}


def as_two_words(name: str) -> tuple[list[str], str, dict[str, str]]:
    return ["-e", f"logs/{name}", "-o", "/dev/null"], "", {}


def from_the_environment(name: str) -> tuple[list[str], str, dict[str, str]]:
    return [], "", {"SBATCH_OUTPUT": f"logs/{name}"}


def in_the_jobs_name(name: str) -> tuple[list[str], str, dict[str, str]]:
    return [f"--job-name={name}", "--output=logs/%x"], "", {}


def in_double_quotes(name: str) -> tuple[list[str], str, dict[str, str]]:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return [], f'#SBATCH --output="logs/{quoted}"', {}


def in_single_quotes(name: str) -> tuple[list[str], str, dict[str, str]]:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return [], f"#SBATCH -o 'logs/{quoted}'", {}


def behind_backslashes(name: str) -> tuple[list[str], str, dict[str, str]]:
    # Slurm 22.05 ends a word at a blank behind a backslash too.
    quoted = "".join(f"'{char}'" if char.isspace() else f"\\{char}" for char in name)
    return [], f"#SBATCH -o logs/{quoted} ", {}


Way = Callable[[str], tuple[list[str], str, dict[str, str]]]
WAYS: list[Way] = [
    on_the_line, as_two_words, from_the_environment, in_the_jobs_name,
    in_double_quotes, in_single_quotes, behind_backslashes,
]  # fmt: skip


def schedule_logging(lab: Lab, number: int, name: str, way: Way) -> dict[str, Any]:
    """Schedule a job that writes an output and a log."""
    options, line, environment = way(name)
    script = lab.root.parent / f"job{number}.sh"
    script.write_text(
        f"#!/bin/bash\n{line}\necho $SLURM_JOB_ID\necho $SLURM_JOB_ID >&2\n"
        f"echo $SLURM_JOB_ID > out-{number}\n"
    )
    line = shlex.join(["sbatch", *options, str(script)])
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        return lab.schedule(line.replace("{", "{{").replace("}", "}}"), outputs=[f"out-{number}"])


def check_logs(lab: Lab, wanted: Sequence[tuple[str, Way]]) -> None:
    jobs: dict[str, int] = {}
    for number, (name, way) in enumerate(wanted):
        if "\n" in name and way not in WAYS[:4]:
            continue  # a line of the script ends there
        job = schedule_logging(lab, number, name, way)
        assert job["status"] == "ok", (name, way, text_of(job))
        jobs[job["slurm_job_id"]] = number
    lab.wait()
    done = lab.finish()
    failed = [
        (wanted[jobs[res["slurm_job_id"]]], text_of(res)) for res in done if res["status"] != "ok"
    ]
    assert failed == []
    for res in done:
        job_id = res["slurm_job_id"]
        number = jobs.pop(job_id)
        (log,) = written_in(lab, res["commit"]) - {b"out-%d" % number}
        assert log.startswith(b"logs/"), wanted[number]
        assert (lab.root / os.fsdecode(log)).read_text().split() in ([job_id], [job_id] * 2)
        assert os.fsdecode(log) in record_of(lab, res["commit"])["slurm_outputs"]
    assert jobs == {}
    assert_sound(lab)


def without_clashes(wanted: Sequence[tuple[str, Way]]) -> list[tuple[str, Way]]:
    """Names of logs that nobody else asks for, whatever the backslashes and numbers in them."""
    return [(f"{number}/{name}", way) for number, (name, way) in enumerate(wanted)]


@pytest.mark.parametrize("start", range(soak(1, 7)))
def test_a_log_is_committed_by_whatever_name(local_lab: Lab, start: int) -> None:
    wanted = [(name, WAYS[(at + start) % len(WAYS)]) for at, name in enumerate(NAMES)]
    check_logs(local_lab, without_clashes(wanted))


@pytest.mark.slurm
def test_slurm_writes_its_logs_where_they_are_claimed(dataset: Dataset) -> None:
    wanted = [(name, WAYS[(at + 3) % len(WAYS)]) for at, name in enumerate(NAMES)]
    check_logs(Lab(dataset, "slurm"), without_clashes(wanted))


@pytest.mark.parametrize(
    ("options", "line", "environment", "words"),
    [
        (["-o", ".git/hooks/x"], "", {}, "Git's own folder"),
        (["-o", ".GIT/x"], "", {}, "Git's own folder"),
        (["-o", "logs/git~1"], "", {}, "Git's own folder"),
        (["-a1", "-o", ".git/%a"], "", {}, "Git's own folder"),
        ([], "#SBATCH -o into-git/x", {}, "Git's own folder"),
        ([], "", {"SBATCH_OUTPUT": ".git/x"}, "Git's own folder"),
        (["-J", ".git", "-o", "%x/y"], "", {}, "Git's own folder"),
        ([], "#SBATCH -o logs/\udcff", {}, "UTF-8"),
        ([], "", {"SBATCH_OUTPUT": "\udcff"}, "UTF-8"),
        ([], "#SBATCH -J \udcff -o %x", {}, "UTF-8"),
        (["-o", "y" * 300], "", {}, "too long"),
        (["-o", "y" * 300 + "/x"], "", {}, "too long"),
        (["-o", "d/" * 2100 + "x"], "", {}, "too long"),
        (["-o", ".datalad/config/x"], "", {}, "could not be made"),
    ],
)
def test_a_log_that_cannot_be_kept_is_refused(
    local_lab: Lab,
    options: list[str],
    line: str,
    environment: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = local_lab
    (lab.root / "into-git").symlink_to(".git")
    (lab.root / "job.sh").write_bytes(os.fsencode(f"#!/bin/bash\n{line}\necho x > out\n"))
    lab.save()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused = lab.schedule(["sbatch", *options, "job.sh"], outputs=["out"])
    assert refused["status"] == "impossible"
    assert words in text_of(refused)
    assert lab.listed() == {}
    assert_sound(lab)
