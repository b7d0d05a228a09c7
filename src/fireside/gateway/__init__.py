"""One constructor for the inference wing: pick an engine, queue, fall back, recover. Knows no file of the user."""
