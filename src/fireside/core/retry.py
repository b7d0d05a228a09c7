"""How long to wait before trying again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    ``first``, ``limit``: seconds. ``attempts``: how many waits are given out. ``jitter``: the share of a wait that is random, 0 to 1.
    """

    first: float = 0.1
    factor: float = 2.0
    limit: float = 10.0
    attempts: int = 5
    jitter: float = 1.0

    def waits(self, rng: random.Random | None = None) -> Iterator[float]:
        """The waits in seconds, one per retry."""
        draw = (rng or random.Random()).random
        full = min(self.limit, self.first)
        for _ in range(self.attempts):
            yield full * (1 - self.jitter) + full * self.jitter * draw()
            full = min(self.limit, full * self.factor)
