"""The steps of ``finish``."""
