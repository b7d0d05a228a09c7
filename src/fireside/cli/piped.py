"""What comes in from outside the terminal: standard input, and words in bytes that are no UTF-8."""

from typing import TextIO

from fireside.core.errors import Invalid

# More than any window takes; read no further, a pipe may have no end.
MOST_INPUT = 4_000_000


def read_piped(stream: TextIO | None) -> str:
    """What stands on standard input, if it is a pipe or a file; "" for a terminal or nothing. Raises ``Invalid`` for what is no text."""
    if stream is None or stream.closed or stream.isatty():
        return ""
    raw = stream.buffer.read(MOST_INPUT + 1)
    if b"\0" in raw[:8192]:
        raise Invalid("standard input is not text", remedy="pipe text in, for example: git diff | fireside ask")
    return raw[:MOST_INPUT].decode("utf-8", "replace")


def shown(words: str) -> str:
    """``words`` of a command line as text that can be written: bytes that are no UTF-8 become a mark."""
    return words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
