"""SIGINT, SIGTERM and SIGHUP in the middle of a command: a clean stop, and how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, stand_in
from tests.commands.soundness import assert_sound
from tests.helpers import wait_for

HELD = "echo $$ > FOLDER/reached; until test -e FOLDER/go; do sleep 0.05; done; "
"""In a stand-in: say that it was reached, and wait."""


def hold(folder: Path, program: str, where: str = "") -> None:
    """Put a stand-in before a program that waits when called with a certain argument."""
    held = HELD.replace("FOLDER", str(folder))
    if where:
        held = f'case " $* " in *" {where} "*) {held};; esac; '
    stand_in(folder, program, f'{held} exec REAL "$@"\n')


def release(folder: Path, program: str) -> None:
    """Let the program go on that is held, and put the real one back."""
    (folder / "go").touch()
    (folder / program).unlink()


def started(
    lab: Lab, *arguments: str | Path, prelude: str = "", through: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """One of our commands as a shell starts it: in a process group of its own.

    Parameters
    ----------
    prelude:
      Python that is run before.
    through:
      A program that starts it.
    """
    code = "import sys\nfrom datalad.cli.main import main\n"
    code += f"{prelude}\nmain(['datalad', *sys.argv[1:]])"
    argv: list[Any] = [*through, sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        argv,
        cwd=lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """As the system does: Ctrl-C and the end of a terminal reach the whole group."""
    if number is signal.SIGTERM:
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)


def ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """What a stopped command said."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert said.count(f"Stopped by {number.name}") == 1
    assert "Traceback" not in said
    return said


def held(folder: Path) -> int:
    """The process that is held, once it is."""
    wait_for(lambda: (folder / "reached").exists() and (folder / "reached").read_text())
    return int((folder / "reached").read_text())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")


@pytest.fixture
def ready(local_lab: Lab) -> Lab:
    """A dataset with a job that is over."""
    local_lab.script("mkdir -p out; echo x > out/x.dat")
    local_lab.schedule("sbatch job.sh", outputs=["out/"])
    local_lab.wait()
    return local_lab


def assert_finished_once(lab: Lab) -> None:
    """Whatever was stopped, the ordinary next command leaves everything right."""
    lab.finish()
    assert lab.listed() == {}
    assert lab.git("log", "--format=%s").count("[DATALAD SLURM RUN]") == 1
    assert_sound(lab.root)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_schedule_while_inputs_are_retrieved(
    local_lab: Lab, before: Path, number: signal.Signals
) -> None:
    lab = local_lab
    lab.script("echo x > out.txt")
    lab.write("in.dat")
    lab.write("out.txt")
    lab.git("annex", "drop", "--force", "in.dat")
    hold(before, "git-annex")
    command = started(lab, "schedule", "-i", "in.dat", "-o", "out.txt", "sbatch", "job.sh")
    annex = held(before)
    send(command, number)
    said = ended(command, number)
    assert "was not submitted and its outputs are free again" in said
    wait_for(lambda: is_gone(annex), timeout=10)
    release(before, "git-annex")
    (lab.root / "kept").write_text("content\n")
    lab.git("annex", "reinject", "kept", "in.dat")
    assert_sound(lab.root)
    again = lab.schedule("sbatch job.sh", inputs=["in.dat"], outputs=["out.txt"])
    assert again["status"] == "ok"
    lab.wait()
    assert_finished_once(lab)


@pytest.mark.slurm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_schedule_while_sbatch_runs(dataset: Dataset, before: Path, number: signal.Signals) -> None:
    """It waits for the answer, without which nobody would know the job's id."""
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    hold(before, "sbatch")
    command = started(lab, "schedule", "--scheduler=slurm", "-o", "out.txt", "sbatch", "job.sh")
    held(before)
    send(command, number)
    assert (command.poll(), len(lab.listed())) == (None, 1)
    release(before, "sbatch")
    said = ended(command, number)
    (job,) = lab.listed()
    assert f"job {job} on slurm" in said
    assert "had been submitted by then and is tracked" in said
    lab.wait()
    assert_finished_once(lab)


@pytest.mark.slurm
def test_a_second_ctrl_c_does_not_wait(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    hold(before, "sbatch")
    command = started(lab, "schedule", "--scheduler=slurm", "-o", "out.txt", "sbatch", "job.sh")
    held(before)
    command.send_signal(signal.SIGINT)
    assert command.stdout
    for line in command.stdout:
        if "must not be cut short" in line:
            break
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == -signal.SIGINT
    assert [res["slurm_job_status"] for res in lab.listed().values()] == ["SUBMITTING"]
    release(before, "sbatch")
    wait_for(lambda: all(job.isdecimal() for job in lab.listed()))
    lab.wait()
    assert_finished_once(lab)


def test_an_ignored_signal_stays_ignored(ready: Lab, before: Path) -> None:
    """``nohup`` is there to keep a command alive when the terminal goes."""
    hold(before, "git-annex", "add")
    command = started(ready, "finish", through=("nohup",))
    held(before)
    send(command, signal.SIGHUP)
    release(before, "git-annex")
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert_finished_once(ready)


@pytest.mark.slurm
def test_finish_while_sacct_runs(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    lab.schedule("sbatch job.sh", outputs=["out.txt"])
    lab.wait()
    hold(before, "sacct")
    command = started(lab, "finish")
    sacct = held(before)
    send(command, signal.SIGTERM)
    said = ended(command, signal.SIGTERM)
    assert "run `datalad finish` again to go on" in said
    assert is_gone(sacct)
    release(before, "sacct")
    assert len(lab.listed()) == 1
    assert_finished_once(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_finish_while_hashing(ready: Lab, before: Path, number: signal.Signals) -> None:
    hold(before, "git-annex", "add")
    command = started(ready, "finish")
    annex = held(before)
    send(command, number)
    said = ended(command, number)
    assert "still open with their outputs where they are" in said
    assert is_gone(annex)
    release(before, "git-annex")
    assert len(ready.listed()) == 1
    assert_finished_once(ready)


@pytest.mark.parametrize(
    ("step", "committed"), [("fast-import", 0), ("update-ref", 1)], ids=["before", "during"]
)
def test_finish_while_committing(ready: Lab, before: Path, step: str, committed: int) -> None:
    """Before the branch is moved all is dropped; with the move the job is brought to its end."""
    hold(before, "git", step)
    command = started(ready, "finish")
    held(before)
    send(command, signal.SIGTERM)
    if committed:
        (before / "go").touch()
    ended(command, signal.SIGTERM)
    release(before, "git")
    assert ready.git("log", "--format=%s").count("[DATALAD SLURM RUN]") == committed
    assert len(ready.listed()) == 1 - committed
    if committed:
        assert_sound(ready.root)
    assert_finished_once(ready)


def test_finish_between_two_batches(local_lab: Lab, before: Path) -> None:
    """What is committed is reported; the other job waits for the next finish."""
    lab = local_lab
    lab.script("echo $1 > $1.dat")
    for name in ("a", "b"):
        lab.schedule(f"sbatch job.sh {name}", outputs=[f"{name}.dat"])
    lab.wait()
    (before / "count").write_text("")
    second = f"if echo >> {before}/count && test $(wc -l < {before}/count) = 2; then "
    stand_in(
        before,
        "git-annex",
        f'case " $* " in *" add "*) {second} echo $$ > {before}/reached; sleep 60; fi;; esac; '
        'exec REAL "$@"\n',
    )
    small = "import datalad_hpc.finish.completing as completing; completing.BATCH_JOBS = 1"
    command = started(lab, "finish", prelude=small)
    held(before)
    send(command, signal.SIGTERM)
    said = ended(command, signal.SIGTERM)
    assert said.count("committed as") == 1
    (before / "git-annex").unlink()
    assert len(lab.listed()) == 1
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert lab.git("log", "--format=%s").count("[DATALAD SLURM RUN]") == 2
    assert_sound(lab.root)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def test_finish_while_outputs_are_copied_back(
    local_lab: Lab, before: Path, elsewhere: Path
) -> None:
    lab = local_lab
    lab.script("mkdir -p out; for i in 1 2 3; do echo $i > out/$i; done")
    lab.schedule("sbatch job.sh", outputs=["out/"], alt_dir=str(elsewhere))
    lab.wait()
    slow = f"""
import pathlib, shutil, time
copy = shutil.copyfileobj
def slowly(reading, writing, *length):
    content = reading.read()
    reading.seek(0)
    if content == b"2\\n":
        writing.write(b"half")
        writing.flush()
        pathlib.Path({str(before / "reached")!r}).write_text("1")
        time.sleep(60)
    copy(reading, writing, *length)
shutil.copyfileobj = slowly
"""
    command = started(lab, "finish", prelude=slow)
    held(before)
    send(command, signal.SIGTERM)
    ended(command, signal.SIGTERM)
    assert not (lab.root / ".git" / "datalad" / "hpc" / "half").exists()
    assert not (lab.root / "out" / "2").exists()
    assert_finished_once(lab)
    assert [(lab.root / "out" / name).read_text() for name in "123"] == ["1\n", "2\n", "3\n"]
    assert not any(path.is_file() for path in (elsewhere / "out").iterdir())


@pytest.mark.slurm
def test_reschedule_stops_after_the_job_under_way(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("echo $1 > $1.dat")
    for name in ("a", "b"):
        lab.schedule(f"sbatch job.sh {name}", outputs=[f"{name}.dat"])
    lab.wait()
    assert len(lab.finish()) == 2
    hold(before, "sbatch")
    command = started(lab, "reschedule", "--scheduler=slurm", "--since=")
    held(before)
    send(command, signal.SIGINT)
    release(before, "sbatch")
    said = ended(command, signal.SIGINT)
    (job,) = lab.listed()
    assert f"job {job} on slurm" in said
    assert "no other was" in said
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"]
    assert_sound(lab.root)


@pytest.mark.slurm
def test_from_python_the_submission_is_brought_to_its_end(dataset: Dataset, before: Path) -> None:
    """There Ctrl-C stays Python's own exception, and SIGTERM what the caller has made of it."""
    lab = Lab(dataset, "slurm")
    lab.script("echo x > out.txt")
    hold(before, "sbatch")
    code = """
import signal
from datalad.api import schedule
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
try:
    schedule("sbatch job.sh", outputs=["out.txt"], scheduler="slurm")
except KeyboardInterrupt:
    print("interrupted")
now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
print("as before" if now == before else "changed")
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", code], cwd=lab.root, stdout=subprocess.PIPE, text=True
    )
    held(before)
    caller.send_signal(signal.SIGINT)
    release(before, "sbatch")
    said, _ = caller.communicate(timeout=60)
    assert (caller.returncode, said.splitlines()[-2:]) == (0, ["interrupted", "as before"])
    (job,) = lab.listed()
    assert job.isdecimal()
    lab.wait()
    assert_finished_once(lab)
