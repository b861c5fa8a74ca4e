"""The story of ``hpc-status``: which jobs there are, how far each is, and whether it can go on."""
