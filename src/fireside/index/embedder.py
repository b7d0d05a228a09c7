"""What the index asks of a model that turns text into vectors. Knows no model: ``app`` hands one over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as it is embedded: where it stands and what it defines say as much as its text."""

    path: str
    symbol: str
    text: str


@runtime_checkable
class Counting(Protocol):
    """An embedder to which a text is a bag of the index's own terms: what the index has counted it need not count again."""

    def from_counts(self, bags: Iterable[Mapping[str, int]]) -> "NDArray[np.float32]":
        """As ``Embedder.passages``, from how often each term occurs in a passage's text, path and symbol together."""
        ...


class Embedder(Protocol):
    """``id``: model and version; vectors of different ids never meet. ``dimensions``: length of every vector.

    ``cheap``: computing a vector is quicker than looking it up, so none are kept beside the index.
    """

    @property
    def id(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def cheap(self) -> bool: ...

    @property
    def floor(self) -> float:
        """Cosine similarity below which a passage has nothing to do with a question; 0 where that is not known."""
        ...

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        """One row per passage, (n, dimensions), each of length 1 (or all zero where nothing can be said)."""
        ...

    def query(self, text: str) -> "NDArray[np.float32]":
        """The vector of a question, (dimensions,), of length 1 or all zero."""
        ...
