"""A small decoder trained from scratch."""
