"""What a model is: its file, its family, its prompt, its place on disk. Knows no engine and no user file."""
