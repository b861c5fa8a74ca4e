"""Exit codes of commands that tell something by them without having failed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

_codes: list[int] = []
"""Those that the command that is running has told."""


def tell_exit_code(code: int) -> None:
    """Say what the command line is to end with, if nothing failed; the largest one counts."""
    _codes.append(code)


def with_exit_code(call: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end with the code that it told.

    To stand around ``eval_results``. DataLad's command line takes exit codes of what it raises
    itself for failed results. Who calls from Python gets results alone.
    """

    @functools.wraps(call)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        from datalad import get_apimode

        _codes.clear()
        results = call(*arguments, **options)
        followed = get_apimode() == "cmdline" and inspect.isgenerator(results)
        return _followed(results) if followed else results

    return wrapped


def _followed(results: Iterator[Any]) -> Iterator[Any]:
    from datalad.support.exceptions import IncompleteResultsError

    yield from results
    if code := max(_codes, default=0):
        raise IncompleteResultsError(failed=[{"exit_code": code}])
