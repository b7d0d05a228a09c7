"""Where vectors of chunks are kept and compared. Knows ids and numbers; neither text nor models."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class VectorStore(Protocol):
    """The vectors of one index by one embedder. Chunk ids are never used twice, so a vector once added never changes.

    A store need not be as true as the index's database: what is missing is added by the next update, and ids of chunks that are gone
    are left out by the caller until they are removed.
    """

    def ids(self) -> "NDArray[np.int64]":
        """The chunks that have a vector here, ascending."""
        ...

    def add(self, ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]") -> None:
        """``vectors``: (n, dimensions), rows of length 1 or 0."""
        ...

    def remove(self, ids: "NDArray[np.int64]") -> None:
        """Ids that are not there are no error."""
        ...

    def nearest(self, query: "NDArray[np.float32]", count: int) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """The ids of the ``count`` most similar vectors, best first, and their cosine similarities."""
        ...

    def similarities(self, query: "NDArray[np.float32]", ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """Cosine similarity for each of ``ids``; 0 for an id that has no vector here."""
        ...

    def close(self) -> None:
        """Safe to call twice."""
        ...
