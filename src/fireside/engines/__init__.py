"""Everything that can run a model, behind one protocol. Knows no file of the user."""
