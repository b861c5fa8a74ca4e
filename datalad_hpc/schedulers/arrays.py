"""Index lists of array jobs: what ``--array`` asks for, and what is still pending.

The notation is that of the man page of sbatch; the limits are those of
``MaxArraySize`` in the man page of slurm.conf.
"""

from __future__ import annotations

import re

from datalad_hpc.errors import BadRequest

LARGEST_INDEX = 4_000_000
"""No Slurm can be configured to take more; a site allows fewer, mostly 1000."""

ELEMENT = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?(?:%[0-9]*)?")
"""An index or a range, with a step or without; a limit may stand behind any of them."""


def array_indices(spec: str) -> tuple[int, ...]:
    """Indices that a value of ``--array`` stands for, such as ``0-15:4`` or ``1,3,7-9%2``.

    Returns
    -------
    tuple of int
      Sorted, each once. How many may run at a time (``%``) is left aside.

    Raises
    ------
    BadRequest
      Slurm would refuse it.
    """
    indices: set[int] = set()
    # Slurm takes the brackets with which it prints such lists, and skips empty elements.
    for element in filter(None, _without_brackets(spec).split(",")):
        indices.update(_element_indices(element, spec))
    if not indices:
        raise BadRequest(f"--array={spec} names no task: write it like 0-9 or 1,4,7-9")
    return tuple(sorted(indices))


def array_limit(spec: str) -> int | None:
    """How many tasks may run at a time by a value of ``--array``; ``None`` without a limit."""
    found = re.search(r"%([0-9]+)", spec)
    # Slurm takes 0 for no limit.
    return int(found[1]) or None if found else None


def pending_indices(text: str) -> tuple[int, ...] | None:
    """Indices in what squeue and sacct print for pending tasks, such as ``[0,3,6,9,20%2]``.

    Returns
    -------
    tuple of int or None
      ``None`` where the list cannot be trusted: long lists are cut with
      ``...``, or without any sign at the width of a column.
    """
    if text.startswith("[") != text.endswith("]"):
        return None
    try:
        return array_indices(text)
    except BadRequest:
        return None


def _without_brackets(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _element_indices(element: str, spec: str) -> range:
    match = ELEMENT.fullmatch(element)
    if match is None:
        raise BadRequest(f"--array={spec} cannot be read at '{element}': write it like 0-9 or 1,4")
    first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or step == 0:
        raise BadRequest(f"'{element}' in --array={spec} names no task: write it like 0-9 or 0-9:2")
    if last > LARGEST_INDEX:
        raise BadRequest(f"--array={spec} goes beyond {LARGEST_INDEX}, the largest index of Slurm")
    return range(first, last + 1, step)
