"""Which jobs wait for which others."""
