"""Python's garbage collector, where it would cost more than it gains."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Import much without being searched for garbage.

    What a large library makes at its import stays until the end. The collector
    would look through all of it several times on the way, and once more when the
    program exits: a quarter of the time of a short command. A program of the
    command line is told that nothing of it will ever be garbage (``gc.freeze``);
    in a Python session, where that would hold for the user's own objects too, the
    collector only rests meanwhile.
    """
    from datalad import get_apimode

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if get_apimode() == "cmdline":
            gc.freeze()
        if was_enabled:
            gc.enable()
