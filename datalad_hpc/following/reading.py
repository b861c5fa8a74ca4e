"""The end of a file, without a look at its beginning."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

BLOCK = 2**20
"""Bytes that are read at a time."""


def start_of_lines(file: BinaryIO, number: int) -> int:
    """Where the last lines of a file begin, in bytes; a last line may lack its end."""
    if number <= 0:
        return file.seek(0, os.SEEK_END)
    size = at = file.seek(0, os.SEEK_END)
    # The newline at the very end begins no further line.
    left = number + _ends_in(file, size)
    while at:
        begin = max(0, at - BLOCK)
        file.seek(begin)
        block = file.read(at - begin)
        found = len(block)
        while left and (found := block.rfind(b"\n", 0, found)) >= 0:
            left -= 1
        if not left:
            return begin + found + 1
        at = begin
    return 0


def _ends_in(file: BinaryIO, size: int) -> int:
    """Whether a file ends with a newline."""
    if not size:
        return 0
    file.seek(size - 1)
    return int(file.read(1) == b"\n")


def start_of_bytes(file: BinaryIO, number: int) -> int:
    """Where the whole lines begin that lie in so many bytes at the end."""
    size = file.seek(0, os.SEEK_END)
    if size <= number:
        return 0
    file.seek(size - number - 1)
    file.readline(number)
    at = file.tell()
    # One line may be all there is.
    return at if at < size else size - number


def start(file: BinaryIO, lines: int | None, most: int | None) -> int:
    """Where to begin to show a file."""
    if lines is not None:
        return start_of_lines(file, lines)
    return start_of_bytes(file, most) if most is not None else 0


def blocks(file: BinaryIO, at: int) -> Iterator[bytes]:
    """All that there is from a position on."""
    file.seek(at)
    while block := file.read(BLOCK):
        yield block


def last_lines(file: BinaryIO, number: int, most: int = BLOCK) -> bytes:
    """The last lines, but no more than some bytes of them."""
    size = file.seek(0, os.SEEK_END)
    at = max(start_of_lines(file, number), size - most)
    file.seek(at)
    return file.read(most)


def opened(path: str, content: bytes | None) -> BinaryIO:
    """A file, or what it would hold.

    Raises
    ------
    OSError
      It cannot be read.
    """
    return io.BytesIO(content) if content is not None else open(path, "rb")
