"""What can stop a measurement."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Something did not do what it should, so that a figure would mean nothing."""


class Unavailable(BenchmarkError):
    """This machine lacks what a scenario needs; it is left out."""
