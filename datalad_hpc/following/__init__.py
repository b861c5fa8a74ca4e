"""What jobs print: which log is meant, where it is, how it is shown and followed."""
