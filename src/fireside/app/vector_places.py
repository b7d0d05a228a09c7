"""Where the vectors of a project are kept, as the settings say. Builds the place; knows nothing of how it works."""

from collections.abc import Callable
from pathlib import Path

from fireside.app.chroma import ChromaServer
from fireside.engines.egress import Egress
from fireside.index.chroma_server import ServedCollection
from fireside.index.embedder import Embedder
from fireside.index.settings import IndexSettings
from fireside.index.store import Store
from fireside.index.vectors import VectorStore
from fireside.index.vectors_chroma import ChromaVectors, Collection, EmbeddedCollection, collection_name
from fireside.index.vectors_usearch import UsearchVectors, installed


class VectorPlaces:
    """Opens the vectors of ``embedder`` outside the index's own database. ``folder``: the index folder.

    ``identity``: another text whenever the ids of chunks begin anew. ``egress``: guards the way to a Chroma server.
    """

    def __init__(
        self,
        settings: IndexSettings,
        embedder: Embedder,
        folder: Path,
        *,
        identity: Callable[[Store], str],
        egress: Egress,
    ) -> None:
        self._settings = settings
        self._embedder = embedder
        self._folder = folder
        self._identity = identity
        self._server = _server(settings, egress)

    def outside(self, store: Store) -> bool:
        """Whether the vectors of this index belong outside: always, or from a size on."""
        if self._settings.store != "auto":
            return self._settings.store != "numpy"
        return installed() and store.totals()[1] > self._settings.usearch_above

    def __call__(self, store: Store) -> VectorStore:
        """The vectors as they are now. Contacts nobody yet. Raises ``Invalid`` where an extra is not installed."""
        identity, embedder = self._identity(store), self._embedder
        if self._settings.store == "chroma":
            name = collection_name(self._settings.chroma_collection, identity, embedder.id)
            return ChromaVectors(self._collection(name), embedder.dimensions)
        return UsearchVectors(self._folder, identity, embedder.id, embedder.dimensions)

    def close(self) -> None:
        """Safe to call twice."""
        if self._server is not None:
            self._server.close()

    def _collection(self, name: str) -> Collection:
        if self._server is None:
            return EmbeddedCollection(self._folder / "chroma", name)
        return ServedCollection(self._server, name)


def _server(settings: IndexSettings, egress: Egress) -> ChromaServer | None:
    if settings.store != "chroma" or not settings.chroma_url:
        return None
    return ChromaServer(settings.chroma_url, egress)
