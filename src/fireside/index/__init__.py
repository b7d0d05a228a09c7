"""Where things stand in the code: chunks, symbols, search. Knows no model."""
