"""Cut a model's completion to what is wanted, while it is still being written.

A model that fills a hole does not know how large the hole is: it goes on with the next function, repeats the line that follows, or closes
a bracket the editor has closed. Knows text only.
"""

from fireside.assist.brackets import CLOSERS


class Trimmer:
    """Takes a completion piece by piece. ``max_lines``: lines it may have."""

    def __init__(self, prefix: str, suffix: str, *, max_lines: int = 1) -> None:
        after, _, rest = suffix.partition("\n")
        self._after = after.strip()
        self._next = next((line.strip() for line in rest.split("\n", 20)[:20] if line.strip()), "")
        self._at_line_start = not prefix.rpartition("\n")[2].strip()
        self._max_lines = max_lines
        self._written = ""

    def take(self, piece: str) -> bool:
        """Add a piece; True when no more is needed."""
        self._written += piece
        whole = self._body()
        return "\n" in whole and len(whole.split("\n")) > self._max_lines

    def text(self) -> str:
        """What is to be inserted: whole lines, at most ``max_lines``, without what follows the cursor already."""
        lines = [line.rstrip() for line in self._body().split("\n")[: self._max_lines]]
        kept: list[str] = []
        for index, line in enumerate(lines):
            repeats = line.strip() == self._next and len(self._next) > 2
            if repeats and (index or self._at_line_start):
                break
            kept.append(line)
        return _without_overlap("\n".join(kept).rstrip(), self._after)

    @property
    def begin(self) -> int:
        """How many characters of what was written stand before what is to be inserted."""
        return len(self._written) - len(self._body())

    def _body(self) -> str:
        """What was written; a model asked at the end of a finished line begins with a line break, which is no line of its own."""
        return self._written.lstrip("\n\r") if self._at_line_start else self._written


def _without_overlap(text: str, after: str) -> str:
    """``text`` without the longest end of it that ``after`` begins with."""
    for size in range(min(len(text), len(after)), 0, -1):
        if text.endswith(after[:size]):
            # One bracket alone may well be needed twice; only a surplus one is taken away.
            if size == 1 and after[0] in CLOSERS and _balanced(text):
                return text
            return text[:-size]
    return text


def _balanced(text: str) -> bool:
    pairs = {")": "(", "]": "[", "}": "{"}
    return all(text.count(closer) <= text.count(opener) for closer, opener in pairs.items())
