"""The face: parameters, help and rendering of the commands, one per file."""
