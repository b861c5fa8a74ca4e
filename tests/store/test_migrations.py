"""Stores that an earlier version has made."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from datalad_hpc.claims import claim_for
from datalad_hpc.errors import OutputsClaimed, StoreUnusable
from datalad_hpc.job import Claim, ClaimKind, ClaimRole, Job
from datalad_hpc.store import open_store
from datalad_hpc.store.engine import connected, writing
from datalad_hpc.store.migrations import MIGRATIONS
from datalad_hpc.store.tables import SCHEMA_VERSION
from tests.store.helpers import contend, file_of

NewJob = Callable[..., Job]

VERSION_1 = """
CREATE TABLE jobs (
    "key" INTEGER NOT NULL, scope TEXT NOT NULL, token VARCHAR(32) NOT NULL,
    state VARCHAR(16) NOT NULL, scheduler TEXT NOT NULL, cluster TEXT NOT NULL,
    job_id TEXT NOT NULL, created VARCHAR(32) NOT NULL, submitted VARCHAR(32),
    command TEXT NOT NULL, folder TEXT NOT NULL, inputs TEXT NOT NULL, message TEXT NOT NULL,
    details TEXT NOT NULL, attempt_of INTEGER, "commit" VARCHAR(64) NOT NULL, ref TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY ("key"), UNIQUE (token), FOREIGN KEY(attempt_of) REFERENCES jobs ("key")
);
CREATE INDEX jobs_by_state ON jobs (scope, state);
CREATE INDEX jobs_by_id ON jobs (scope, job_id);
CREATE TABLE tasks (
    job INTEGER NOT NULL, number INTEGER NOT NULL, sweep_values TEXT NOT NULL,
    state TEXT NOT NULL, facts TEXT NOT NULL, "commit" VARCHAR(64) NOT NULL,
    PRIMARY KEY (job, number), FOREIGN KEY(job) REFERENCES jobs ("key")
);
CREATE TABLE claims (
    "key" INTEGER NOT NULL, job INTEGER NOT NULL, task INTEGER, path TEXT NOT NULL,
    kind VARCHAR(8) NOT NULL, role VARCHAR(8) NOT NULL,
    PRIMARY KEY ("key"), FOREIGN KEY(job) REFERENCES jobs ("key")
);
CREATE INDEX claims_by_job ON claims (job);
PRAGMA user_version = 1;
"""

DETAILS = """
{"request": {"outputs": ["out/"], "extra_inputs": [], "expand": null, "assume_ready": null,
"check_outputs": true, "alternative": null, "chain": [], "jobs": null}, "script": "#!/bin/sh",
"submit_line": ["sbatch", "job.sh"], "tasks": [0, 2], "head": "", "worktree": ""}
"""

STATES = ("reserved", "submitting", "open", "finished", "closed", "refused")

CLAIM = "INSERT INTO claims (job, path, kind, role) VALUES (?, ?, ?, ?)"


@pytest.fixture
def old(url: str) -> str:
    """A store of version 1: for each state a job with a folder, a glob and a log."""
    Path(file_of(url)).parent.mkdir()
    with sqlite3.connect(file_of(url)) as connection:
        connection.executescript(VERSION_1)
        for key, state in enumerate(STATES, start=1):
            connection.execute(
                "INSERT INTO jobs VALUES (?, '', ?, ?, 'slurm', '', ?, '2024-05-01T12:00:00+00:00',"
                " NULL, 'sbatch job.sh', '', '[]', '', ?, NULL, '', '', '')",
                (key, f"token-{key}", state, str(key), DETAILS.strip().replace("\n", " ")),
            )
            connection.execute(CLAIM, (key, f"{state}/out", "folder", "output"))
            connection.execute(CLAIM, (key, f"{state}/*.txt", "glob", "output"))
            connection.execute(CLAIM, (key, f"slurm-{key}_[0].out", "file", "log"))
    return url


def test_an_older_store_is_migrated_with_all_that_is_in_it(old: str) -> None:
    with open_store(old) as store:
        jobs = store.open_jobs()
    assert [job.state.value for job in jobs] == ["reserved", "submitting", "open"]
    log = Claim("slurm-3_[0].out", ClaimKind.FILE, ClaimRole.LOG)
    assert jobs[2].claims == (claim_for("open/out/"), claim_for("open/*.txt"), log)
    assert (jobs[2].tasks, jobs[2].script) == ((0, 2), "#!/bin/sh")


@pytest.mark.parametrize("state", STATES)
def test_open_jobs_of_an_older_store_hold_their_paths(
    old: str, new_job: NewJob, state: str
) -> None:
    number = STATES.index(state) + 1
    wanted = [f"{state}/out", f"{state}/out/x", f"{state}/a.txt", f"slurm-{number}_[0].out"]
    with open_store(old) as store:
        for path in wanted:
            if state in ("finished", "closed", "refused"):
                store.finished([store.reserve(new_job(path)).unit])
            else:
                with pytest.raises(OutputsClaimed, match=rf"\(job {number}\)"):
                    store.reserve(new_job(path))
        store.reserve(new_job(f"{state}/other", f"slurm-{number}_0.out"))


def layout(url: str) -> dict[str, list[tuple[object, ...]]]:
    """The version, columns of each table, and indexes."""
    with sqlite3.connect(file_of(url)) as connection:

        def ask(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query).fetchall()

        tables = [f"pragma_table_info('{name}')" for name in ("jobs", "tasks", "claims")]
        indexes = "SELECT name, tbl_name, lower(sql) FROM sqlite_master WHERE type = 'index'"
        return {
            "version": ask("PRAGMA user_version"),
            "indexes": sorted(ask(indexes), key=str),
            **{table: ask(f"SELECT * FROM {table}") for table in tables},
        }


def test_an_older_store_gets_the_layout_of_a_new_one(old: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    for url in (old, new):
        with open_store(url):
            pass
    assert layout(old) == layout(new)
    assert layout(old)["version"] == [(SCHEMA_VERSION,)]


def test_of_many_who_open_an_older_store_one_migrates_it(old: str) -> None:
    spellings = ["new/x", "new/", "open/out/x"] * 4
    assert Counter(contend(old, *spellings)) == {0: 1, 3: 11}
    with open_store(old) as store:
        assert len(store.open_jobs()) == 4


def test_a_migration_that_fails_leaves_all_as_it_was(old: str) -> None:
    with sqlite3.connect(file_of(old)) as connection:
        connection.execute("DROP TABLE jobs")
    before = Path(file_of(old)).read_bytes()
    with pytest.raises(StoreUnusable, match="lacks a table"), open_store(old):
        pass
    assert Path(file_of(old)).read_bytes() == before


def test_what_an_older_program_still_claims_counts(old: str, new_job: NewJob) -> None:
    """It had opened the store before that was migrated, and knows nothing of stems."""
    with open_store(old) as store:
        with sqlite3.connect(file_of(old)) as connection:
            connection.execute(CLAIM, (3, "late/x", "file", "output"))
        with pytest.raises(OutputsClaimed, match=r"late \(job 3\)"):
            store.reserve(new_job("late"))
        store.reserve(new_job("other"))


@pytest.fixture
def of_version_3(old: str) -> str:
    """The same as version 3 left it: the open job is an array, the finish of which was killed."""
    with connected(old, 5) as connection, writing(connection):
        for step in MIGRATIONS[:2]:
            step(connection)
        connection.exec_driver_sql("PRAGMA user_version = 3")
    with sqlite3.connect(file_of(old)) as connection:
        connection.execute("UPDATE jobs SET [commit] = 'c0ffee', ref = 'refs/heads/main'")
        for task in (0, 2):
            connection.execute(
                "INSERT INTO claims (job, task, path, kind, role, stem) VALUES (3, ?, ?, ?, ?, ?)",
                (task, f"of/{task}", "file", "output", f"of/{task}/"),
            )
            connection.execute(
                "INSERT INTO tasks VALUES (3, ?, '{}', 'COMPLETED', '{}', ?)",
                (task, "c0ffee" * (task == 0)),
            )
    return old


def test_an_open_array_of_version_3_is_no_sweep(of_version_3: str, new_job: NewJob) -> None:
    with open_store(of_version_3) as store:
        array = store.open_jobs()[2]
        assert (array.tasks, array.parts, array.request.sweep) == ((0, 2), (), ())
        assert {claim.path: claim.task for claim in array.claims if claim.task is not None} == {
            "of/0": 0,
            "of/2": 2,
        }
        assert (array.commit, array.ref) == ("c0ffee", "refs/heads/main")
        assert store.left_out(array) == {2}
        with pytest.raises(OutputsClaimed, match="job 3"):
            store.reserve(new_job("of/2"))
        store.finished([array.unit])
        assert len(store.open_jobs()) == 2
        store.reserve(new_job("of/2"))
    assert layout(of_version_3)["version"] == [(SCHEMA_VERSION,)]
