"""Programs are started, fed, limited in time, and let go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datalad_hpc import process
from datalad_hpc.errors import ProcessFailed, ProcessTimedOut, ProgramMissing
from tests.helpers import wait_for


def test_streams_and_exit_code_come_back_as_they_are(tmp_path: Path) -> None:
    script = 'cat; printf "odd \\377" >&2; pwd; exit 3'
    ended = process.run(["sh", "-c", script], folder=tmp_path, stdin=b"\xfe\0in\n")
    assert (ended.code, ended.output) == (3, b"\xfe\0in\n" + os.fsencode(tmp_path) + b"\n")
    assert ended.text.startswith("\udcfe\0in")
    assert ended.complaint == "odd �"


def test_arguments_need_no_quotes(tmp_path: Path) -> None:
    odd = ["a b", "'", '"', "$HOME", "*", "-n", "\n", "ä", "; false", "\udcff"]
    ended = process.run(["printf", "%s\\0", *odd], folder=tmp_path)
    assert ended.text.split("\0")[:-1] == odd


def test_an_environment_is_the_whole_environment(tmp_path: Path) -> None:
    assert (
        process.run(["/usr/bin/env"], folder=tmp_path, environment={"ONE": "1"}).text == "ONE=1\n"
    )


def test_much_in_and_much_out_do_not_block_each_other(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 3
    ended = process.run(["sh", "-c", "tee /dev/stderr"], folder=tmp_path, stdin=data, timeout=60)
    assert (ended.output, ended.errors) == (data, data)


def test_a_program_that_does_not_read_is_no_error(tmp_path: Path) -> None:
    assert process.run(["true"], folder=tmp_path, stdin=b"x" * (1 << 20)).code == 0


def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    assert process.run(["sh", "-c", "kill -9 $$"], folder=tmp_path).code == -signal.SIGKILL


def test_a_time_limit_ends_the_children_too(tmp_path: Path) -> None:
    script = "sleep 300 & echo $! > child; echo $$ > parent; wait"
    start = time.monotonic()
    with pytest.raises(ProcessTimedOut, match=r"sh did not answer within 0\.5 seconds"):
        process.run(["sh", "-c", script], folder=tmp_path, timeout=0.5)
    assert time.monotonic() - start < 10
    for name in ("child", "parent"):
        pid = int((tmp_path / name).read_text())
        wait_for(lambda pid=pid: _is_gone(pid), timeout=10)


def test_an_interrupted_wait_leaves_no_process(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            process.run(["sh", "-c", "echo $$ > pid; sleep 300"], folder=tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: _is_gone(pid), timeout=10)


@pytest.mark.parametrize("start", ["run", "check", "talking", "detach"])
def test_a_missing_program_is_named(start: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="no-such-program is needed and not installed"):
        _started(start, ["no-such-program"], tmp_path)


@pytest.mark.parametrize("start", ["run", "check", "talking", "detach"])
def test_a_missing_folder_is_not_taken_for_a_missing_program(start: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match=r"the folder .*/gone does not exist"):
        _started(start, ["true"], tmp_path / "gone")


@pytest.mark.parametrize("start", ["run", "check", "talking"])
def test_what_cannot_be_started_is_an_error_with_a_reason(start: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    with pytest.raises(ProcessFailed, match=r"could not be started .*[Pp]ermission denied"):
        _started(start, [str(tmp_path / "text")], tmp_path)
    with pytest.raises(ProcessFailed, match=r"could not be started .*Not a directory"):
        _started(start, ["true"], tmp_path / "text")
    with pytest.raises(ProcessFailed, match=r"could not be started .*too long"):
        _started(start, ["true", "x" * 3_000_000], tmp_path)


def _started(how: str, argv: list[str], folder: Path) -> None:
    if how == "talking":
        with process.talking(argv, folder=folder):
            pass
    else:
        getattr(process, how)(argv, folder=folder)


def test_check_tells_what_the_program_said(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"sh -c .* failed \(exit code 4\): it was me"):
        process.check(["sh", "-c", "echo it was me >&2; exit 4"], folder=tmp_path)
    assert process.check(["echo", "fine"], folder=tmp_path).text == "fine\n"


def test_descriptors_are_handed_on_if_wished(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        script = f"echo here > /dev/fd/{writing}"
        process.check(["sh", "-c", script], folder=tmp_path, inherit=[writing])
        assert os.read(reading, 100) == b"here\n"
        assert process.run(["sh", "-c", script], folder=tmp_path).code
    finally:
        os.close(reading)
        os.close(writing)


def test_a_conversation_goes_back_and_forth(tmp_path: Path) -> None:
    with process.talking(["cat"], folder=tmp_path) as cat:
        for line in (b"one\n", b"two\n"):
            cat.stdin.write(line)
            cat.stdin.flush()
            assert cat.stdout.readline() == line


def test_an_error_in_a_conversation_is_told_and_ends_the_program(tmp_path: Path) -> None:
    pids = []

    def talk() -> None:
        with process.talking(["sh", "-c", "echo $$; exec cat"], folder=tmp_path) as program:
            pids.append(int(program.stdout.readline()))
            program.stdin.write(b"x" * 100)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        talk()
    assert _is_gone(pids[0])


def test_a_program_that_leaves_a_conversation_is_named(tmp_path: Path) -> None:

    def talk() -> None:
        with process.talking(["sh", "-c", "exit 7"], folder=tmp_path) as program:
            assert program.stdout.read() == b""
            program.stdin.write(b"x" * 1_000_000)

    with pytest.raises(ProcessFailed, match=r"sh ended \(7\) before it had answered"):
        talk()


STARTER = """
import sys
from datalad_hpc import process
started = process.detach(["sh", "-c", "sleep 0.6; echo survived > done"], folder=sys.argv[1])
process.leave(started)
print(started.pid)
"""


def test_a_detached_program_outlives_the_session_that_started_it(tmp_path: Path) -> None:
    """The whole group of the starter is killed, as a closing terminal does."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    output, _ = starter.communicate(timeout=60)
    pid = int(output)
    with pytest.raises(ProcessLookupError):
        os.killpg(starter.pid, signal.SIGHUP)
    assert os.getsid(pid) == pid
    wait_for((tmp_path / "done").exists, timeout=20)


def test_a_detached_program_has_the_streams_and_preparation_it_was_given(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        started = process.detach(
            ["sh", "-c", "read line; echo $line; ulimit -c; echo $ONE >&2"],
            folder=tmp_path,
            output=log,
            errors=log,
            environment={"ONE": "1", "PATH": os.environ["PATH"]},
            prepare=_without_cores,
        )
    assert started.wait(timeout=20) == 0
    assert (tmp_path / "log").read_text() == "\n0\n1\n"


def _without_cores() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def test_a_preparation_that_fails_starts_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ProcessFailed, match="touch could not be prepared"):
        process.detach(["touch", "made"], folder=tmp_path, prepare=fail)
    assert not (tmp_path / "made").exists()


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that nobody reaps has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def test_a_program_that_is_given_up_may_clean_up(tmp_path: Path) -> None:
    script = "trap 'echo done > cleaned; exit' TERM; touch ready; while :; do sleep 0.05; done"
    with pytest.raises(ProcessTimedOut):
        process.run(["sh", "-c", script], folder=tmp_path, timeout=1)
    assert (tmp_path / "cleaned").read_text() == "done\n"
