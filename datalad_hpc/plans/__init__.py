"""From what a user asks for to the plan of one submission; nothing is changed."""
