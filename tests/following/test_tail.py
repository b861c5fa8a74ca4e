"""What is new in a file that grows, is cut short, or replaced."""

from __future__ import annotations

import io
import os
from itertools import product
from pathlib import Path

import pytest

from datalad_hpc.following import reading
from datalad_hpc.following.reading import last_lines, start_of_bytes, start_of_lines
from datalad_hpc.following.tail import Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def tail_of(log: Path, lines: int | None = None) -> Tail:
    return Tail(lambda: str(log), lines)


def new(tail: Tail) -> bytes:
    return b"".join(tail.read())


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_what_is_there_and_what_is_added(log: Path) -> None:
    tail = tail_of(log)
    assert new(tail) == b""
    assert tail.path == ""
    append(log, b"one\ntw")
    assert new(tail) == b"one\ntw"
    assert new(tail) == b""
    append(log, b"o\n\xff\x00\r")
    assert new(tail) == b"o\n\xff\x00\r"
    assert tail.begun_again == 0
    tail.close()


def test_from_the_last_lines_on(log: Path) -> None:
    log.write_bytes(b"1\n2\n3\n")
    tail = tail_of(log, 2)
    assert new(tail) == b"2\n3\n"
    assert tail.left_out == 2
    append(log, b"4\n")
    assert new(tail) == b"4\n"


def test_a_file_that_is_cut_short_begins_again(log: Path) -> None:
    append(log, b"long text\n")
    tail = tail_of(log)
    new(tail)
    os.truncate(log, 0)
    assert new(tail) == b""
    append(log, b"new\n")
    assert new(tail) == b"new\n"
    assert tail.begun_again == 1


def test_what_is_left_of_a_replaced_file_comes_first(log: Path) -> None:
    append(log, b"old\n")
    tail = tail_of(log)
    new(tail)
    append(log, b"rest\n")
    log.rename(log.with_name("old"))
    log.write_bytes(b"a file that is longer\n")
    assert new(tail) == b"rest\na file that is longer\n"
    assert tail.begun_again == 1


def test_a_file_that_is_gone_is_read_to_its_end(log: Path) -> None:
    append(log, b"old\n")
    tail = tail_of(log)
    new(tail)
    append(log, b"rest\n")
    log.unlink()
    assert new(tail) == b"rest\n"
    append(log, b"new\n")
    assert new(tail) == b"new\n"


TEXTS = [bytes(text) for length in range(7) for text in product(b"a\n", repeat=length)]


@pytest.mark.parametrize("block", [1, 2, 3, 10])
def test_the_last_lines(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """As split into lines, whatever the size of the blocks that are read."""
    monkeypatch.setattr(reading, "BLOCK", block)
    for text, number in product(TEXTS, range(5)):
        lines = text.splitlines(keepends=True)
        expected = b"".join(lines[-number:]) if number else b""
        assert text[start_of_lines(io.BytesIO(text), number) :] == expected, (text, number)


def test_whole_lines_in_so_many_bytes() -> None:
    for text, number in product(TEXTS, range(1, 8)):
        left = text[start_of_bytes(io.BytesIO(text), number) :]
        assert text.endswith(left)
        assert len(left) <= number
        if len(text) > number > max(map(len, text.splitlines(keepends=True))):
            assert text[: len(text) - len(left)].endswith(b"\n"), (text, number)


def test_a_line_without_end_is_cut() -> None:
    assert last_lines(io.BytesIO(b"x" * 100), 3, most=10) == b"x" * 10
