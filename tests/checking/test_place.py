"""What a file system does, tried on a real one, and what is said where it does less."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from datalad_hpc.checking import place, trials
from datalad_hpc.checking.trials import WORKS, try_out
from datalad_hpc.finding import Finding, Standing

MEMORY = Path("/dev/shm")


def test_locks_links_and_clock_of_this_disk(tmp_path: Path) -> None:
    tried = try_out(tmp_path)
    assert tried.locks == dict.fromkeys(("sqlite", "fcntl", "flock"), WORKS)
    assert set(tried.features.values()) == {True}
    assert abs(tried.clock) < 1
    assert list(tmp_path.iterdir()) == []


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *outcomes: dict[str, str]) -> None:
    """Have the second process tell one outcome after the other."""
    program = tmp_path / "other.py"
    told = tmp_path / "told"
    told.write_text(json.dumps(outcomes))
    program.write_text(
        "import json\n"
        f"from pathlib import Path\ntold = Path({str(told)!r})\n"
        "first, *others = json.loads(told.read_text())\n"
        "told.write_text(json.dumps(others))\nprint(json.dumps(first))\n"
    )
    monkeypatch.setattr(trials, "OTHER_PROGRAM", program)


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = (each for each in findings if each.name == name)
    return found


ALL_DENIED = {"sqlite": "denied", "fcntl": "denied", "flock": "denied"}
ALL_TAKEN = {"sqlite": "taken", "fcntl": "taken", "flock": "taken"}


@pytest.mark.parametrize(
    ("during", "after", "standing", "words"),
    [
        (ALL_DENIED, ALL_TAKEN, Standing.OK, "keep out of each other's way"),
        (ALL_TAKEN, ALL_TAKEN, Standing.BROKEN, "sqlite: two programs got it at once"),
        (ALL_DENIED, ALL_DENIED, Standing.BROKEN, "it stays taken"),
        ({**ALL_DENIED, "flock": "taken"}, ALL_TAKEN, Standing.LIMITED, "flock: two programs"),
        ({**ALL_DENIED, "fcntl": "No locks available"}, ALL_TAKEN, Standing.BROKEN, "fcntl"),
    ],
)
def test_locks_that_do_nothing_are_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    during: dict[str, str],
    after: dict[str, str],
    standing: Standing,
    words: str,
) -> None:
    stand_in(tmp_path, monkeypatch, during, after)
    found = named(list(place.trials(tmp_path)), "locks")
    assert found.standing is standing
    assert words in found.text
    assert bool(found.advice) == (standing is not Standing.OK)


def test_a_second_process_that_fails_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "OTHER_PROGRAM", tmp_path / "nothing.py")
    assert named(list(place.trials(tmp_path)), "locks").standing is Standing.BROKEN


@pytest.mark.skipif(not os.getuid(), reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (found,) = place.trials(tmp_path)
    assert (found.standing, "cannot be written" in found.text) == (Standing.BROKEN, True)


def test_what_is_tried_lies_beside_a_store_to_be(tmp_path: Path) -> None:
    found = named(list(place.trials(tmp_path / "datalad" / "hpc")), "locks")
    assert found.found["folder"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no file system in memory")
@pytest.mark.parametrize(
    ("runs_elsewhere", "standing"),
    [(True, Standing.BROKEN), (False, Standing.LIMITED), (None, Standing.LIMITED)],
)
def test_other_nodes_cannot_reach_memory(runs_elsewhere: bool | None, standing: Standing) -> None:
    found = place.file_system(MEMORY, runs_elsewhere)
    assert found.standing is standing
    assert found.found["type"] == "tmpfs"
    assert found.found["shared"] is False
    assert ("--alt-dir" in found.advice) == (runs_elsewhere is True)
