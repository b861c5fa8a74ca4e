"""A plan becomes a job that the scheduler has."""
