"""A file that grows, is cut short, replaced, or is not there yet: what is new in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from datalad_hpc.following.reading import BLOCK, start


class Tail:
    """Reads what is added to a file.

    The file is opened anew each time, since that is when a network file system looks whether it
    has changed; what is left in one that was replaced is read before the new one.
    """

    def __init__(
        self, find: Callable[[], str | None], lines: int | None = None, most: int | None = None
    ) -> None:
        """Take what finds the file.

        Parameters
        ----------
        find:
          Gives the path of the file, ``None`` while there is none.
        lines, most:
          How many lines, or bytes, of what is there already are wanted.
        """
        self._find = find
        self._wanted = (lines, most)
        self._file: BinaryIO | None = None
        self._at = 0
        self.path = ""
        """Where the file is; empty while there is none."""
        self.left_out = 0
        """Bytes at its beginning that were not wanted."""
        self.begun_again = 0
        """How often it was cut short or replaced."""

    def read(self) -> Iterator[bytes]:
        """What was added since the last time."""
        file = self._opened()
        if file is None:
            yield from self._rest()
            return
        if self._file is None:
            self._at = self.left_out = start(file, *self._wanted)
        elif not os.path.samestat(os.fstat(self._file.fileno()), os.fstat(file.fileno())):
            yield from self._rest()
            self._begin_again()
        self.close()
        self._file = file
        if os.fstat(file.fileno()).st_size < self._at:
            self._begin_again()
        yield from self._rest()

    def _opened(self) -> BinaryIO | None:
        path = self._find()
        if path is None:
            return None
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            return None
        self.path = path
        return file

    def _begin_again(self) -> None:
        self._at = 0
        self.begun_again += 1

    def _rest(self) -> Iterator[bytes]:
        """All that there is behind what was read in the file as it was opened."""
        while self._file and (block := os.pread(self._file.fileno(), BLOCK, self._at)):
            self._at += len(block)
            yield block

    def close(self) -> None:
        """Let the file go."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
