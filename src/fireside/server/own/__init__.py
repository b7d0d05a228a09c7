"""Our own API: what a client of Fireside's asks, beyond what other people's APIs have words for. Loaded at the first request of it."""
