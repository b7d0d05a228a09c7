"""The user's files as they are: which count, what they say. Knows no model."""
