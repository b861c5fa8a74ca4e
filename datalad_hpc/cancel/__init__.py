"""The steps of ``hpc-cancel``."""
