"""Training data from the user's own repositories, from installed packages, and from the archives of pinned packages."""
