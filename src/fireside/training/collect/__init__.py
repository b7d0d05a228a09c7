"""Training data from the user's repositories and installed packages, as shards of rows."""
