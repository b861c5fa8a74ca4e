"""Many jobs from one file, which can be gone on with."""
