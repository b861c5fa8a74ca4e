"""Hooks that ``git commit`` would run, and which commits that are written by us pass over.

A hook checks what one person is about to commit, from the index and the work
tree. Here commits of many jobs are written at once, from trees that are checked
out nowhere: what a hook would see there is not what it was written for. So none
is run, and it is said. ``reference-transaction`` is run by Git as ever.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from datalad_hpc.commit.repository import Repository

OF_A_COMMIT = ("pre-commit", "pre-commit-annex", "prepare-commit-msg", "commit-msg", "post-commit")
"""See githooks(5); git-annex runs its own addition from its ``pre-commit``."""

_ANNEX_CALL = re.compile(rb"(if )?git[ -]annex [^&|;]*$")
"""A line of the hook that git-annex installs, which has nothing to do for our commits."""

_LONGEST_ANNEX_HOOK = 4096
"""In bytes; what is longer is a user's."""


def hooks_passed_over(repository: Repository) -> tuple[str, ...]:
    """Names of the user's hooks that had no part in our commits in a repository."""
    folder = hooks_folder(repository)
    return tuple(name for name in OF_A_COMMIT if _is_users(folder / name))


def hooks_folder(repository: Repository) -> Path:
    """Where Git looks for hooks."""
    configured = repository.settings.values.get("core.hookspath")
    if configured:
        return repository.path / os.path.expanduser(configured)
    return repository.common_dir / "hooks"


def _is_users(hook: Path) -> bool:
    return hook.is_file() and os.access(hook, os.X_OK) and not _is_of_annex(hook)


def _is_of_annex(hook: Path) -> bool:
    if hook.name != "pre-commit":
        return False
    with hook.open("rb") as file:
        text = file.read(_LONGEST_ANNEX_HOOK + 1)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith(b"#")]
    return len(text) <= _LONGEST_ANNEX_HOOK and all(map(_ANNEX_CALL.match, code))
