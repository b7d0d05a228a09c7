"""Fit a piece copied from one line onto another: brackets closed as often as they were opened, a colon only where a block begins."""

import re
from functools import lru_cache

PAIRS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(PAIRS.values())
BLOCK = re.compile(r"\s*(async\s+)?(def|class|if|elif|else|for|while|with|try|except|finally|match|case)\b")
QUOTES = frozenset("\"'`")
MARK = re.compile(r"""\\.|["'`()\[\]{}]""")
ENDING = re.compile(r"[:,;{]*$")


@lru_cache(maxsize=1_000)
def open_brackets(line: str) -> tuple[str, int] | None:
    """Brackets a line leaves open, and how many it closes that it did not open; ``None`` when it ends inside quotes."""
    opened: list[str] = []
    closed, quote = 0, ""
    for mark in MARK.findall(line):
        if quote:
            quote = "" if mark == quote else quote
        elif mark in QUOTES:
            quote = mark
        elif mark in PAIRS:
            opened.append(mark)
        elif mark in CLOSERS:
            if opened:
                opened.pop()
            else:
                closed += 1
    return None if quote else ("".join(opened), closed)


def fit(line: str, piece: str, source: str) -> str:
    """``piece`` as it should stand after ``line``, when it was the end of the line ``source``.

    The new line leaves as many brackets open, or closes as many of earlier lines, as ``source`` did.
    """
    here, there = open_brackets(line + piece), open_brackets(source)
    if here is None or there is None:
        return piece
    surplus, missing = here[1] - there[1], len(here[0]) - len(there[0])
    ending = ENDING.search(piece)
    body, end = (piece[: ending.start()], ending[0]) if ending else (piece, "")
    if surplus > 0:
        tail = len(body) - len(body.rstrip(")]}"))
        body = body[: len(body) - surplus] if tail >= surplus else body
    elif missing > 0:
        body += "".join(PAIRS[opener] for opener in reversed(here[0][len(there[0]) :]))
    return _with_colon(line, body + end, source)


def _with_colon(line: str, piece: str, source: str) -> str:
    """A colon where a block of Python begins and the source line was none, and none where it is the other way round."""
    state = open_brackets(line + piece)
    if state is None or state[0] or (not source.endswith(":") and not BLOCK.match(line + piece)):
        return piece
    begins, began = BLOCK.match(line + piece) is not None, BLOCK.match(source) is not None
    if began and not begins:
        return piece.removesuffix(":")
    if begins and not began and not piece.endswith(":") and source.endswith(")"):
        return piece + ":"
    return piece
