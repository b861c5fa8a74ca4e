"""A value that a job may have several of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One of the jobs that a submission program has made."""

    job_id: str
    cluster: str = ""
    token: str = ""
    """Its own; empty where all that is known of it is that the program named it."""
    tasks: tuple[int, ...] | None = None
    """Array indices; None for a plain job."""
    submit_line: tuple[str, ...] = ()
    script: str = ""
    """Text of its batch script."""
