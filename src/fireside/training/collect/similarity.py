"""Files that are copies, or nearly: an exact digest and MinHash (Broder 1997) over shingles of five words.

``PERMUTATIONS`` hashes of the multiply-shift family (Dietzfelbinger et al. 1997) are taken of all shingles at once with NumPy; their
minima are compared by ``datasketch``'s locality-sensitive hashing. The hashes are the same on every machine, so signatures made
elsewhere compare.
"""

import re
import zlib
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from fireside.training import exclusions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMUTATIONS = 128
SHINGLE = 5
SEED = 20_261
WORD = re.compile(rb"\w+")
# Shingles hashed at a time: 128 rows of so many stay in a core's own cache.
BLOCK = 512
MOST_SHINGLES = 50_000


def signature(text: str) -> bytes:
    """The MinHash of a text: ``PERMUTATIONS`` numbers of 32 bits, little-endian. Two texts without a word have the same."""
    import numpy as np

    words = np.fromiter(map(zlib.crc32, WORD.findall(text.encode("utf-8", "replace"))), np.uint64)
    shingles = _shingles(words)[:MOST_SHINGLES]
    factors, offsets = _hashes()
    least = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, np.uint32)
    space = np.empty((PERMUTATIONS, BLOCK), np.uint32)
    for at in range(0, len(shingles), BLOCK):
        few = shingles[None, at : at + BLOCK]
        hashed = space[:, : few.shape[1]]
        np.multiply(factors, few, out=hashed)
        np.add(hashed, offsets, out=hashed)
        np.minimum(least, hashed.min(axis=1), out=least)
    return least.astype("<u4").tobytes()


def similarity(one: bytes, other: bytes) -> float:
    """The estimated Jaccard similarity of two texts by their signatures."""
    import numpy as np

    return float((np.frombuffer(one, "<u4") == np.frombuffer(other, "<u4")).mean())


class Seen:
    """Texts seen so far. ``threshold``: the similarity from which one is nearly another; 0: only exact copies are found."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._digests: set[bytes] = set()
        self._kept: list[bytes] = []
        self._index: Any = None
        if threshold:
            from datasketch import MinHashLSH

            self._index = MinHashLSH(threshold=min(threshold, 0.99), num_perm=PERMUTATIONS)

    def __len__(self) -> int:
        return len(self._digests)

    def has(self, digest: bytes) -> bool:
        return digest in self._digests

    def near(self, made: bytes) -> bool:
        """Whether some text seen is nearly this one, by its signature."""
        if self._index is None:
            return False
        return any(similarity(self._kept[key], made) >= self._threshold for key in self._index.query(_minhash(made)))

    def add(self, digest: bytes, made: bytes) -> None:
        self._digests.add(digest)
        if self._index is not None and made:
            self._index.insert(len(self._kept), _minhash(made))
            self._kept.append(made)


def seen(texts: Iterable[str], threshold: float) -> Seen:
    """Of an evaluation set. Texts of less than 200 characters say nothing: half of all code has them."""
    found = Seen(threshold)
    for text in texts:
        if len(text) > 200:
            found.add(exclusions.digest(text), signature(text))
    return found


def _shingles(words: "NDArray[np.uint64]") -> "NDArray[np.uint32]":
    """A number for each run of five words, each once; of a shorter text, one for all of it."""
    import numpy as np

    count = max(len(words) - SHINGLE + 1, 1)
    total = np.zeros(count, np.uint64)
    for place in range(min(SHINGLE, len(words))):
        # Wraps around: a polynomial in the words, modulo 2 ** 64.
        total = total * np.uint64(0x9E3779B97F4A7C15) + words[place : place + count] + np.uint64(1)
    return np.unique((total >> np.uint64(32)).astype(np.uint32))


@cache
def _hashes() -> "tuple[NDArray[np.uint32], NDArray[np.uint32]]":
    import numpy as np

    chance = np.random.default_rng(SEED)
    factors = chance.integers(0, 2**31, PERMUTATIONS, np.uint32) * np.uint32(2) + np.uint32(1)
    offsets = chance.integers(0, 2**32, PERMUTATIONS, np.uint32)
    return factors[:, None], offsets[:, None]


def _minhash(made: bytes) -> Any:
    import numpy as np
    from datasketch import LeanMinHash

    return LeanMinHash(seed=SEED, scheme="legacy", hashvalues=np.frombuffer(made, "<u4").astype(np.uint64))
