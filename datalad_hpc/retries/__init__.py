"""Failed open jobs: which of them are to run again, and how one is submitted again."""
