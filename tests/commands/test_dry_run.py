"""A dry run shows what would be submitted and what Slurm says of it, and leaves nothing behind."""

from __future__ import annotations

import re
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.process import Ended, run
from datalad_hpc.schedulers.base import Estimate
from datalad_hpc.schedulers.slurm_estimate import estimate_of
from tests.commands.conftest import Lab, stand_in, text_of


def shown(lab: Lab, *arguments: str) -> Ended:
    return run(["datalad", "schedule", "-o", "out.txt", *arguments], folder=lab.root)


@pytest.fixture
def slurm_lab(dataset: Any) -> Lab:
    return Lab(dataset, "slurm")


def files_of(lab: Lab, *more: Path) -> set[Path]:
    """All there is in the dataset, its Git folder and other places."""
    return {path for place in (lab.root, *more) for path in place.rglob("*")}


@pytest.mark.parametrize(
    "words", [["--dry-run", "--"], ["--dry-run", "basic"], ["--dry-run=basic", "--"]]
)
def test_a_plain_command_is_shown_with_its_script(local_lab: Lab, words: list[str]) -> None:
    said = shown(local_lab, "--scheduler=local", "-r", "2 1:00", *words, "echo {outputs}; true")
    assert said.code == 0, said.complaint
    lines = said.text.splitlines()
    assert " submission: sbatch --cpus-per-task=2 --time=01:00:00 job.sh" in lines
    script = lines[lines.index(" script:") :]
    assert script[1] == "  #!/bin/bash"
    assert "  #SBATCH --time=01:00:00" in script
    assert "  echo out.txt; true" in script
    assert "start" not in said.text


def test_the_command_alone_is_the_script_of_a_plain_command(local_lab: Lab) -> None:
    said = shown(local_lab, "--scheduler=slurm", "--dry-run", "command", "echo {outputs}")
    assert said.text.startswith("#!/bin/bash\n#SBATCH --job-name=echo\n")
    assert said.text.endswith("\necho out.txt\n\n")


def test_the_local_scheduler_is_not_asked(local_lab: Lab, local_spool: Path) -> None:
    before = files_of(local_lab)
    job = local_lab.schedule("true", outputs=["out.txt"], dry_run="basic")
    assert job["dry_run"]["estimate"] is None
    assert files_of(local_lab) == before
    assert not local_spool.exists()


def test_a_forgotten_dash_is_told_of(local_lab: Lab) -> None:
    said = shown(local_lab, "--dry-run", "sbatch", "job.sh")
    assert said.code != 0
    assert "followed by 'sbatch'; if that is what to run, write '--' before it" in said.complaint
    assert local_lab.listed() == {}


@pytest.mark.slurm
@pytest.mark.parametrize(
    "command",
    [["true # {tmpdir}"], ["sbatch", "-t2", "--", "job.sh", "a"], ["sbatch", "--wrap=id"]],
)
def test_slurm_tells_the_start_and_nothing_is_left(
    slurm_lab: Lab, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    slurm_lab.script("true")
    slurm_lab.listed()
    before = files_of(slurm_lab, temporary)
    job = slurm_lab.schedule(command, outputs=["out/x.txt"], dry_run="basic")
    assert job["status"] == "ok", text_of(job)
    estimate = job["dry_run"]["estimate"]
    assert estimate["accepted"] is True, estimate
    # In seconds, whatever the time zone.
    assert re.search(r" to start at \d{10,} ", estimate["words"])
    assert files_of(slurm_lab, temporary) == before
    assert slurm_lab.listed() == {}


def test_the_start_is_shown_in_local_time(
    local_lab: Lab, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "TST-9")
    says = 'test "$SLURM_TIME_FORMAT" = %s && echo "sbatch: Job 7 to start at 1766000000 using" >&2'
    stand_in(before, "sbatch", f"cat > /dev/null; {says}\n")
    said = shown(local_lab, "--scheduler=slurm", "--dry-run", "--", "true")
    assert said.text.endswith(" estimated start: 2025-12-18 04:33:20 TST\n")


@pytest.mark.slurm
def test_what_slurm_would_refuse_is_told_in_its_words(slurm_lab: Lab) -> None:
    for needs in ("partition=nosuch", "200G 4"):
        said = shown(slurm_lab, "--scheduler=slurm", "-r", needs, "--dry-run", "--", "true")
        assert said.code == 0, said.complaint
        assert " Slurm would refuse this: sbatch: error: " in said.text or (
            " Slurm would refuse this: allocation failure" in said.text
        )
    assert slurm_lab.listed() == {}


def test_a_slurm_that_does_not_answer_is_not_a_refusal(local_lab: Lab, before: Path) -> None:
    words = "allocation failure: Unable to contact slurm controller (connect failure)"
    stand_in(before, "sbatch", f"cat > /dev/null; echo '{words}' >&2; exit 1\n")
    said = shown(local_lab, "--scheduler=slurm", "--dry-run", "--", "true")
    assert f" Slurm could not be asked: {words}\n" in said.text


def test_what_is_asked_is_only_asked(local_lab: Lab, before: Path, tmp_path: Path) -> None:
    stand_in(before, "sbatch", f'printf "%s\\n" "$@" > {tmp_path}/words; cat > {tmp_path}/script\n')
    local_lab.script("true é")
    shown(local_lab, "--scheduler=slurm", "--dry-run", "--", "sbatch", "-t", "2", "job.sh", "arg")
    assert (tmp_path / "words").read_text().splitlines() == ["--test-only", "-t", "2"]
    assert (tmp_path / "script").read_text() == "#!/bin/bash\ntrue é\n"
    shown(local_lab, "--submits", "--scheduler=slurm", "--dry-run", "--", "touch", "pwned")
    assert not (local_lab.root / "pwned").exists()


@pytest.mark.parametrize(
    ("code", "words", "accepted", "start"),
    [
        (
            0,
            "sbatch: Job 7 to start at 1766000000 using 1 processors on nodes vm",
            True,
            1766000000,
        ),
        (0, "banner\nsbatch: Job 7 to start at 2025-12-17T19:33:20+00:00 using", True, 1766000000),
        (0, "sbatch: Job 7 to start at 259493303001 using 1 processors", True, None),
        (0, "sbatch: Job 7 to start at 10193-01-05T17:03:21 using 1 processors", True, None),
        (0, "sbatch: Job 7 to start at 99999999999999999999999 using", True, None),
        (0, "sbatch: Job 7 to start at Unknown using", True, None),
        (0, "", True, None),
        (1, "sbatch: error: invalid partition specified: x", False, None),
        (1, "", False, None),
        (1, "sbatch: error: slurm_load: Socket timed out on send/recv operation", None, None),
    ],
)
def test_answers(code: int, words: str, accepted: bool | None, start: int | None) -> None:
    when = datetime.fromtimestamp(start, timezone.utc) if start else None
    assert estimate_of(code, words) == Estimate(accepted, when, words)
