"""The story of hpc-check: what this machine offers, and what to do where something is amiss."""
