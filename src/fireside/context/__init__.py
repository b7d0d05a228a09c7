"""What is put before a model, and in what order. Knows no engine."""
