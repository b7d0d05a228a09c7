"""How many tokens there are, and what they are spent on. Counts with the model's own tokenizer where that is cheap, else it estimates.

The estimate leans towards too many: a prompt that turns out shorter costs a little context, one that turns out longer is refused.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Count = Callable[[str], Awaitable[int | None]]

# Code runs at 3 to 4 characters a token with the tokenizers of the coder families; 3 keeps the estimate on the safe side.
CHARACTERS_PER_TOKEN = 3.0
UNKNOWN_WINDOW = 4096


def estimate(text: str) -> int:
    """Tokens of ``text`` by its length in UTF-8 bytes; never below one for a text that is not empty."""
    return -(-len(text.encode("utf-8", "replace")) // int(CHARACTERS_PER_TOKEN)) if text else 0


@dataclass(slots=True)
class Budget:
    """A window of ``window`` tokens of which ``answer`` are kept for the answer. ``spend`` takes what fits and says whether it did."""

    window: int
    answer: int
    spent: int = 0

    @classmethod
    def for_window(cls, window: int, *, answer: int) -> "Budget":
        """``window`` 0 means unknown. The answer may have at most half of the window."""
        known = window or UNKNOWN_WINDOW
        return cls(window=known, answer=min(answer, known // 2))

    @property
    def left(self) -> int:
        return self.window - self.answer - self.spent

    def spend(self, tokens: int) -> bool:
        if tokens > self.left:
            return False
        self.spent += tokens
        return True
