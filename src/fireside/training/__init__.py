"""Models of our own: collect, mine, train, evaluate, quantize, export. Knows the index's chunks and terms; no door ever imports it."""
