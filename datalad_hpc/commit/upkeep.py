"""Git's own clean-up, which ``git commit`` ends with, and so do we.

Each call of fast-import leaves a pack or loose objects. Whether there are too
many of them is for Git to say, by the user's settings (``gc.auto`` and its kin).
What a later finish has not yet referred to is kept by its age
(``gc.pruneExpire``, two weeks unless the user wants otherwise).
"""

from __future__ import annotations

import logging

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository

lgr = logging.getLogger("datalad.hpc.commit.upkeep")

_WRONG_OPTION = 129
"""Exit code of Git for an option that it does not know."""


def let_git_clean_up(repository: Repository) -> None:
    """Let Git tidy a repository if it finds that necessary; in the background as a rule."""
    settings = repository.settings
    if not settings.is_on("maintenance.auto", default=True):
        return
    in_gc = settings.is_on("gc.autodetach", default=True)
    detached = settings.is_on("maintenance.autodetach", default=in_gc)
    # Before Git 2.47 there is no such option: there gc goes to the background of its own accord.
    ended = _maintain(repository, "--detach" if detached else "--no-detach")
    if ended.code == _WRONG_OPTION:
        ended = _maintain(repository)
    if ended.complaint:
        lgr.warning("Git's clean-up of %s says: %s", repository.path, ended.complaint)


def _maintain(repository: Repository, *options: str) -> process.Ended:
    argv = ("git", "maintenance", "run", "--auto", "--quiet", *options)
    return process.run(argv, folder=repository.path, environment=repository.environment())
