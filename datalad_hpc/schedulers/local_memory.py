"""How much memory a task of the local scheduler had, as far as the kernel can tell."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that ``ru_maxrss`` counts in (getrusage(2))."""


def own_memory() -> int:
    """Bytes that this program had at most so far.

    What getrusage(2) says counts in whoever started it, which may be large;
    ``VmHWM`` (proc(5)), where there is one, begins with the program itself.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def peak_memory(maxrss: int, floor: int) -> int | None:
    """Bytes that a task had at most; None where that cannot be told.

    The kernel counts what the task's process was before it became the script:
    a copy of the dispatcher. A number that is not above the dispatcher's own
    says nothing of the task.

    Parameters
    ----------
    maxrss:
      ``ru_maxrss`` of the task's process and its children.
    floor:
      Bytes that the dispatcher had when it started the task.
    """
    used = maxrss * MAXRSS_UNIT
    return used if used > floor else None
