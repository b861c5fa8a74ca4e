"""The store among many processes, killed ones too, and what is said of one that is broken."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect

from datalad_hpc.errors import OutputsClaimed, StoreUnusable
from datalad_hpc.job import Job
from datalad_hpc.store import open_store, store_exists
from datalad_hpc.store.tables import SCHEMA_VERSION
from tests.helpers import wait_for
from tests.store.helpers import PACKAGE, contend, file_of

NewJob = Callable[..., Job]


def test_of_many_who_want_a_path_exactly_one_gets_it(url: str) -> None:
    """The store does not exist before: all of them make it, too."""
    spellings = ["out/x", "out/x", "out/", "out/*"] * 4
    assert Counter(contend(url, *spellings)) == {0: 1, 3: 15}
    with open_store(url) as store:
        assert len(store.open_jobs()) == 1


def test_all_who_want_paths_of_their_own_get_them(url: str) -> None:
    assert contend(url, *(f"out/{number}" for number in range(30))) == [0] * 30
    with open_store(url) as store:
        assert len({job.key for job in store.open_jobs()}) == 30


IN_THE_MIDDLE = """
import sys, time
from datalad_hpc.store import open_store
from datalad_hpc.store.tables import claims, jobs
from sqlalchemy import delete, update
with open_store(sys.argv[1]) as store, store._writing() as connection:
    # With more changes than the cache holds, so that some are on the disk already.
    connection.exec_driver_sql("PRAGMA cache_size = 5")
    connection.execute(delete(claims))
    connection.execute(update(jobs).values(state="closed"))
    for number in range(300):
        connection.exec_driver_sql(f"CREATE TABLE t{number} (x)")
    print("here", flush=True)
    time.sleep(300)
"""


def test_a_process_killed_in_the_middle_leaves_all_as_it_was(url: str, new_job: NewJob) -> None:
    with open_store(url) as store:
        job = store.reserve(new_job("out"))
    process = subprocess.Popen(
        [sys.executable, "-c", IN_THE_MIDDLE, url],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        assert os.path.exists(file_of(url) + "-journal")
        process.send_signal(signal.SIGKILL)
    with open_store(url) as store:
        assert store.open_jobs() == [job]
        with pytest.raises(OutputsClaimed):
            store.reserve(new_job("out"))
        store.reserve(new_job("other"))
    assert not os.path.exists(file_of(url) + "-journal")


def test_a_lock_that_is_held_too_long_is_told(url: str, new_job: NewJob) -> None:
    with open_store(url) as store:
        store.reserve(new_job("out"))
    blocker = sqlite3.connect(file_of(url), isolation_level=None)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with open_store(url, timeout=0.3) as store:
            # Whoever only looks need not wait.
            assert len(store.open_jobs()) == 1
            with pytest.raises(StoreUnusable, match=r"has kept it locked for 0\.3 seconds"):
                store.reserve(new_job("other"))
            assert 0.2 < time.monotonic() - started < 20
            blocker.execute("COMMIT")
            store.reserve(new_job("other"))
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnusable, match="locked for"):
            opened(url)
    finally:
        blocker.close()
    opened(url)


def test_a_lock_that_is_let_go_in_time_is_waited_for(url: str, new_job: NewJob) -> None:
    opened(url)
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); open(sys.argv[2], 'w').close();"
        "time.sleep(0.4); c.execute('COMMIT')"
    )
    held = Path(file_of(url)).parent / "held"
    with subprocess.Popen([sys.executable, "-c", code, file_of(url), str(held)]):
        wait_for(held.exists)
        with open_store(url, timeout=60) as store:
            store.reserve(new_job("out"))


def opened(url: str, timeout: float = 0.2) -> int:
    with open_store(url, timeout=timeout) as store:
        return len(store.open_jobs())


def test_an_empty_file_is_a_new_store(url: str) -> None:
    Path(file_of(url)).parent.mkdir()
    Path(file_of(url)).touch()
    assert opened(url) == 0


def test_the_layout_has_a_version(url: str) -> None:
    opened(url)
    with sqlite3.connect(file_of(url)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_newer_layout_is_refused_and_left_alone(url: str, new_job: NewJob) -> None:
    with open_store(url) as store:
        store.reserve(new_job("out"))
    with sqlite3.connect(file_of(url)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = Path(file_of(url)).read_bytes()
    with pytest.raises(StoreUnusable, match=r"written by a newer version .* please upgrade"):
        opened(url)
    assert Path(file_of(url)).read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(url: str) -> None:
    file = Path(file_of(url))
    file.parent.mkdir()
    file.write_text("my own notes, which are longer than the header of a database is\n" * 50)
    before = file.read_bytes()
    with pytest.raises(StoreUnusable, match="not a job store, or it is damaged"):
        opened(url)
    assert file.read_bytes() == before


def test_a_damaged_file_is_said_to_be(url: str, new_job: NewJob) -> None:
    with open_store(url) as store:
        for number in range(50):
            store.reserve(new_job(f"out{number}", script="x" * 2000))
    file = Path(file_of(url))
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StoreUnusable, match="damaged"):
        opened(url)


def test_a_missing_table_is_said_to_be(url: str) -> None:
    opened(url)
    with sqlite3.connect(file_of(url)) as connection:
        connection.execute("DROP TABLE jobs")
    with pytest.raises(StoreUnusable, match="lacks a table"):
        opened(url)


def test_a_folder_is_no_store(url: str) -> None:
    Path(file_of(url)).mkdir(parents=True)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        opened(url)


def test_a_file_is_no_folder_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StoreUnusable, match="cannot be used"):
        opened(f"sqlite:///{tmp_path}/state/jobs.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_cannot_be_written_is_said_to_be(url: str, new_job: NewJob, what: str) -> None:
    opened(url)
    path = Path(file_of(url))
    path = path if what == "file" else path.parent
    path.chmod(0o500 if what == "folder" else 0o400)
    try:
        with (
            open_store(url) as store,
            pytest.raises(StoreUnusable, match=r"cannot be (written|opened)"),
        ):
            store.reserve(new_job("out"))
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://x/y", "postgresql+nodriver://x/y", ""])
def test_a_url_that_says_nothing_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="cannot be used"):
        opened(url)


def test_a_server_whose_driver_is_missing_is_said_to_be() -> None:
    if importlib.util.find_spec("oracledb"):
        pytest.skip("the driver is installed")
    with pytest.raises(StoreUnusable, match="cannot be used: No module named 'oracledb'"):
        opened("oracle+oracledb://localhost/none")


def test_whether_a_store_exists_is_told_without_making_it(url: str) -> None:
    assert not store_exists(url)
    assert not Path(file_of(url)).parent.exists()
    opened(url)
    assert store_exists(url)
    assert store_exists(file_of(url))
    assert store_exists("postgresql://localhost/none")


def test_what_was_read_holds_no_lock_once_the_store_is_closed(
    url: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even as long as Python keeps what has read it, until it looks for garbage."""
    kept = []

    def keep(self: Any, *arguments: Any) -> None:
        kept.append(arguments[0])
        execute(self, *arguments)

    execute = DefaultDialect.do_execute
    with open_store(url) as store:
        store.reserve(new_job())
    monkeypatch.setattr(DefaultDialect, "do_execute", keep)
    with open_store(url) as store:
        assert store.open_jobs()
    with open_store(url, timeout=0.5) as store:
        store.finished(())
    assert kept


def test_what_is_read_in_each_round_can_be_collected(
    url: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``finish --wait`` reads the store for days; only imports stay for ever."""
    monkeypatch.setattr("datalad.get_apimode", lambda: "cmdline")
    with open_store(url) as store:
        store.reserve(new_job())
        before = gc.get_freeze_count()
        assert store.open_jobs()
        assert gc.get_freeze_count() == before
