"""A look at a store leaves it as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from datalad_hpc.errors import StoreUnusable
from datalad_hpc.store import open_store
from datalad_hpc.store.peeking import newest_jobs, peeked
from datalad_hpc.store.survey import survey
from datalad_hpc.store.tables import SCHEMA_VERSION
from tests.jobs import a_job


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    with open_store(str(path)) as store:
        for number in (1, 2, 3):
            store.reserve(a_job(number, token=f"{number}" * 16), check=False)
    return path


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_layout_and_jobs(store_file: Path) -> None:
    seen = survey(str(store_file), "", 1)
    assert (seen.layout, seen.known, seen.damage) == (SCHEMA_VERSION, SCHEMA_VERSION, "")
    assert dict(seen.states) == {"open": 3}
    assert seen.is_checked


@pytest.mark.parametrize("layout", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_layout_is_told_and_not_touched(store_file: Path, layout: int) -> None:
    change(store_file, f"PRAGMA user_version = {layout}")
    before = store_file.read_bytes()
    assert survey(str(store_file), "", 1).layout == layout
    with peeked(str(store_file), "") as store:
        assert store is None
    assert store_file.read_bytes() == before


def test_damage_is_found(store_file: Path) -> None:
    content = store_file.read_bytes()
    page = len(content) // 4096 // 2 * 4096
    store_file.write_bytes(content[:page] + b"\xff" * 4096 + content[page + 4096 :])
    assert survey(str(store_file), "", 1).damage


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_text("nothing of the kind" * 100)
    with pytest.raises(StoreUnusable, match="not a job store"):
        survey(str(path), "", 1)


def test_a_store_that_somebody_writes_is_not_waited_for_long(store_file: Path) -> None:
    writer = sqlite3.connect(store_file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnusable, match="locked"), peeked(str(store_file), ""):
        pass
    writer.close()


def test_the_newest_jobs(store_file: Path) -> None:
    with peeked(str(store_file), "") as store:
        assert store
        assert [job.label for job in newest_jobs(store, 2)] == ["2", "3"]


def test_no_store_is_made(tmp_path: Path) -> None:
    with peeked(str(tmp_path / "none" / "jobs.db"), "") as store:
        assert store is None
    assert list(tmp_path.iterdir()) == []
