"""Records in the commits of a dataset, and which of them are meant."""
