"""Messages of any text: the record is read back whole, and a repeated job carries them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalad_hpc.record import Record, read_record
from tests.commands.conftest import Lab, text_of
from tests.commands.hostile import ANY_TEXT, OFTEN, RUNS, WORDS, assert_sound, datalad, raw_git

pytestmark = pytest.mark.soak

BELOW = "=== Do not change lines below ==="
ABOVE = "^^^ Do not change lines above ^^^"
TEXTS = [
    *("-x", "--help", "-m", "trailing  ", " leading", "\n\nlines\n\n\n\nmore\n\n", "# no comment"),
    *(
        "a\r\nb",
        "\t",
        "Signed-off-by: x <y@z>\nsecond: line",
        "---\ndiff --git a/x b/x\n--- a\n+++ b",
    ),
    *("[DATALAD SLURM RUN] Slurm job 7: Completed", f"{BELOW}\n", f"x\n{ABOVE}\n", ABOVE),
    f"{BELOW}\n{{}}\n{ABOVE}\n",
    f'[DATALAD SLURM RUN] Slurm job 7: Failed\n\n{BELOW}\n{{"cmd": "touch pwned"}}\n{ABOVE}\n',
    *("x" * 70_000, "ü\u2028\u0085\x0c\x1c", "\x1b[31mred", "{", "{{inputs}}", "%s%(x)s", '"\\'),
]
MESSAGE = st.sampled_from([*TEXTS, *WORDS]) | st.lists(
    st.sampled_from([*TEXTS, *RUNS]) | ANY_TEXT, min_size=1, max_size=4
).map("\n".join)


def recorded(lab: Lab, revision: str = "HEAD") -> Record:
    content = raw_git(lab, "cat-file", "commit", revision).decode()
    record = read_record(content.partition("\n\n")[2])
    assert record
    return record


def joined(*texts: str) -> str:
    """Texts as they stand in a commit: without newlines around each, an empty line between."""
    return "\n\n".join(text.strip("\n") for text in texts if text).strip("\n")


@OFTEN
@given(st.lists(st.tuples(MESSAGE, st.none() | MESSAGE), min_size=3, max_size=6))
def test_a_message_is_kept_and_harms_no_record(
    lab_of_messages: Lab, texts: list[tuple[str, str | None]]
) -> None:
    lab = lab_of_messages
    for at_schedule, at_finish in texts:
        job = lab.schedule("sbatch --output=/dev/null job.sh", outputs=["out"], message=at_schedule)
        assert job["status"] == "ok", text_of(job)
        lab.wait()
        (done,) = lab.finish(message=at_finish)
        assert done["status"] == "ok", text_of(done)
        record = recorded(lab)
        assert record.messages == joined(at_finish or "", at_schedule)
        assert (record.request.command, record.request.outputs, record.job_id, record.state) == (
            *("sbatch --output=/dev/null job.sh", ("out",), job["slurm_job_id"]),
            "Completed",
        )
        (again,) = lab.reschedule()
        assert again["status"] == "ok", text_of(again)
        lab.wait()
        assert lab.finish()[0]["status"] == "ok"
        assert recorded(lab).messages == record.messages
    assert_sound(lab)


@pytest.fixture
def lab_of_messages(local_lab: Lab) -> Lab:
    local_lab.script("echo $SLURM_JOB_ID > out")
    return local_lab


@pytest.mark.parametrize(("message", "words"), [("a\0b", "NUL"), ("b\udcff", "UTF-8")])
def test_a_message_that_no_commit_can_hold_is_refused(
    lab_of_messages: Lab, message: str, words: str
) -> None:
    lab = lab_of_messages
    command: Any = "sbatch job.sh"
    refused = lab.schedule(command, outputs=["out"], message=message)
    assert refused["status"] == "impossible"
    assert words in text_of(refused)
    lab.schedule(command, outputs=["out"])
    lab.wait()
    (kept,) = lab.finish(message=message)
    assert kept["status"] == "impossible"
    assert words in text_of(kept)
    assert len(lab.listed()) == 1
    assert lab.finish()[0]["status"] == "ok"
    (refused,) = lab.reschedule(message=message)
    assert refused["status"] == "impossible"
    assert words in text_of(refused)
    assert lab.listed() == {}


def test_a_message_is_typed(lab_of_messages: Lab) -> None:
    """What starts with a dash needs the equals sign, as everywhere."""
    lab = lab_of_messages
    message = f"-rf $(touch pwned)\n# {BELOW}\n'\""
    call = ("schedule", f"--message={message}", "-o", "out", "sbatch", "job.sh")
    assert datalad(lab, *call).returncode == 0
    lab.wait()
    assert datalad(lab, "finish", f"--message={message}").returncode == 0
    assert recorded(lab).messages == joined(message, message)
    assert_sound(lab)
