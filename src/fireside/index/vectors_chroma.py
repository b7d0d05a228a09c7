"""Vectors in ChromaDB: inside this process with files of its own, or at a server that a team shares.

Knows ids and vectors; no text ever gets there, and no embedding is left to Chroma (its own would be downloaded). Loading chromadb takes up
to a second, so it is loaded when the first question comes, and not at all for a server: see ``chroma_server``.
"""

import re
import shutil
import threading
from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.index.vector_shape import fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 1_000
# Chroma's own names; zero vectors have the distance 1 to everything in this space.
HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 24}
# What SQLite says of a file that it cannot make sense of (SQLITE_CORRUPT, SQLITE_NOTADB).
DAMAGED = re.compile(r"malformed|not a database|code: (11|26)\)")
# chromadb shares what it has opened between clients, in dictionaries that nothing guards.
OPENING = threading.Lock()
Answer = TypeVar("Answer")


class NoVectors(ConnectionFailed):
    """The place where vectors are kept does not answer. Search goes on by words."""


class Collection(Protocol):
    """What is asked of Chroma. Ids are decimal numbers as text. Raises ``NoVectors``, or what the privacy guard raises."""

    def ids(self) -> list[str]: ...

    def upsert(self, ids: list[str], rows: "NDArray[np.float32]") -> None:
        """At most ``BATCH`` at a time."""
        ...

    def delete(self, ids: list[str]) -> None: ...

    def query(self, row: "NDArray[np.float32]", count: int) -> tuple[list[str], list[float]]:
        """The nearest ids, best first, and their cosine distances."""
        ...

    def vectors(self, ids: list[str]) -> "tuple[list[str], NDArray[np.float32]]":
        """Those of ``ids`` that are there, and their vectors."""
        ...

    def close(self) -> None: ...


class ChromaVectors:
    """A ``VectorStore`` in a collection. ``dimensions``: length of every vector."""

    def __init__(self, collection: Collection, dimensions: int) -> None:
        self._collection = collection
        self._dimensions = dimensions

    def ids(self) -> "NDArray[np.int64]":
        import numpy as np

        return np.sort(_numbers(self._collection.ids()))

    def add(self, ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]") -> None:
        """Raises ``Invalid`` when the vectors have another length than those of this store."""
        ids, vectors = fitted(ids, vectors, self._dimensions)
        for start in range(0, len(ids), BATCH):
            self._collection.upsert(_names(ids[start : start + BATCH]), vectors[start : start + BATCH])

    def remove(self, ids: "NDArray[np.int64]") -> None:
        for start in range(0, len(ids), BATCH):
            self._collection.delete(_names(ids[start : start + BATCH]))

    def nearest(self, query: "NDArray[np.float32]", count: int) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        import numpy as np

        if count < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        names, distances = self._collection.query(query, count)
        return _numbers(names), 1 - np.array(distances, np.float32)

    def similarities(self, query: "NDArray[np.float32]", ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        import numpy as np

        found = np.zeros(len(ids), np.float32)
        for start in range(0, len(ids), BATCH):
            names, rows = self._collection.vectors(_names(np.unique(ids[start : start + BATCH])))
            if names:
                scores = dict(zip(names, rows @ query, strict=True))
                found[start : start + BATCH] = [scores.get(name, 0.0) for name in _names(ids[start : start + BATCH])]
        return found

    def close(self) -> None:
        self._collection.close()


class EmbeddedCollection:
    """A collection in ``folder``, which belongs to Chroma alone. Opened by the first question; files that make no sense are thrown away.

    Chroma keeps parts of it in memory: one process may use it at a time.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if find_spec("chromadb") is None:
            raise Invalid("chromadb is not installed", remedy="pip install 'fireside[chroma]'")
        self._folder = folder
        self._name = name
        self._client: Any = None
        self._opened: Any = None

    def ids(self) -> list[str]:
        return self._ask(lambda found: list(found.get(include=[])["ids"]))

    def upsert(self, ids: list[str], rows: "NDArray[np.float32]") -> None:
        self._ask(lambda found: found.upsert(ids=ids, embeddings=rows))

    def delete(self, ids: list[str]) -> None:
        self._ask(lambda found: found.delete(ids=ids))

    def query(self, row: "NDArray[np.float32]", count: int) -> tuple[list[str], list[float]]:
        found = self._ask(lambda found: found.query(query_embeddings=row[None], n_results=count, include=["distances"]))
        return list(found["ids"][0]), list((found["distances"] or [[]])[0])

    def vectors(self, ids: list[str]) -> "tuple[list[str], NDArray[np.float32]]":
        import numpy as np

        found = self._ask(lambda found: found.get(ids=ids, include=["embeddings"]))
        return list(found["ids"]), np.asarray(found["embeddings"], np.float32)

    def close(self) -> None:
        with OPENING:
            if self._client is not None:
                self._client.close()
            self._client = self._opened = None

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        try:
            return question(self._collection())
        except FiresideError:
            raise
        except Exception as error:
            remedy = f"rm -r {self._folder} and: fireside index; or: fireside config set index.store auto"
            raise NoVectors(f"Chroma cannot use {self._folder}: {_line(error)}", remedy=remedy) from error

    def _collection(self) -> Any:
        with OPENING:
            if self._opened is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                number = max((int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()), default=1)
                try:
                    self._opened = self._open(number)
                except Exception as error:
                    if DAMAGED.search(str(error)) is None:
                        raise
                    shutil.rmtree(self._folder / str(number))
                    # chromadb remembers what failed by its path.
                    self._opened = self._open(number + 1)
            return self._opened

    def _open(self, number: int) -> Any:
        # Untyped on purpose: types must not depend on whether the extra is installed.
        chromadb = import_module("chromadb")
        # By default Chroma obeys a file .env in the current folder, that is, in somebody's repository.
        settings = chromadb.Settings(_env_file=None, anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(str(self._folder / str(number)), settings)
        known = [found.name for found in self._client.list_collections()]
        for name in outdated(self._name, known):
            self._client.delete_collection(name)
        return self._client.get_or_create_collection(self._name, embedding_function=None, configuration={"hnsw": HNSW})


def collection_name(prefix: str, index_id: str, embedder_id: str) -> str:
    """A name Chroma takes: 3 to 512 characters of [a-zA-Z0-9._-]. ``prefix`` must begin with a letter or digit."""
    index, embedder = (blake2b(text.encode(), digest_size=8).hexdigest() for text in (index_id, embedder_id))
    return f"{prefix}-{index}-{embedder}"


def outdated(name: str, known: Sequence[str]) -> list[str]:
    """Collections of the same index by another embedder; only while ``name`` itself is not there yet."""
    index = name.rpartition("-")[0] + "-"
    return [] if name in known else [other for other in known if other.startswith(index)]


def _names(ids: "NDArray[np.int64]") -> list[str]:
    return [str(number) for number in ids.tolist()]


def _numbers(names: Sequence[str]) -> "NDArray[np.int64]":
    import numpy as np

    return np.array([int(name) for name in names], np.int64)


def _line(error: Exception) -> str:
    return f"{error}".split("\n")[0][:200] or type(error).__name__
