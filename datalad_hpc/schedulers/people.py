"""Names of users, as this machine knows them."""

from __future__ import annotations

import contextlib
import pwd
from functools import cache


@cache
def user_of(number: str) -> str:
    """Name of the user with a number; the number where this machine has no such user."""
    with contextlib.suppress(KeyError, ValueError):
        return pwd.getpwuid(int(number)).pw_name
    return number
