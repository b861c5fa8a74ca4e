"""Multiples of what a job asked for, and options that beat those of its command."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from datalad_hpc.errors import BadRequest
from datalad_hpc.plans.changing import Changes, asked_for, refuse_others, with_last_word
from datalad_hpc.plans.scaling import read_factors, scaled
from datalad_hpc.schedulers.sbatch import batch_command_of


@pytest.mark.parametrize(
    ("asked", "factor", "option"),
    [
        ({"mem": "4G"}, "mem=2", {"mem": "8G"}),
        ({"mem": "100"}, "mem=1.5", {"mem": "150M"}),
        ({"mem": "1G"}, "mem=1.1", {"mem": "1127M"}),
        ({"mem": "500K"}, "mem=2", {"mem": "1M"}),
        ({"mem-per-cpu": "2GB"}, "mem=2", {"mem-per-cpu": "4G"}),
        ({"mem-per-gpu": "2T"}, "memory=0.5", {"mem-per-gpu": "1024G"}),
        ({"time": "90"}, "time=2", {"time": "03:00:00"}),
        ({"time": "1:30"}, "time=2", {"time": "00:03:00"}),
        ({"time": "1:00:00"}, "time=1.5", {"time": "01:30:00"}),
        ({"time": "1-12"}, "time=2", {"time": "3-00:00:00"}),
        ({"time": "1-0:30"}, "time=2", {"time": "2-01:00:00"}),
        ({"time": "1-0:0:1"}, "time=2", {"time": "2-00:00:02"}),
        ({"cpus-per-task": "3"}, "cpus=1.5", {"cpus-per-task": "5"}),
        ({}, "cpus=4", {"cpus-per-task": "4"}),
    ],
)
def test_multiples(asked: dict[str, str], factor: str, option: dict[str, str]) -> None:
    assert scaled(read_factors([factor]), asked, {}) == option


def test_what_the_scheduler_gave_counts_where_nothing_was_asked_for() -> None:
    given = {"requested_memory": "2G", "time_limit": 3600, "requested_nodes": 1}
    factors = read_factors(["mem=2 time=1.5"])
    assert scaled(factors, {}, given) == {"mem": "4G", "time": "01:30:00"}
    with pytest.raises(BadRequest, match="does not tell what it got"):
        scaled(factors, {}, {**given, "requested_nodes": 2})


@pytest.mark.parametrize("time", [{}, {"time": "UNLIMITED"}, {"time": "0"}])
def test_a_time_without_limit_is_left_alone_beside_what_can_be_multiplied(
    time: dict[str, str],
) -> None:
    factors = read_factors(["mem=2 time=1.5"])
    assert scaled(factors, {"mem": "1G", **time}, {}) == {"mem": "2G"}
    for refused, given in ((read_factors(["time=1.5"]), {}), (factors, None)):
        with pytest.raises(BadRequest, match="time"):
            scaled(refused, {"mem": "1G", **time}, given)


@pytest.mark.parametrize(
    "asked",
    [{"mem": "0"}, {"mem": "{size}"}, {"time": "UNLIMITED"}, {"time": "0"}, {"time": "-1"}],
)
def test_what_cannot_be_multiplied(asked: dict[str, str]) -> None:
    factors = {name: Fraction(2) for name in asked}
    with pytest.raises(BadRequest, match=r"cannot be multiplied; say what .* --resources"):
        scaled(factors, asked, {})


@pytest.mark.parametrize("word", ["mem", "mem=", "mem=x", "mem=0", "mem=-2", "mem=5000", "disk=2"])
def test_what_is_no_factor(word: str) -> None:
    with pytest.raises(BadRequest, match="--scale"):
        read_factors([word])


@pytest.mark.parametrize(
    ("command", "options", "changed"),
    [
        ("sbatch job.sh", {"mem": "8G"}, "sbatch --mem=8G job.sh"),
        ("sbatch --mem=4G job.sh '{inputs}'", {"mem": "8G"}, "sbatch --mem=8G job.sh '{inputs}'"),
        ("sbatch --mem 4G -t 5 job.sh", {"mem": "8G"}, "sbatch -t 5 --mem=8G job.sh"),
        (
            "sbatch -c4 -t5 job.sh -c8",
            {"cpus-per-task": "2"},
            "sbatch -t5 --cpus-per-task=2 job.sh -c8",
        ),
        ("sbatch --mem-per-cpu=4G job.sh", {"mem": "8G"}, "sbatch --mem=8G job.sh"),
        ("sbatch -Qn4 job.sh", {"ntasks": "2"}, "sbatch -Qn4 --ntasks=2 job.sh"),
        ("sbatch -- job.sh", {"exclusive": ""}, "sbatch --exclusive -- job.sh"),
        ("sbatch {more} job.sh", {"time": "5"}, "sbatch --time=5 {more} job.sh"),
        ("sbatch --wrap 'a  b'", {"constraint": "a&b"}, "sbatch --wrap 'a  b' '--constraint=a&b'"),
    ],
)
def test_options_that_win(command: str, options: dict[str, str], changed: str) -> None:
    assert with_last_word(command, options) == changed


def test_what_a_submission_asked_for() -> None:
    script = "#!/bin/sh\n#SBATCH --mem-per-cpu=1G -t 5\n#SBATCH -c2\ntrue\n"
    asked: Any = asked_for(("sbatch", "--mem=2G", "job.sh"), script)
    assert asked == {"mem": "2G", "time": "5", "cpus-per-task": "2"}
    assert asked_for(("./program",), "") == {}


def test_what_is_given_cannot_be_multiplied_too() -> None:
    with pytest.raises(BadRequest, match="leave one of them out"):
        Changes({"mem-per-cpu": "1G"}, read_factors(["mem=2"]))


def test_what_would_not_win_is_refused() -> None:
    script = "#!/bin/sh\n#SBATCH --mem-per-cpu=1G\n"
    beside = batch_command_of(script, ["--mem=2G"], {})
    with pytest.raises(BadRequest, match="give mem-per-cpu= instead"):
        refuse_others({"mem": "2G"}, beside)
    hidden = batch_command_of("#!/bin/sh\n", ["--time=5", "--time=7"], {})
    with pytest.raises(BadRequest, match="hides an option time in a placeholder"):
        refuse_others({"time": "5"}, hidden)
    refuse_others({"time": "7"}, hidden)
