"""What jobs had asked for against what they used, and what to ask for the next time."""
