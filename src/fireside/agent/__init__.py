"""One conversation turn."""
