"""Python's garbage collector, where it would cost more than it gains."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Make thousands of objects without being searched for garbage on the way."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import a large library without being searched for garbage.

    What it makes at its import stays until the end. The collector would look through all of it
    several times on the way, and once more when the program exits: a quarter of the time of a
    short command. A program of the command line is told that nothing of it will ever be garbage
    (``gc.freeze``), which holds for all that there is by then, and so may be said of imports only.
    In a Python session, where it would hold for the user's own objects too, the collector rests
    meanwhile, and no more.
    """
    from datalad import get_apimode

    with paused():
        try:
            yield
        finally:
            if get_apimode() == "cmdline":
                gc.freeze()
