"""A job store that is damaged, cut off, gone, or kept locked by somebody else."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in, text_of
from tests.commands.soundness import assert_sound
from tests.helpers import soak, wait_for

pytestmark = pytest.mark.soak


def store_of(lab: Lab) -> Path:
    return lab.root / ".git" / "datalad" / "hpc" / "jobs.db"


@pytest.fixture
def ready(local_lab: Lab) -> Lab:
    """A dataset with a job that is over."""
    local_lab.script("echo x > $1")
    local_lab.schedule("sbatch job.sh a.txt", outputs=["a.txt"])
    local_lab.wait()
    return local_lab


def every_command(lab: Lab) -> list[dict[str, Any]]:
    """What each command has to say of a store that it cannot use."""
    return [
        *lab.schedule_all("sbatch job.sh b.txt", outputs=["b.txt"]),
        *lab.dataset.finish(list_open_jobs=True, result_renderer="disabled", on_failure="ignore"),
        *lab.finish(),
        *lab.finish(close_failed_jobs=True),
    ]


def cuts(size: int) -> list[int]:
    """Lengths, some of them at the borders of SQLite's pages."""
    return [0, 1, 50, 100, 2048, 4096, 8192, size // 2, size // 4096 // 2 * 4096, size - 4096]


def test_a_store_that_was_cut_off(ready: Lab) -> None:
    """No command starts anew in it, and all is there again once it was restored."""
    store = store_of(ready)
    whole = store.read_bytes()
    for length in cuts(len(whole)):
        store.write_bytes(whole[:length])
        for said in every_command(ready):
            assert said["status"] == "error", (length, text_of(said))
            assert str(store) in text_of(said)
            assert "restore it from a backup, or move it away" in text_of(said), length
        assert store.read_bytes() == whole[:length]
    store.write_bytes(whole)
    assert [res["status"] for res in ready.finish()] == ["ok"]
    assert_sound(ready.root)


def test_rubbish_in_a_store(ready: Lab) -> None:
    """Wherever it is, no command fails in another way than with a sentence."""
    store = store_of(ready)
    whole = store.read_bytes()
    chance = random.Random(4)
    for _ in range(soak(8, 200)):
        start, length = chance.randrange(len(whole)), chance.choice([16, 512, 4096, 20000])
        rubbish = chance.choice([bytes(length), chance.randbytes(length)])
        store.write_bytes((whole[:start] + rubbish + whole[start + length :])[: len(whole)])
        for said in ready.finish():
            assert text_of(said)
        for said in ready.schedule_all("sbatch job.sh c.txt", outputs=["a.txt/c"]):
            assert text_of(said)
    store.write_bytes(whole)


def test_a_store_that_was_moved_away(ready: Lab) -> None:
    store = store_of(ready)
    store.rename(store.with_name("old.db"))
    assert ready.listed() == {}
    assert ready.schedule("sbatch job.sh b.txt", outputs=["b.txt"])["status"] == "ok"
    ready.wait()
    assert [res["status"] for res in ready.finish()] == ["ok"]
    store.with_name("old.db").rename(store)
    assert [res["status"] for res in ready.finish()] == ["ok"]
    assert_sound(ready.root)


def test_an_empty_store_that_never_was_one_is_a_new_one(local_lab: Lab) -> None:
    """A first command was killed before it could write."""
    store = store_of(local_lab)
    store.parent.mkdir(parents=True)
    store.touch()
    local_lab.script("echo x > out.txt")
    assert local_lab.run("sbatch job.sh", outputs=["out.txt"])["status"] == "ok"


HALF_WRITTEN = """
import os, signal, sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA cache_size = 1")
store.execute("BEGIN IMMEDIATE")
store.execute("UPDATE jobs SET state = 'closed', note = ?", ("x" * 200000,))
store.execute("DELETE FROM claims")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moved", [False, True])
def test_a_writer_was_killed_in_the_middle(ready: Lab, moved: bool) -> None:
    """SQLite takes back what its journal says; a journal without its store does no harm."""
    store, journal = store_of(ready), store_of(ready).with_name("jobs.db-journal")
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, store])
    assert journal.stat().st_size > 0
    if moved:
        store.rename(store.with_name("old.db"))
        assert ready.listed() == {}
        assert ready.schedule("sbatch job.sh b.txt", outputs=["b.txt"])["status"] == "ok"
        ready.wait()
    assert [res["status"] for res in ready.finish()] == ["ok"]
    assert not journal.exists()


def hold(store: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Keep a store locked as another process that writes does."""
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(float(sys.argv[2]))"
    )
    argv: list[Any] = [sys.executable, "-c", code, store, str(seconds)]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    return holder


@contextlib.contextmanager
def held(store: Path) -> Iterator[None]:
    holder = hold(store, 600)
    try:
        yield
    finally:
        holder.kill()
        holder.communicate()


def test_every_command_waits_for_a_locked_store(ready: Lab) -> None:
    holder = hold(store_of(ready), soak(3, 30))
    datalad: Any = Path(sys.executable).parent / "datalad"
    commands = [
        ["schedule", "--scheduler=local", "-o", "b.txt", "sbatch", "job.sh", "b.txt"],
        ["finish", "--list-open-jobs"],
        ["finish"],
    ]
    waiting = [
        subprocess.Popen([datalad, *argv], cwd=ready.root, stdout=subprocess.DEVNULL)
        for argv in commands
    ]
    holder.communicate()
    assert waiting[0].wait(60) == 0
    assert [process.wait(60) for process in waiting[1:2]] == [0]
    # It may have met the job that was scheduled at the same time, and is still running.
    assert waiting[2].wait(60) in (0, 1)
    ready.wait()
    ready.finish()
    assert ready.git("log", "--format=%s").count("[DATALAD SLURM RUN]") == 2
    assert_sound(ready.root)


def test_a_store_that_stays_locked(ready: Lab) -> None:
    ready.git("config", "datalad.hpc.store-timeout", "0.2")
    ready.dataset.config.reload(force=True)
    with held(store_of(ready)):
        for said in every_command(ready):
            assert said["status"] == "error"
            assert "another process has kept it locked for 0.2 seconds" in text_of(said)
    assert [res["status"] for res in ready.finish()] == ["ok"]
    assert_sound(ready.root)


def test_ctrl_c_while_waiting_for_the_store(ready: Lab) -> None:
    """It need not wait for the store as well."""
    with held(store_of(ready)):
        code = "from datalad.cli.main import main; main(['datalad', 'finish'])"
        command = subprocess.Popen(
            [sys.executable, "-c", f"print(flush=True); {code}"],
            cwd=ready.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert command.stdout
        descriptors = Path(f"/proc/{command.pid}/fd")
        wait_for(lambda: any(link.resolve() == store_of(ready) for link in descriptors.iterdir()))
        command.send_signal(signal.SIGTERM)
        said, _ = command.communicate(timeout=15)
    assert command.returncode == 143, said
    assert "Stopped by SIGTERM" in said


@pytest.mark.slurm
def test_a_store_that_is_locked_when_slurm_has_the_job(dataset: Dataset, before: Path) -> None:
    """The worst moment: the job runs, and its id cannot be kept."""
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    lab.git("config", "datalad.hpc.store-timeout", "0.5")
    lab.dataset.config.reload(force=True)
    code = f"""
import os, sqlite3, time
store = sqlite3.connect({str(store_of(lab))!r}, isolation_level=None)
store.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
while not os.path.exists({str(before / "go")!r}):
    time.sleep(0.05)
"""
    script = before / "holder.py"
    script.write_text(code)
    reached = before / "reached"
    stand_in(
        before,
        "sbatch",
        f"setsid {sys.executable} {script} > {reached} 2>&1 < /dev/null &\n"
        f'until test -s {reached}; do sleep 0.05; done; exec REAL "$@"\n',
    )
    (said,) = lab.schedule_all("sbatch job.sh", outputs=["out.txt"])
    (before / "go").touch()
    (before / "sbatch").unlink()
    assert said["status"] == "error"
    lab.git("config", "--unset", "datalad.hpc.store-timeout")
    lab.dataset.config.reload(force=True)
    (job,) = lab.listed()
    assert f"Job {job} was submitted to slurm" in text_of(said)
    assert "Do not submit it again" in text_of(said)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert_sound(lab.root)
