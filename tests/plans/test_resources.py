"""Shorthand for what a job needs: each word means one option, or is refused with what to write."""

from __future__ import annotations

import shlex
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.errors import BadRequest
from datalad_hpc.plans.resources import (
    MOST_PROCESSORS,
    OF_ANYBODY,
    UNSUITED,
    as_arguments,
    merged,
    read_resources,
    sound,
)
from datalad_hpc.schedulers.sbatch_options import FLAGS, SBATCH, WITH_VALUE, read_words


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        (
            "4 3:00 15G gpu",
            {"cpus-per-task": "4", "time": "03:00:00", "mem": "15G", "gres": "gpu:1"},
        ),
        ("0:30", {"time": "00:30:00"}),
        ("1:02:03", {"time": "01:02:03"}),
        ("72:00", {"time": "72:00:00"}),
        ("2-3:00", {"time": "2-03:00:00"}),
        ("0-0:05", {"time": "0-00:05:00"}),
        ("500MB", {"mem": "500M"}),
        ("4gb 1t", {"mem": "1T"}),
        ("2GiB", {"mem": "2G"}),
        ("08", {"cpus-per-task": "8"}),
        ("gpu:2", {"gres": "gpu:2"}),
        ("gpu:a100:2", {"gres": "gpu:a100:2"}),
        ("gpu:a100", {"gres": "gpu:a100:1"}),
        ("gpu:1g.5gb:1", None),
        ("partition=long --account=lab", {"partition": "long", "account": "lab"}),
        ("time=3:00", {"time": "3:00"}),
        ("mem=0", {"mem": "0"}),
        ("part=long --part=longer", {"partition": "longer"}),
        ("exclusive", {"exclusive": ""}),
        ("--exclusive=user", {"exclusive": "user"}),
        ("tasks-per-node=2", {"ntasks-per-node": "2"}),
        ("constraint='a&b' comment=\"x = y # z\"", {"constraint": "a&b", "comment": "x = y # z"}),
        ("4 4G\n8", {"mem": "4G", "cpus-per-task": "8"}),
        ("mem-per-cpu=1G 4G", {"mem": "4G"}),
        ("4G mem-per-cpu=1G", {"mem-per-cpu": "1G"}),
        ("requeue no-requeue requeue", {"requeue": ""}),
        ("job-name='näme 名'", {"job-name": "näme 名"}),
    ],
)
def test_shorthand(text: str, options: dict[str, str] | None) -> None:
    if options is None:
        with pytest.raises(BadRequest):
            read_resources([text])
    else:
        assert list(read_resources([text]).items()) == list(options.items())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("banana", "'banana' cannot be understood; understood are a time ('3:00' is three hours"),
        ("partitionn=long", "did you mean partition"),
        ("--exclusivee", "did you mean exclusive"),
        ("exclusivee", "did you mean exclusive"),
        ("gpus", "gpus=VALUE"),
        ("-p long", "'-p' cannot be understood"),
        ("--partition long", "partition=VALUE"),
        ("partition=", "partition=VALUE"),
        ("exclusive=", "empty value"),
        ("hold=yes", "takes no value"),
        ("cpus=4", "--cpus-per-gpu or --cpus-per-task"),
        ("job-name='x", "a quote is not closed"),
        ("-4", "cannot be understood"),
        ("-3:00", "cannot be understood"),
        ("٤", "cannot be understood"),
        ("1.5G", "cannot be understood"),
        ("4K", "cannot be understood"),
        ("3:60", "cannot be understood"),
        ("1:2:3:4", "cannot be understood"),
        ("1-24:00", "more than 23 hours"),
        ("0", "asks for nothing"),
        ("0:00", "asks for nothing"),
        ("0G", "asks for nothing"),
        ("gpu:0", "asks for nothing"),
        ("gpu:a100:0", "asks for nothing"),
        ("65534", "more than 65,533"),
        ("9999:00", "more than a year"),
        ("400-0:00", "time="),
        ("1025T", "more than 1024T"),
        ("999999999G", "mem="),
        ("gpu:5000", "more than 1,024"),
        ("9" * 5000, "cannot be understood"),
        ("comment='a\nb'", "line break"),
        ("comment='a\rb'", "line break"),
        ("comment=a\0b", "cannot be printed"),
        ("comment=\udcff", "cannot be printed"),
        ("comment='\x1b[2J'", r"\x1b"),
        ("array=1-3", "--foreach"),
        ("arr=1-3", "--foreach"),
        ("dependency=afterok:1", "--after"),
        ("wrap=id", "give the command itself"),
        ("wait", "wait until the job has ended"),
        ("test-only", "--dry-run"),
        ("parsable", "how sbatch talks"),
        ("chdir=/tmp", "call the command from the folder"),
    ],
)
def test_what_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_resources([text], "there")
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("there: ")


def test_all_options_are_known_by_their_name() -> None:
    for name in SBATCH.names - UNSUITED.keys() - SBATCH.synonyms.keys():
        value = "" if name in FLAGS else "v"
        text = f"{name}={value}" if value else name
        assert read_resources([text]) == {name: value}
    assert SBATCH.names - UNSUITED.keys() >= OF_ANYBODY
    assert UNSUITED.keys() <= SBATCH.names


@given(st.integers(1, 8783), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_the_time_that_slurm_reads(hours: int, minutes: int, seconds: int) -> None:
    meant = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    days, rest = divmod(hours, 24)
    for text in (f"{hours}:{minutes}:{seconds:02}", f"{days}-{rest}:{minutes:02}:{seconds:02}"):
        text = text if minutes > 9 else text.replace(f":{minutes}:", f":{minutes:02}:")
        assert _of_slurm(read_resources([text])["time"]) == meant


def _of_slurm(text: str) -> timedelta:
    """``days-hours:minutes:seconds`` and ``hours:minutes:seconds``, as its man page has them."""
    days, _, clock = text.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds)


@given(st.integers(1, MOST_PROCESSORS), st.integers(1, 1024), st.sampled_from(["M", "GB", "T"]))
def test_words_stand_alone(processors: int, memory: int, unit: str) -> None:
    words = [str(processors), f"{memory}{unit}", "gpu:3"]
    together = read_resources([" ".join(words)])
    assert together == read_resources(words)
    assert together == merged(*(read_resources([word]) for word in words))


PRINTABLE = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1
)
OPTIONS = st.dictionaries(
    st.sampled_from(sorted(WITH_VALUE - UNSUITED.keys() - SBATCH.synonyms.keys())), PRINTABLE
)


@given(OPTIONS)
def test_values_arrive_as_they_are_quoted(options: dict[str, str]) -> None:
    text = " ".join(shlex.quote(f"{name}={value}") for name, value in options.items())
    found = read_resources([text])
    assert found == merged(options)
    assert sound(found, "there") == found
    assert dict(read_words(as_arguments(found)).options) == found


@given(st.text(max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    try:
        found = read_resources([text])
    except BadRequest:
        return
    assert all(name in SBATCH.names and name not in UNSUITED for name in found)
    assert all(value.isprintable() for value in found.values())
    assert sound(found, "there") == found


@pytest.mark.parametrize(
    "options",
    [{"array": "1-3"}, {"nonsense": "1"}, {"time": ""}, {"time": "1\n2"}, {"hold": "x"}],
)
def test_options_from_elsewhere_are_checked_again(options: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="the record"):
        sound(options, "the record")


def test_arguments() -> None:
    assert as_arguments({"time": "1:00:00", "hold": ""}) == ("--time=1:00:00", "--hold")
