"""What more than one test module needs and is no fixture."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], timeout: float = 60, interval: float = 0.05
) -> object:
    """Ask again and again until the answer is true.

    Parameters
    ----------
    condition:
      What is asked.
    timeout:
      Seconds after which the test fails.
    interval:
      Seconds between two questions.

    Returns
    -------
    object
      The answer.
    """
    end = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{condition} did not come true within {timeout:g} seconds")
        time.sleep(interval)
    return answer
