"""One root for all that can go wrong, a sentence for the user in each.

A sentence says what happened, to which job, what was kept and what to do
next. ``status`` is the status of the DataLad result that the error becomes:
``impossible`` where the request cannot be met as things stand, ``error`` where
something broke.
"""

from __future__ import annotations


class HpcError(Exception):
    """Root of all errors of this extension; its text is meant for the user."""

    status = "error"


class BadRequest(HpcError):
    """The request cannot be met; nothing was changed."""

    status = "impossible"


class ContentMissing(BadRequest):
    """A file is needed whose content is elsewhere; ``path`` says which."""

    def __init__(self, sentence: str, path: str) -> None:
        super().__init__(sentence)
        self.path = path


class OutputsClaimed(BadRequest):
    """An output is reserved by an open job."""


class InputsClaimed(BadRequest):
    """An input is to be made by an open job that was not known of when the job was planned."""


class SubmissionRefused(BadRequest):
    """The scheduler said no; its own words are in the text."""


class SubmissionUncertain(HpcError):
    """The scheduler may or may not have accepted the job."""


class SubmissionUntracked(HpcError):
    """The scheduler has the job, but its id could not be kept."""


class SaveLockHeld(HpcError):
    """Somebody else has been committing for long; nothing was changed."""


class SchedulerUnreachable(HpcError):
    """The scheduler, or its accounting, did not give an answer that can be used."""


class StoreUnusable(HpcError):
    """The job store is locked, unreadable or from a newer version."""


class NotPutBack(HpcError):
    """Outputs could not be made what they were before a job."""


class BrokenRecord(HpcError):
    """A commit message carries our marker, but no record that can be read."""


class CommitFailed(HpcError):
    """Git or git-annex could not record outputs."""


class GitFailed(CommitFailed):
    """A Git command failed; its own words are in the text."""


class ProcessFailed(HpcError):
    """A program that we started ended with an error."""


class ProcessTimedOut(ProcessFailed):
    """A program that we started did not end within its time limit and was killed."""


class ProgramMissing(ProcessFailed):
    """A program that we need is not installed."""
