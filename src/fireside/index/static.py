"""The embedding that comes with Fireside: one vector per term, summed. NumPy and its own terms only; no model server, no download.

A text is a bag of the index's own terms (``lexical.Words``). Its vector is the sum of its terms' vectors, each weighted by how telling the
term is (learnt, and apart for questions and passages) and by how often it occurs, made length 1. How it was made: ``docs/embedding.md``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.index.embedder import Passage
from fireside.index.lexical import Words, add_counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "static.npz"
# Bytes of an array's file before its header: magic, version, and the header's length.
HEAD = 10
SHORTEST_PIECE = 3
LONGEST_PIECE = 24
COVERED = 0.7
MAX_REMEMBERED = 400_000
PLAIN = re.compile(r"[a-z]{5,60}")


class Pieces:
    """Numbers of terms. A term that is not known is cut, longest first, into terms that are (``filewatcher``: file, watch)."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._numbers = {term: number for number, term in enumerate(terms)}
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, term: str) -> tuple[int, ...]:
        """The number of a term, or of its pieces; () when too little of it is known."""
        number = self._numbers.get(term)
        if number is not None:
            return (number,)
        known = self._known.get(term)
        if known is None:
            if len(self._known) > MAX_REMEMBERED:
                self._known.clear()
            known = self._known[term] = self._cut(term) if PLAIN.fullmatch(term) else ()
        return known

    def _cut(self, term: str) -> tuple[int, ...]:
        found: list[int] = []
        place = covered = 0
        while place <= len(term) - SHORTEST_PIECE:
            for end in range(min(len(term), place + LONGEST_PIECE), place + SHORTEST_PIECE - 1, -1):
                number = self._numbers.get(term[place:end])
                if number is not None:
                    found.append(number)
                    covered += end - place
                    place = end
                    break
            else:
                place += 1
        return tuple(found) if covered >= COVERED * len(term) else ()


def sublinear() -> "NDArray[np.float32]":
    """What a term counts for that occurs n times, by n from 0 to 255: log2(1 + n)."""
    import numpy as np

    return np.log2(1 + np.arange(256, dtype=np.float32))


class StaticEmbedder:
    """An ``Embedder`` over a table of int8 vectors. Used by one thread at a time.

    ``vectors``: (terms, dimensions), each row scaled by its own factor, which is folded into ``passage_weights`` and ``query_weights``.
    """

    cheap = True
    # One in a hundred of the development set's questions has no passage this similar; nine in ten of questions on other subjects have none.
    floor = 0.32

    def __init__(
        self,
        id: str,
        terms: Sequence[str],
        vectors: "NDArray[np.int8]",
        passage_weights: "NDArray[np.float32]",
        query_weights: "NDArray[np.float32]",
    ) -> None:
        if not len(terms) == len(vectors) == len(passage_weights) == len(query_weights):
            raise ValueError("terms, vectors and weights differ in number")
        self.id = id
        self.dimensions = int(vectors.shape[1])
        self._words = Words()
        self._pieces = Pieces(terms)
        self._vectors = vectors
        self._passage_weights = passage_weights
        self._query_weights = query_weights
        self._times = sublinear()

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        """One row of length 1 per passage, or of zeros where no term is known: (n, dimensions)."""
        # Passages of one file come together, and its path says the same of each.
        paths = {path: self._words.count_path(path) for path in {one.path for one in passages}}
        return self.from_counts(self._counts(one, paths[one.path]) for one in passages)

    def query(self, text: str) -> "NDArray[np.float32]":
        """The vector of a question: (dimensions,)."""
        return self._unit(self._sum(self._words.count(text), self._query_weights)[None]).reshape(-1)

    def from_counts(self, bags: Iterable[Mapping[str, int]]) -> "NDArray[np.float32]":
        """As ``passages``, from terms already counted the way the index counts them (text, path and symbol in one)."""
        import numpy as np

        rows = [self._sum(bag, self._passage_weights) for bag in bags]
        return self._unit(np.stack(rows)) if rows else np.zeros((0, self.dimensions), np.float32)

    def _counts(self, passage: Passage, from_path: Mapping[str, int]) -> dict[str, int]:
        counts = self._words.count(passage.text)
        add_counts(counts, from_path)
        if passage.symbol:
            add_counts(counts, self._words.count(passage.symbol))
        return counts

    def _sum(self, bag: Mapping[str, int], weights: "NDArray[np.float32]") -> "NDArray[np.float32]":
        import numpy as np

        numbers: list[int] = []
        times: list[int] = []
        of = self._pieces.of
        for term, count in bag.items():
            for number in of(term):
                numbers.append(number)
                times.append(count if count < 255 else 255)
        if not numbers:
            return np.zeros(self.dimensions, np.float32)
        known = np.array(numbers)
        factors = weights[known] * self._times[np.array(times)]
        result: NDArray[np.float32] = factors @ self._vectors[known].astype(np.float32)
        return result

    @staticmethod
    def _unit(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
        import numpy as np

        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


class Shipped:
    """The embedder that comes with Fireside, read when it is first asked for a vector.

    An index in which nothing has changed asks for none, and for its name NumPy need not be loaded.
    """

    cheap = True
    floor = StaticEmbedder.floor

    @cached_property
    def id(self) -> str:
        return _id(weights_path())

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        """See ``StaticEmbedder``. Raises ``Invalid`` when the file is damaged or missing."""
        return self._embedder.passages(passages)

    def from_counts(self, bags: Iterable[Mapping[str, int]]) -> "NDArray[np.float32]":
        """See ``StaticEmbedder``."""
        return self._embedder.from_counts(bags)

    def query(self, text: str) -> "NDArray[np.float32]":
        """See ``StaticEmbedder``."""
        return self._embedder.query(text)

    @cached_property
    def _embedder(self) -> StaticEmbedder:
        return load()


@cache
def weights_path() -> str:
    """Where the weights lie inside the package."""
    return str(files("fireside.index") / WEIGHTS)


def load(path: str | None = None) -> StaticEmbedder:
    """The embedding that comes with Fireside, or another made the same way. Raises ``Invalid`` when the file is damaged or missing."""
    import numpy as np

    with _opened(path or weights_path()) as arrays:
        return StaticEmbedder(
            arrays["id"].tobytes().decode(),
            arrays["terms"].tobytes().decode().split("\n"),
            arrays["vectors"],
            arrays["passage_weights"].astype(np.float32),
            arrays["query_weights"].astype(np.float32),
        )


def _id(path: str) -> str:
    """The id alone: a row of bytes in NumPy's own format (a header, its length before it, then the bytes)."""
    import zipfile

    with _spoken(path), zipfile.ZipFile(path) as archive:
        row = archive.read("id.npy")
        return row[HEAD + int.from_bytes(row[HEAD - 2 : HEAD], "little") :].decode()


@contextmanager
def _opened(path: str) -> "Iterator[Mapping[str, NDArray[Any]]]":
    import numpy as np

    # NumPy leaves a file open that it opened itself and could not read.
    with _spoken(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


@contextmanager
def _spoken(path: str) -> Iterator[None]:
    import zipfile

    try:
        yield
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Invalid(f"{path} holds no embedding: {error}", remedy="pip install --force-reinstall fireside") from error
