"""What the schedulers say, and no older than can be acted upon."""

from __future__ import annotations

import time
from collections.abc import Callable

from datalad_hpc.errors import HpcError
from datalad_hpc.polling import STALE, Answers


class Recent:
    """Answers that are asked for again once they are stale.

    Many jobs take their time to be submitted, and Slurm or an administrator may requeue one of
    them meanwhile: submitted again by us, it would run twice.

    Parameters
    ----------
    ask:
      Asks all schedulers that are concerned, each once.
    """

    def __init__(self, ask: Callable[[], Answers]) -> None:
        self._ask = ask
        self._told: set[str] = set()
        self._answers, self._when = ask(), time.monotonic()

    def __call__(self) -> Answers:
        """What is known now: nothing of jobs whose scheduler gave no usable answer."""
        if time.monotonic() - self._when > STALE:
            self._answers, self._when = self._ask(), time.monotonic()
        return self._answers

    def failures(self) -> list[HpcError]:
        """Why schedulers gave none, each said once."""
        new = [error for error in self._answers.failures if str(error) not in self._told]
        self._told.update(map(str, new))
        return new
