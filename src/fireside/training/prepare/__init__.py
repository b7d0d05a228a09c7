"""Rows as a trainer reads them: a tokenizer, fill-in-the-middle, packed tokens."""
