"""The ground floor: the words every other room uses. Knows no file, no socket, no model."""
