"""The only module that starts a process.

Programs get argument lists, never a shell, and streams are bytes, so that
names with blanks, quotes or newlines arrive as they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from datalad_hpc.errors import ProcessFailed, ProcessTimedOut, ProgramMissing

GRACE = 3.0
"""Seconds for a program to clean up behind itself."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended: exit code (negative: minus the signal) and its streams."""

    code: int
    output: bytes
    errors: bytes

    @property
    def text(self) -> str:
        """Standard output, undecodable bytes kept as surrogates."""
        return os.fsdecode(self.output)

    @property
    def complaint(self) -> str:
        """Standard error without surrounding blanks, fit for a sentence."""
        return self.errors.decode(errors="replace").strip()


def run(
    argv: Sequence[str],
    *,
    folder: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    inherit: Sequence[int] = (),
) -> Ended:
    """Run a program to its end, whatever its exit code.

    Parameters
    ----------
    argv:
      Program and arguments.
    folder:
      Where it runs.
    stdin:
      All that it can read.
    environment:
      Its whole environment; ours by default.
    timeout:
      Seconds, after which it and all that it started are killed.
    inherit:
      File descriptors that stay open in the program.

    Raises
    ------
    ProgramMissing
      The program is not there.
    ProcessTimedOut
      It did not end in time.
    ProcessFailed
      It could not be started.
    """
    with _start(argv, folder, environment, inherit) as process:
        try:
            output, errors = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            _end_group(process)
            raise ProcessTimedOut(
                f"{argv[0]} did not answer within {timeout:g} seconds and was stopped"
            ) from None
        except BaseException:
            _end_group(process)
            raise
    return Ended(process.returncode, output, errors)


def check(argv: Sequence[str], **options: object) -> Ended:
    """Like :func:`run`, but an exit code other than 0 raises ProcessFailed."""
    ended = run(argv, **options)  # type: ignore[arg-type]
    if ended.code:
        raise ProcessFailed(
            f"{' '.join(argv[:4])} … failed (exit code {ended.code}): {ended.complaint}"
        )
    return ended


Talk = contextlib.AbstractContextManager["Conversation"]


@contextlib.contextmanager
def talking(
    argv: Sequence[str],
    *,
    folder: str | Path,
    environment: Mapping[str, str] | None = None,
    errors: IO[bytes] | None = None,
) -> Iterator[Conversation]:
    """A program that answers requests one by one for as long as the context lasts.

    Parameters
    ----------
    argv, folder, environment:
      As in :func:`run`.
    errors:
      A file for its standard error, which is ours otherwise: DataLad's own
      runners do the same, and a pipe that nobody reads would block it.

    Raises
    ------
    ProgramMissing
      The program is not there.
    ProcessFailed
      It could not be started, or ended before it was told all.
    """
    with _in_plain_words(argv, folder):
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Ctrl-C is for us: it must not end the program in the middle of a file.
            start_new_session=True,
        )
    assert process.stdin
    assert process.stdout
    try:
        with process:
            try:
                yield Conversation(process.stdin, process.stdout, process)
                process.stdin.close()
            except BaseException:
                _break_off(process)
                raise
    except BrokenPipeError:
        raise ProcessFailed(
            f"{argv[0]} ended ({process.returncode}) before it had answered"
        ) from None


@dataclass(frozen=True)
class Conversation:
    """The two streams of a program that :func:`talking` started."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    _process: subprocess.Popen[bytes]

    @property
    def code(self) -> int | None:
        """Its exit code as in :class:`Ended`; none before the end of the context."""
        return self._process.returncode

    def stop(self) -> None:
        """End the program, from any thread; harmless where it has ended."""
        if self._process.poll() is None:
            _end_group(self._process)


def detach(
    argv: Sequence[str],
    *,
    folder: str | Path,
    environment: Mapping[str, str] | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    output: IO[bytes] | int = subprocess.DEVNULL,
    errors: IO[bytes] | int = subprocess.DEVNULL,
    inherit: Sequence[int] = (),
    prepare: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, without our terminal, and go on.

    It outlives us and the shell; whoever keeps the returned process can reap it.

    Parameters
    ----------
    argv, folder, environment, inherit:
      As in :func:`run`.
    stdin, output, errors:
      Its streams; nothing by default.
    prepare:
      Called in the new process just before it becomes the program. For callers
      without threads only: a fork has none of their locks' owners.

    Raises
    ------
    ProgramMissing
      The program is not there.
    ProcessFailed
      ``prepare`` raised an error; the program was not started.
    """
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=output,
            stderr=errors,
            pass_fds=inherit,
            preexec_fn=prepare,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ProgramMissing(_missing(argv[0], folder)) from None
    except subprocess.SubprocessError as error:
        raise ProcessFailed(f"{argv[0]} could not be prepared: {error}") from error


def leave(process: subprocess.Popen[bytes]) -> None:
    """Let a detached program run on, whether it ends before us or after us."""
    # Python complains of a process that runs on when its object goes: it need not care.
    process.returncode = 0
    _left[:] = [pid for pid in (*_left, process.pid) if _is_ours(pid)]


_left: list[int] = []
"""Programs that :func:`leave` was called for and that were not seen to end."""


def _is_ours(pid: int) -> bool:
    """Whether a child still runs; one that has ended is buried."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _start(
    argv: Sequence[str],
    folder: str | Path,
    environment: Mapping[str, str] | None,
    inherit: Sequence[int],
) -> subprocess.Popen[bytes]:
    with _in_plain_words(argv, folder):
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            pass_fds=inherit,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A group of its own: a time limit has to end the children as well.
            start_new_session=True,
        )


@contextlib.contextmanager
def _in_plain_words(argv: Sequence[str], folder: str | Path) -> Iterator[None]:
    """Say why a program could not be started: it may also be too long a list of arguments."""
    try:
        yield
    except FileNotFoundError:
        raise ProgramMissing(_missing(argv[0], folder)) from None
    except OSError as error:
        raise ProcessFailed(
            f"{argv[0]} could not be started in {folder}: {error.strerror}"
        ) from error


def _missing(program: str, folder: str | Path) -> str:
    if not os.path.isdir(folder):
        return f"{program} could not be started: the folder {folder} does not exist"
    return f"{program} is needed and not installed (or not on PATH)"


def _break_off(process: subprocess.Popen[bytes]) -> None:
    """End a program that does not read any more what we had for it."""
    _end_group(process)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started; Git removes its lock files if it is asked politely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
