"""Inputs go out to an alternative directory, outputs come back."""
