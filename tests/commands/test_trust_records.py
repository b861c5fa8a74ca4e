"""A record that somebody else wrote: nothing is written outside of the dataset, nothing hidden."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.errors import BrokenRecord
from datalad_hpc.record import read_record
from tests.commands.conftest import Lab, text_of

BAD_PATHS = [
    "../x",
    "../../x",
    "/etc/x",
    "out/../../x",
    "..",
    ".git",
    ".git/hooks/post-commit",
    ".GIT/hooks/post-commit",
    "out/../.git/config",
    "out/.git/config",
    "out-there/x",
    "out-there/",
    "to-git/hooks/x",
    "to-git",
    "",
    "a" * 5000,
    "a/" * 5000,
    "out/*/../../../x",
]
"""Where no output of a dataset can be."""

HIDDEN = "\x1b[2K\x1b]0;title\x07 \r\x9b8m \u202e"
"""What would play tricks on a terminal."""


@pytest.fixture
def lab(local_lab: Lab, tmp_path: Path) -> Lab:
    """With links that lead out of the dataset and to Git's own folder, as a clone can have them."""
    (tmp_path / "elsewhere").mkdir()
    (local_lab.root / "out").mkdir()
    (local_lab.root / "out-there").symlink_to(tmp_path / "elsewhere")
    (local_lab.root / "to-git").symlink_to(".git")
    local_lab.script("touch ran")
    local_lab.save()
    return local_lab


MARKERS = ["[DATALAD SLURM RUN]", "[DATALAD RUNCMD]"]
"""Ours, and that of DataLad core's ``run``."""


def commit(lab: Lab, text: str, marker: str = MARKERS[0]) -> str:
    """Commit a record as its author pleases."""
    message = (
        f"{marker} Slurm job 1: Completed\n\n=== Do not change lines below ===\n"
        f"{text}\n^^^ Do not change lines above ^^^\n"
    )
    subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-F", "-"],
        cwd=lab.root,
        check=True,
        input=message.encode("utf-8", "surrogatepass"),
    )
    return lab.git("rev-parse", "HEAD").strip()


def record(lab: Lab, marker: str = MARKERS[0], **fields: Any) -> str:
    told = {"cmd": "sbatch job.sh", "outputs": ["ran"], **fields}
    return commit(lab, json.dumps(told), marker)


def outside(lab: Lab) -> dict[str, bytes]:
    """All that lies beside the dataset and in its Git folder, but for what is ours or Git's log."""
    own = {lab.root / ".git" / "datalad", lab.root.parent / "spool"}
    places = [*lab.root.parent.iterdir(), *(lab.root / ".git").iterdir()]
    files = (
        path
        for place in places
        if place != lab.root and place not in own
        for path in (place, *place.rglob("*"))
    )
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


FOLDERS = ["..", "/etc", "out/../..", ".git", ".git/hooks", ".GIT", "out-there", "to-git/hooks"]
LOGS = [".git/hooks/post-commit", "to-git/%j", "to-git/new/%A_%a", ".git/%A_%a", ".git/new/%j"]
PLACES: list[dict[str, Any]] = [
    *({"outputs": [path]} for path in BAD_PATHS),
    *({"pwd": path, "cmd": "sbatch {dspath}/job.sh"} for path in FOLDERS),
    *({"cmd": f"sbatch --output={path} job.sh"} for path in LOGS),
]


@pytest.mark.parametrize("marker", MARKERS)
def test_outputs_folders_and_logs_outside_or_in_git_are_refused(lab: Lab, marker: str) -> None:
    (lab.root / ".GIT").mkdir()
    start = lab.git("rev-parse", "HEAD").strip()
    commits = [record(lab, marker, **fields) for fields in PLACES]
    before = outside(lab)
    found = lab.reschedule(since=start)
    assert [(res["status"], res["commit"]) for res in found] == [
        ("impossible", commit) for commit in commits
    ]
    for res, fields in zip(found, PLACES, strict=True):
        assert text_of(res).startswith(f"Commit {res['commit'][:10]} was not scheduled: "), fields
    assert lab.listed() == {}
    assert outside(lab) == before
    assert not (lab.root / "ran").exists()


def test_no_folder_is_made_outside_and_no_facts_are_written_there(lab: Lab) -> None:
    for log in ("out-there/new/%j.out", "out-there/new/%A_%a.out"):
        record(lab, cmd=f"sbatch --array=1 --output={log} job.sh")
        (found,) = lab.reschedule()
        assert found["status"] == "ok", text_of(found)
        lab.wait()
        lab.finish(commit_failed_jobs=True)
    assert list((lab.root.parent / "elsewhere").rglob("*")) == []


ALTERNATIVE_ONLY: list[dict[str, Any]] = [
    {"inputs": [".."]},
    {"inputs": ["../.."]},
    {"inputs": ["/etc/hostname"]},
    {"inputs": ["out/../../elsewhere"]},
    {"inputs": [".git"]},
    {"inputs": [".git/config"]},
    {"inputs": ["to-git/config"]},
    {"cmd": "sbatch --chdir=../new job.sh"},
    {"cmd": "sbatch --chdir={tmp}/new job.sh"},
]


def test_nothing_is_copied_outside_of_an_alternative_directory(lab: Lab, tmp_path: Path) -> None:
    alternative = tmp_path / "deep" / "alternative"
    alternative.mkdir(parents=True)
    start = lab.git("rev-parse", "HEAD").strip()
    for fields in ALTERNATIVE_ONLY:
        record(lab, **{**fields, "cmd": fields.get("cmd", "sbatch job.sh").format(tmp=tmp_path)})
    before = outside(lab)
    found = lab.reschedule(since=start, alt_dir=str(alternative), assume_ready="inputs")
    assert [res["status"] for res in found] == ["impossible"] * len(ALTERNATIVE_ONLY)
    assert lab.listed() == {}
    # The folders of the job itself were made before it was refused.
    assert set(outside(lab)) - set(before) <= {str(alternative / "out")}


WRONG = [
    "[" * 200_000,
    '{"cmd": ' + "[" * 900 + "]" * 900 + ', "outputs": ["x"]}',
    '{"cmd": "sbatch job.sh", "outputs": {"x": 1}}',
    '{"cmd": "sbatch job.sh", "outputs": [["x"]]}',
    '{"cmd": "sbatch job.sh", "outputs": ["x\\u0000"]}',
    '{"cmd": "sbatch job.sh", "outputs": ["x"], "pwd": 1}',
    '{"cmd": "sbatch job.sh", "outputs": ["x"], "chain": [1]}',
    '{"cmd": "sbatch job.sh", "outputs": ["x"], "dsid": []}',
    '{"cmd": "touch ran {nothing}", "outputs": ["x"]}',
    '{"cmd": " ", "outputs": ["x"]}',
    '{"cmd": "", "outputs": ["x"]}',
    '{"cmd": "sbatch job.sh; touch ran", "outputs": ["x"]}',
    '{"cmd": "sbatch job.sh {pwd:99999999999}", "outputs": ["x"]}',
    '{"cmd": "sbatch job.sh {pwd:{outputs}}", "outputs": ["99999999999"]}',
    '{"cmd": "sbatch /dev/zero", "outputs": ["x"]}',
    '{"cmd": "sbatch --output=x\\u0000 job.sh", "outputs": ["x"]}',
]


@pytest.mark.parametrize("report", [True, False], ids=["report", "run"])
def test_a_record_that_cannot_be_used_stops_none_of_the_others(lab: Lab, report: bool) -> None:
    start = lab.git("rev-parse", "HEAD").strip()
    bad = [commit(lab, text) for text in WRONG]
    good = record(lab)
    found = lab.reschedule(since=start, report=report)
    assert [res["commit"] for res in found if res["status"] != "ok"] == bad
    assert [res["status"] for res in found][-1] == "ok", text_of(found[-1])
    if report:
        assert found[-1]["commit"] == good
    lab.wait()


@pytest.mark.parametrize("marker", MARKERS)
def test_a_record_asks_only_for_what_anybody_may_ask_for(
    lab: Lab, marker: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"time": "01:00:00", "qos": "first", "mail-user": "spy", "output": ".git/hooks/post"}
    record(lab, marker, cmd="date > out.txt", outputs=["out.txt"], hpc={"resources": told})
    (shown,) = lab.reschedule(report=True)
    assert [line for line in shown["script"].splitlines() if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=date",
        "#SBATCH --time=01:00:00",
    ]
    (said,) = [each.getMessage() for each in caplog.records if "asks for" in each.getMessage()]
    assert "--qos, --mail-user, --output" in said


@pytest.mark.parametrize("name", ["wrap", "array", "chdir", "test-only", "no-such-option"])
def test_an_option_that_is_no_resource_refuses_the_record(lab: Lab, name: str) -> None:
    record(lab, cmd="date > x", outputs=["x"], hpc={"resources": {name: "1"}})
    (refused,) = lab.reschedule()
    assert refused["status"] == "impossible"
    assert "what its record asks for cannot be had" in text_of(refused)
    assert lab.listed() == {}


def test_a_message_full_of_markers_is_read_at_once() -> None:
    message = "[DATALAD SLURM RUN] " + "=== Do not change lines below ===\n" * 200_000
    began = time.process_time()
    with pytest.raises(BrokenRecord):
        read_record(message)
    assert time.process_time() - began < 5


def datalad(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "datalad"), *arguments]


def shown(lab: Lab, *arguments: str) -> str:
    """What DataLad's command line prints, on both streams."""
    ended = subprocess.run(
        datalad(*arguments),
        cwd=lab.root,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return ended.stdout


def has_tricks(text: str) -> list[str]:
    return [char for char in text if char not in "\n\t" and not char.isprintable()]


def test_what_a_record_hides_is_seen(lab: Lab) -> None:
    lab.script(f"touch ran # {HIDDEN}")
    record(
        lab,
        cmd=f"sbatch job.sh '{HIDDEN}'",
        inputs=[f"in{HIDDEN}"],
        outputs=[f"ran{HIDDEN}", "a\nb"],
    )
    text = shown(lab, "reschedule", "--report")
    assert has_tricks(text) == []
    assert text.count(r"\x1b[2K") == 4
    assert r"a\nb" in text


def test_what_a_refused_record_hides_is_seen(lab: Lab) -> None:
    record(lab, pwd=f"x{HIDDEN}", dsid="")
    assert has_tricks(shown(lab, "reschedule", "--report")) == []
    record(lab, dsid=HIDDEN)
    assert has_tricks(shown(lab, "reschedule", "--report")) == []
    record(lab, cmd=f"sbatch {HIDDEN} {{{HIDDEN}}}")
    text = shown(lab, "reschedule", "--report")
    assert has_tricks(text) == []
    assert r"\x1b" in text


def test_names_of_open_jobs_play_no_tricks(lab: Lab) -> None:
    lab.schedule(["sbatch", "job.sh", HIDDEN], outputs=[f"ran{HIDDEN}"], message=HIDDEN)
    lab.wait()
    assert has_tricks(shown(lab, "finish", "--list-open-jobs")) == []
    text = shown(lab, "finish")
    assert has_tricks(text) == []
    assert "did not produce" in text


def test_the_script_of_a_report_holds_nothing_but_its_jobs(lab: Lab, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    ident = f"x\ntouch {canary}\n"
    lab.git("config", "-f", ".datalad/config", "datalad.dataset.id", ident)
    lab.save(".datalad/config")
    lab.dataset.config.reload(force=True)
    record(lab, dsid=ident, cmd="sbatch job.sh 'a\ntouch b'", pwd="out", outputs=["a\nb"])
    lab.script("", name="out/job.sh")
    lab.reschedule("HEAD~1", script=str(tmp_path / "again.sh"))
    text = (tmp_path / "again.sh").read_text()
    # Proves that the canary could sing: a line of its own is what a shell runs.
    assert f"touch {canary}" not in text.splitlines()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "sbatch").write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {tmp_path}/told\n')
    (bin_folder / "sbatch").chmod(0o755)
    subprocess.run(
        ["sh", "-c", f"PATH={shlex.quote(str(bin_folder))}:$PATH . {tmp_path}/again.sh"],
        check=True,
    )
    assert (tmp_path / "told").read_text() == "job.sh|a\ntouch b|"
    assert not canary.exists()
