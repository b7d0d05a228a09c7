"""Keep the vectors of an index as complete as its chunks. Knows the store, an embedder and a place for vectors; not what is searched.

A cheap embedder's vectors are made in the transaction that makes the chunks, so that they are never seen apart. A dear one (a model behind
a server) may take minutes: its vectors follow in batches, each of which is kept, and until they are there search goes by words.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from fireside.core.errors import FiresideError, ToolFailed
from fireside.index.chunks import Progress
from fireside.index.embedder import Embedder, Passage
from fireside.index.store import Store
from fireside.index.vectors import VectorStore
from fireside.index.vectors_numpy import NumpyVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 2_048
DEAR_BATCH = 64
# Seconds in which a model or server that did not answer is not asked again.
REST = 20.0
INSIDE = "here"
WAITING = "by words alone: not every chunk has its vector yet; all are made by: fireside index"


class Elsewhere(Protocol):
    """A place for vectors that is not the index's own database."""

    def outside(self, store: Store) -> bool:
        """Whether the vectors of this index are kept there."""
        ...

    def __call__(self, store: Store) -> VectorStore:
        """As they are now."""
        ...

    def close(self) -> None: ...


class Embedding:
    """``embedder`` and where its vectors are kept: in the index itself, or ``elsewhere``.

    ``place``: which place that is, as settings name it: in another one there are no vectors yet. ``failure``: why it goes by words alone at
    the moment, or "": a model or a server that does not answer is no reason not to search.
    """

    def __init__(self, embedder: Embedder, elsewhere: Elsewhere | None = None, *, place: str = "elsewhere") -> None:
        self.embedder = embedder
        self._elsewhere = elsewhere
        self._place = place
        self._again = 0.0
        self.failure = ""

    def ready(self) -> bool:
        """Whether the embedder can be had. One that could not is left alone for a while."""
        if time.monotonic() < self._again:
            return False
        try:
            self.failure = "" if self.embedder.id else "the embedder has no name"
        except FiresideError as error:
            self.fail(error)
        return not self.failure

    def fail(self, error: FiresideError) -> None:
        """Do without vectors for a while."""
        self.failure = f"by words alone: {error.message}"
        self._again = time.monotonic() + REST

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        """The embedder's answer. Raises ``FiresideError`` alone, so that its faults are not taken for damage of the index."""
        with self._typed():
            return self.embedder.passages(passages)

    def query(self, text: str) -> "NDArray[np.float32]":
        """The same for a question."""
        with self._typed():
            return self.embedder.query(text)

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise ToolFailed(
                f"the embedder {self.embedder.id} failed: {error}",
                remedy="choose another: fireside config set index.embedder",
            ) from error

    def at_once(self, store: Store) -> bool:
        """Whether vectors are made together with their chunks. Only what is in the same database can change in the same transaction."""
        return self.embedder.cheap and self._where(store) == INSIDE

    def vectors(self, store: Store) -> VectorStore:
        """As they are now; open them again for every generation."""
        if self._elsewhere is not None and self._elsewhere.outside(store):
            return self._elsewhere(store)
        return NumpyVectors(store, self.embedder.dimensions)

    def due(self, store: Store) -> bool:
        """Whether chunks are without a vector of this embedder."""
        return store.meta("unembedded", "0") != "0" or store.meta("embedded") != self._mark(store)

    def wait(self) -> None:
        """Say that vectors are not there yet, unless they fail to be made."""
        self.failure = self.failure or WAITING

    def close(self) -> None:
        """Let go of the model and of the place. Safe to call twice."""
        for part in (self.embedder, self._elsewhere):
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def complete(self, store: Store) -> None:
        """Make what is missing, inside the transaction the caller has opened."""
        vectors = self._begin(store)
        try:
            for ids in self._batches(store, vectors, BATCH):
                vectors.add(ids, self.passages(_passages(store, ids)))
        finally:
            vectors.close()
        self._finish(store)

    def take(self, store: Store, made: "Sequence[tuple[int, NDArray[np.float32]]]") -> None:
        """Keep vectors made elsewhere: (id of the first chunk, vectors of it and of those that follow). Inside the caller's transaction."""
        import numpy as np

        vectors = self._begin(store)
        try:
            ids = np.concatenate([np.arange(first, first + len(rows), dtype=np.int64) for first, rows in made])
            vectors.add(ids, np.concatenate([rows for _, rows in made]))
        finally:
            vectors.close()

    def follow(self, store: Store, progress: Callable[[Progress], None] | None, most: int | None) -> int:
        """Make what is missing, of a dear embedder at most ``most``, keeping every batch. Returns how many are still missing.

        The caller holds the writer's lock and no transaction.
        """
        with store.transaction():
            vectors = self._begin(store)
        done = 0
        try:
            most = None if self.embedder.cheap else most
            batches = list(self._batches(store, vectors, BATCH if self.embedder.cheap else DEAR_BATCH))
            missing = sum(len(ids) for ids in batches)
            total = missing
            for ids in batches:
                ids = ids if most is None else ids[: most - done]
                if not len(ids):
                    break
                made = self.passages(_passages(store, ids))
                with store.transaction():
                    vectors.add(ids, made)
                    missing -= len(ids)
                    store.set_meta({"unembedded": str(missing), "generation": str(store.generation() + 1)})
                done += len(ids)
                if progress is not None:
                    progress(Progress(done, total, f"embedding with {self.embedder.id}"))
        finally:
            vectors.close()
        if not missing:
            with store.transaction():
                self._finish(store)
        return missing

    def _where(self, store: Store) -> str:
        return self._place if self._elsewhere is not None and self._elsewhere.outside(store) else INSIDE

    def _mark(self, store: Store) -> str:
        """What tells vectors of all chunks apart from those of fewer, of another embedder or in another place. Chunks may have been made
        while there was no embedder."""
        return f"{self._where(store)} {store.meta('next_chunk', '0')} {self.embedder.id}"

    def _finish(self, store: Store) -> None:
        store.set_meta({"unembedded": "0", "embedded": self._mark(store)})

    def _begin(self, store: Store) -> VectorStore:
        """The store without the vectors of another embedder and of chunks that are gone."""
        import numpy as np

        if store.meta("embedder") != self.embedder.id:
            store.connection.execute("DELETE FROM vectors")
            store.set_meta({"embedder": self.embedder.id})
        if self._where(store) != INSIDE:
            store.connection.execute("DELETE FROM vectors")
        vectors = self.vectors(store)
        gone = np.setdiff1d(vectors.ids(), _chunks(store))
        if len(gone):
            vectors.remove(gone)
        return vectors

    def _batches(self, store: Store, vectors: VectorStore, size: int) -> "Iterator[NDArray[np.int64]]":
        import numpy as np

        missing = np.setdiff1d(_chunks(store), vectors.ids())
        for start in range(0, len(missing), size):
            yield missing[start : start + size]


def _chunks(store: Store) -> "NDArray[np.int64]":
    import numpy as np

    rows = store.connection.execute("SELECT id FROM chunks")
    return np.fromiter((row[0] for row in rows), np.int64)


def _passages(store: Store, ids: "NDArray[np.int64]") -> list[Passage]:
    rows = store.select(
        "SELECT chunks.id, path, symbol, text FROM chunks JOIN files ON files.id = file WHERE chunks.id IN",
        [int(one) for one in ids],
    )
    return [Passage(path, symbol, text) for _, path, symbol, text in sorted(rows)]
