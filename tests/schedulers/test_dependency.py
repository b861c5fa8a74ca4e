"""The options with which a job waits for others."""

from __future__ import annotations

import pytest

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.dependency import dependency_options
from datalad_hpc.schedulers.sbatch import BatchCommand, comment_with_token, read_batch_command


def read(*options: str) -> BatchCommand:
    return read_batch_command(["sbatch", *options, "--wrap", "true"], "/", {})


def test_a_job_that_waits_for_nothing_gets_no_option() -> None:
    assert dependency_options(read("-d", "afterok:1?afterok:2"), []) == ()


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ((), ("--dependency=afterok:7:8_4", "--kill-on-invalid-dep=yes")),
        (
            ("-d", "singleton"),
            ("--dependency=singleton,afterok:7:8_4", "--kill-on-invalid-dep=yes"),
        ),
        (
            ("--dependency=afterany:1,after:2+5", "--kill-on-invalid-dep=no"),
            ("--dependency=afterany:1,after:2+5,afterok:7:8_4",),
        ),
    ],
)
def test_what_the_user_waits_for_holds_as_well(
    own: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    options = dependency_options(read(*own), ["afterok:7:8_4"])
    assert options == wanted
    argv = comment_with_token(read(*own), "token", options)
    # Of an option that is there twice sbatch takes the last one.
    assert read_batch_command(argv, "/", {}).options["dependency"] == wanted[0].partition("=")[2]


def test_one_of_several_and_all_do_not_go_together() -> None:
    with pytest.raises(BadRequest, match=r"--dependency=afterok:1\?afterok:2 asks for any one"):
        dependency_options(read("-d", "afterok:1?afterok:2"), ["afterok:7"])
