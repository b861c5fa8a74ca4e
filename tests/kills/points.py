"""A process that dies with SIGKILL at one of the points where it changes something.

The points are those at which the state that others see may change: before a file is
opened for writing (and right after, when it is still empty), before one is renamed,
linked or removed, before and right after a program is started, before a program is
told something, and before a transaction of the store is committed. What lies between
two points changes nothing, so that to die before one is to die after the one before.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from datalad_hpc import process
from tests.children import Outcome, start

Reach = Callable[[str], None]
"""Is called at each point, with what is about to happen."""

FILE_EVENTS = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
}
"""Events of Python's own auditing; see the table of audit events in its documentation."""

ELSEWHERE = ("/dev/", "/proc/")

READING = {
    "cat-file",
    "check-attr",
    "config",
    "diff-index",
    "diff-tree",
    "for-each-ref",
    "log",
    "ls-files",
    "ls-tree",
    "merge-base",
    "rev-list",
    "rev-parse",
    "show-ref",
    "sacct",
    "scontrol",
    "squeue",
    "symbolic-ref",
    "var",
    "version",
    "--version",
}
"""Words of programs that only ask: to die before or after one is to die at the point before."""


@dataclass(frozen=True)
class Death:
    """Where a process is to die."""

    point: int
    """Its number, the first being 1."""
    with_children: bool = False
    """Whether its children die with it, as they do when the machine goes down."""


def outcome_of(call: Callable[[], Any], death: Death | None = None) -> Outcome:
    """Do a call in a child process, which may be told to die."""
    if death is None:
        return start(call).outcome()
    return start(call, lambda sender: _watch(_fatal(death, sender))).outcome()


def points_of(call: Callable[[], Any]) -> list[str]:
    """All points that a call comes to, in their order."""
    found: list[str] = []

    def listed() -> list[str]:
        call()
        return found

    points: list[str] = start(listed, lambda _sender: _watch(found.append)).outcome().value
    return points


def _fatal(death: Death, sender: int) -> Reach:
    numbers = itertools.count(1)

    def reach(what: str) -> None:
        if next(numbers) == death.point:
            os.write(sender, what.encode(errors="replace"))
            if death.with_children:
                for pid in _descendants(os.getpid()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def _descendants(top: int) -> list[int]:
    """Processes below one, but for the local scheduler's: a cluster does not die with us."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [top]
    while waiting:
        below = [pid for pid in parents.get(waiting.pop(), []) if not _is_scheduler(pid)]
        found += below
        waiting += below
    return found


def _is_scheduler(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"local_dispatcher" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _watch(reach: Reach) -> None:
    """Call ``reach`` at each point from now on; what Python audits it audits to its end."""
    _watch_files(reach)
    _watch_openings(reach)
    _watch_programs(reach)
    _watch_conversations(reach)
    _watch_store(reach)


def _watch_files(reach: Reach) -> None:
    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name in FILE_EVENTS and not _is_there_already(name, arguments):
            reach(f"{name} {_text(arguments[0])}")

    sys.addaudithook(hook)


def _is_there_already(name: str, arguments: tuple[Any, ...]) -> bool:
    return name == "os.mkdir" and os.path.isdir(arguments[0])


def _watch_openings(reach: Reach) -> None:
    def watched(
        function: Callable[..., Any], emptying: Callable[..., bool | None]
    ) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if not _makes_empty_file(path, emptying(*arguments, **options)):
                return function(path, *arguments, **options)
            reach(f"open {_text(path)}")
            opened = function(path, *arguments, **options)
            reach(f"write {_text(path)}")
            return opened

        return call

    def by_flags(flags: int = 0, *_more: Any, **_options: Any) -> bool | None:
        return bool(flags & os.O_TRUNC) if flags & os.O_CREAT else None

    def by_mode(mode: str = "r", *_more: Any, **_options: Any) -> bool | None:
        return "w" in mode if not {"w", "a", "x"}.isdisjoint(mode) else None

    os.open = watched(os.open, by_flags)
    builtins.open = io.open = watched(io.open, by_mode)


def _makes_empty_file(path: Any, empties: bool | None) -> bool:
    """Whether to open a file changes anything; ``empties`` is None if it may not even create it."""
    if empties is None or isinstance(path, int) or _text(path).startswith(ELSEWHERE):
        return False
    # A file without a name is opened by its folder's.
    return (empties and not os.path.isdir(path)) or not os.path.lexists(path)


def _watch_programs(reach: Reach) -> None:
    original = subprocess.Popen.__init__

    def started(self: Any, argv: Any, *arguments: Any, **options: Any) -> None:
        words = [argv] if isinstance(argv, str | bytes | Path) else list(argv)
        if _only_asks(words):
            original(self, argv, *arguments, **options)
            return
        line = " ".join(map(_text, words[:6]))
        reach(f"start {line}")
        original(self, argv, *arguments, **options)
        reach(f"run {line}")

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


def _only_asks(words: Sequence[Any]) -> bool:
    return not READING.isdisjoint({os.path.basename(_text(word)) for word in words[:8]})


def _watch_conversations(reach: Reach) -> None:
    original = process.talking

    @contextlib.contextmanager
    def talking(argv: Sequence[str], **options: Any) -> Iterator[process.Conversation]:
        with original(argv, **options) as talk:
            if not _only_asks(argv):
                told = _Told(talk.stdin, reach, argv[0])
                talk = process.Conversation(told, talk.stdout, talk._process)  # type: ignore[arg-type]
            yield talk

    process.talking = talking


class _Told:
    """The standard input of a program that changes something with each line."""

    def __init__(self, stream: Any, reach: Reach, name: str) -> None:
        self._stream, self._reach, self._name = stream, reach, name

    def flush(self) -> None:
        self._reach(f"tell {self._name}")
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _watch_store(reach: Reach) -> None:
    @event.listens_for(Engine, "commit")
    def _(connection: Connection) -> None:
        if not connection.get_execution_options().get("reads_only"):
            reach("commit a transaction")


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else str(value)
