"""A command limited to some of its tasks stays the user's own in all else."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalad_hpc.placeholders import fill_command, split_words
from datalad_hpc.plans.limiting import with_tasks
from datalad_hpc.schedulers.arrays import array_indices, array_limit
from datalad_hpc.schedulers.sbatch import read_batch_command, tasks_of
from datalad_hpc.schedulers.sbatch_options import read_words

OPTIONS = [
    "--array=0-9%3", "-a 0-9", "-a0-9", "--array 1,2", "'--array=5'", "--time=1:00", "-N 2", "-Hk",
    "--job-name '{name}'", "--comment=\"it's {{}}\"", "--comment --array=3", "--site-option=x",
]  # fmt: skip
BEHIND = ["job.sh", "'my job.sh' a", "-- job.sh", 'job.sh "{inputs}" --array=7', "job.sh {inputs}"]
TASKS = st.sets(st.integers(0, 99), min_size=1).map(sorted).map(tuple)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(OPTIONS), max_size=4),
    st.sampled_from(BEHIND),
    TASKS,
    st.integers(0, 9),
)
def test_sbatch_reads_the_tasks_and_else_what_it_read(
    options: list[str], behind: str, tasks: tuple[int, ...], limit: int
) -> None:
    command = " ".join(["sbatch", *options, behind])
    values = {"inputs": ["a b", "--array=1"], "name": "--array=8"}
    once = with_tasks(command, tasks, limit or None)
    before, after = (fill_command(line, values)[1:] for line in (command, once))
    old, new = read_words(before), read_words(after)
    assert after[new.end :] == before[old.end :]
    effective = dict(new.options)
    assert array_indices(effective["array"]) == tasks
    assert array_limit(effective["array"]) == (limit or None)
    assert dict(old.options) | {"array": ""} == effective | {"array": ""}


@given(st.lists(st.sampled_from(OPTIONS), max_size=3), st.sampled_from(BEHIND), TASKS, TASKS)
def test_doing_so_again_replaces_it(
    options: list[str], behind: str, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    command = " ".join(["sbatch", *options, behind])
    again = with_tasks(with_tasks(command, first), second)
    assert again == with_tasks(command, second)


def test_quotes_and_placeholders_survive() -> None:
    command = """sbatch -a 0-4  --comment='a "b"' job.sh "{inputs}" {{x}} $'y'"""
    words = split_words(command)
    limited = with_tasks(command, (1, 2, 3, 7), 2)
    assert split_words(limited) == [*words[:4], "--array=1-3,7%2", *words[4:]]


@pytest.mark.parametrize("line", ["--array=0-5%2", "-a 1-9:2"])
def test_an_array_in_the_script_is_overruled(line: str, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(f"#!/bin/sh\n#SBATCH {line}\n")
    argv = shlex.split(with_tasks("sbatch job.sh", (3,)))
    assert tasks_of(read_batch_command(argv, str(tmp_path), {})) == (3,)
