"""Vectors in the index's own database, compared one by one: fast enough for a hundred thousand chunks.

Knows the store's table ``vectors``: one row per addition, each component one signed byte (a vector of length 1 times 127 over its largest
component; what that does to its length is undone when it is compared). Being in the same file, they change in the same transaction.
"""

from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fireside.index.store import Store

MANY_ROWS = 12
# From so many vectors on, all are compared in a few directions first, and the nearest by those exactly.
MANY_VECTORS = 8_000
DIRECTIONS = 64
SAMPLE = 3_000
LOOKED_AT = 8


class NumpyVectors:
    """A ``VectorStore`` in ``store``. Writing belongs inside the store's transaction; ``ids`` and comparing read what is there then."""

    def __init__(self, store: "Store", dimensions: int) -> None:
        self._store = store
        self._dimensions = dimensions
        self._ids: NDArray[np.int64] | None = None
        self._units: NDArray[np.float32] | None = None
        self._sketch: _Sketch | None = None
        self._questions = 0

    def ids(self) -> "NDArray[np.int64]":
        import numpy as np

        if self._ids is None:
            blobs = self._store.connection.execute("SELECT ids FROM vectors ORDER BY number").fetchall()
            self._ids = _together([np.frombuffer(blob, np.int64) for (blob,) in blobs], np.zeros(0, np.int64))
        return np.sort(self._ids)

    def add(self, ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]") -> None:
        """Raises ``Invalid`` when the vectors have another length than those of this store."""
        import numpy as np

        if vectors.shape != (len(ids), self._dimensions):
            raise Invalid(
                f"vectors of shape {vectors.shape} do not fit {len(ids)} chunks of {self._dimensions} dimensions",
                remedy="fireside index --rebuild",
            )
        if len(ids):
            self._insert(ids, quantized(vectors))
            rows = self._store.connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
            if rows > MANY_ROWS:
                self._rewrite(np.zeros(0, np.int64))

    def remove(self, ids: "NDArray[np.int64]") -> None:
        """The space is given back once half of what is kept is gone; until then the rows just stay unused."""
        import numpy as np

        known = self.ids()
        gone = np.intersect1d(ids, known)
        if len(gone) * 2 > len(known) or (len(gone) and len(known) < 1_000):
            self._rewrite(gone)

    def nearest(self, query: "NDArray[np.float32]", count: int) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        import numpy as np

        ids, units = self._matrix()
        count = min(count, len(ids))
        if count < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        among = self._near(units, query, count)
        scores = (units if among is None else units[among]) @ query
        best = np.argpartition(-scores, count - 1)[:count]
        best = best[np.argsort(-scores[best], kind="stable")]
        return ids[best if among is None else among[best]], scores[best]

    def _near(
        self, units: "NDArray[np.float32]", query: "NDArray[np.float32]", count: int
    ) -> "NDArray[np.int64] | None":
        """Rows among which the nearest are, or None: compare all. A single question does not pay for the sketch."""
        self._questions += 1
        if len(units) < max(MANY_VECTORS, 4 * LOOKED_AT * count) or self._questions < 2:
            return None
        if self._sketch is None:
            self._sketch = _Sketch(units)
        return self._sketch.near(query, LOOKED_AT * count)

    def similarities(self, query: "NDArray[np.float32]", ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        import numpy as np

        known, units = self._matrix()
        found = np.zeros(len(ids), np.float32)
        if len(known):
            places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            there = known[places] == ids
            found[there] = units[places[there]] @ query
        return found

    def close(self) -> None:
        self._ids = self._units = self._sketch = None

    def _matrix(self) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """All ids, ascending, and their vectors with length 1 again."""
        import numpy as np

        if self._ids is None or self._units is None:
            ids, rows = self._rows()
            units = rows.astype(np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", units, units))
            units /= np.maximum(lengths, 1e-9)[:, None]
            self._ids, self._units = ids, units
        return self._ids, self._units

    def _rows(self) -> "tuple[NDArray[np.int64], NDArray[np.int8]]":
        import numpy as np

        found = self._store.connection.execute("SELECT ids, rows FROM vectors ORDER BY number").fetchall()
        ids = _together([np.frombuffer(blob, np.int64) for blob, _ in found], np.zeros(0, np.int64))
        rows = _together(
            [np.frombuffer(blob, np.int8).reshape(-1, self._dimensions) for _, blob in found],
            np.zeros((0, self._dimensions), np.int8),
        )
        if len(ids) > 1 and not bool((ids[1:] > ids[:-1]).all()):
            order = np.argsort(ids, kind="stable")
            ids, rows = ids[order], rows[order]
        return ids, rows

    def _rewrite(self, gone: "NDArray[np.int64]") -> None:
        import numpy as np

        ids, rows = self._rows()
        kept = ~np.isin(ids, gone)
        self._store.connection.execute("DELETE FROM vectors")
        self.close()
        if kept.any():
            self._insert(ids[kept], rows[kept])

    def _insert(self, ids: "NDArray[np.int64]", rows: "NDArray[np.int8]") -> None:
        import numpy as np

        self._store.connection.execute(
            "INSERT INTO vectors (ids, rows) VALUES (?, ?)", (ids.astype(np.int64).tobytes(), rows.tobytes())
        )
        self.close()


class _Sketch:
    """Vectors in the directions in which they differ most (principal components of a sample)."""

    def __init__(self, units: "NDArray[np.float32]") -> None:
        import numpy as np

        sample = units[:: max(1, len(units) // SAMPLE)]
        _, axes = np.linalg.eigh(sample.T @ sample)
        self._axes = np.ascontiguousarray(axes[:, -DIRECTIONS:], dtype=np.float32)
        self._rows = units @ self._axes

    def near(self, query: "NDArray[np.float32]", count: int) -> "NDArray[np.int64]":
        import numpy as np

        scores = self._rows @ (query @ self._axes)
        return np.argpartition(-scores, count - 1)[:count]


def quantized(vectors: "NDArray[np.float32]") -> "NDArray[np.int8]":
    """Each row scaled so that its largest component is 127, and rounded. Rows of zeros stay."""
    import numpy as np

    largest = np.abs(vectors).max(axis=1, keepdims=True)
    rounded: NDArray[np.int8] = np.rint(vectors * (127 / np.maximum(largest, 1e-9))).astype(np.int8)
    return rounded


def _together(parts: "list[NDArray[Any]]", none: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    return none if not parts else parts[0] if len(parts) == 1 else np.concatenate(parts)
