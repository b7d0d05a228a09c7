"""What was made, in the store, with its card and its share of the requests."""
