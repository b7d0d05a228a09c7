"""Embedders for tests of what the index does with vectors: deterministic, counted, and broken at will."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from fireside.core.errors import FiresideError
from fireside.index.embedder import Passage

WIDTH = 64


class HashingEmbedder:
    """Each word points somewhere, by its hash; a text is the sum of its words. ``same``: words that mean what another does.

    ``asked``: the texts embedded so far; ``batches``: how many at a time; ``questions``: asked so far. ``down``: raised by everything;
    ``silent``: raised by questions only. ``fails``: raised once so many texts have been embedded. ``before``: called with each batch.
    """

    def __init__(self, id: str = "hashing", *, cheap: bool = False, floor: float = 0.2, width: int = WIDTH) -> None:
        self._id = id
        self.cheap = cheap
        self.floor = floor
        self._width = width
        self.same: dict[str, str] = {}
        self.asked: list[str] = []
        self.batches: list[int] = []
        self.questions: list[str] = []
        self.down: FiresideError | None = None
        self.silent: FiresideError | None = None
        self.fails: tuple[int, BaseException] | None = None
        self.before: Callable[[Sequence[Passage]], None] = lambda _: None
        self.closed = 0

    @property
    def id(self) -> str:
        self._check()
        return self._id

    @property
    def dimensions(self) -> int:
        self._check()
        return self._width

    def passages(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        self._check()
        if self.fails is not None and len(self.asked) >= self.fails[0]:
            raise self.fails[1]
        self.before(passages)
        self.asked += [passage.text for passage in passages]
        self.batches.append(len(passages))
        rows = [self._vector(passage.text) for passage in passages]
        return np.stack(rows) if rows else np.zeros((0, self._width), np.float32)

    def query(self, text: str) -> NDArray[np.float32]:
        self._check()
        self.questions.append(text)
        if self.silent is not None:
            raise self.silent
        return self._vector(text)

    def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.down is not None:
            raise self.down

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self._width, np.float32)
        for word in re.findall("[a-z]+", text.lower()):
            total += _pointing(self.same.get(word, word), self._width)
        length = float(np.linalg.norm(total))
        return total / np.float32(length or 1.0)


@cache
def _pointing(word: str, width: int) -> NDArray[np.float32]:
    seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(width).astype(np.float32)
