"""How many tokens there are, and what they are spent on. Knows text and numbers, no model.

Lengths are estimated: the estimate leans towards too many, since a prompt that turns out shorter costs a little context and one that turns
out longer is refused. Who can count with the model's own tokenizer hands in what it found as ``scale``.
"""

from dataclasses import dataclass
from math import ceil

# Code runs at 3 to 4 characters a token with the tokenizers of the coder families; 3 keeps the estimate on the safe side.
CHARACTERS_PER_TOKEN = 3.0
UNKNOWN_WINDOW = 4096
# Wrapped around each message by the chat templates of the usual families.
MESSAGE_OVERHEAD = 8


def estimate(text: str) -> int:
    """Tokens of ``text`` by its length in UTF-8 bytes; never below one for a text that is not empty."""
    return -(-len(text.encode("utf-8", "replace")) // int(CHARACTERS_PER_TOKEN)) if text else 0


@dataclass(slots=True)
class Budget:
    """A window of ``window`` tokens of which ``answer`` are kept for the answer. ``spend`` takes what fits and says whether it did.

    ``scale``: true tokens for each estimated one, as this model's tokenizer has it.
    """

    window: int
    answer: int
    spent: int = 0
    scale: float = 1.0

    @classmethod
    def for_window(cls, window: int, *, answer: int, scale: float = 1.0) -> "Budget":
        """``window`` 0 means unknown. The answer may have at most half of the window."""
        known = window or UNKNOWN_WINDOW
        return cls(window=known, answer=min(answer, known // 2), scale=scale)

    @property
    def left(self) -> int:
        return self.window - self.answer - self.spent

    def cost(self, text: str) -> int:
        """Tokens of ``text`` with what is wrapped around it."""
        return ceil(estimate(text) * self.scale) + MESSAGE_OVERHEAD

    def spend(self, tokens: int) -> bool:
        if tokens > self.left:
            return False
        self.spent += tokens
        return True

    def bytes_for(self, tokens: int) -> int:
        """The most bytes of UTF-8 that surely cost no more than ``tokens``."""
        return max(0, int(tokens / self.scale) * int(CHARACTERS_PER_TOKEN))
