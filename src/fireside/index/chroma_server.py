"""A collection at a Chroma server, through its HTTP API (version 2, Chroma 1.x).

Written here because chromadb's own client has no time limits, obeys proxies from the environment and resolves names by itself, so that the
privacy guard could not hold it. How a request is sent is not known here: ``app`` hands over ``Ask``, which goes through the guard.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, TimedOut
from fireside.index.vectors_chroma import HNSW, NoVectors, outdated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Answer = TypeVar("Answer")
Ask = Callable[[str, str, object], object]
"""(method, path below ``/api/v2``, JSON body) -> JSON answer. Raises ``FiresideError``, with ``context["status"]`` where there is one."""

COLLECTIONS = "/tenants/default_tenant/databases/default_database/collections"
PAGE = 1_000
REMEDY = "start it: chroma run --path FOLDER; or do without it: fireside config set index.store auto"


class ServedCollection:
    """The collection ``name`` at the server that ``ask`` reaches. Made when the first question comes and it is not there."""

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self._name = name
        self._id = ""

    def ids(self) -> list[str]:
        return self._answer("get", {"include": []}, lambda found: list(found["ids"]))

    def upsert(self, ids: list[str], rows: "NDArray[np.float32]") -> None:
        self._answer("upsert", {"ids": ids, "embeddings": rows.tolist()}, lambda found: None)

    def delete(self, ids: list[str]) -> None:
        self._answer("delete", {"ids": ids}, lambda found: None)

    def query(self, row: "NDArray[np.float32]", count: int) -> tuple[list[str], list[float]]:
        body = {"query_embeddings": [row.tolist()], "n_results": count, "include": ["distances"]}
        return self._answer("query", body, lambda found: (found["ids"][0], found["distances"][0]))

    def vectors(self, ids: list[str]) -> "tuple[list[str], NDArray[np.float32]]":
        import numpy as np

        body = {"ids": ids, "include": ["embeddings"]}
        return self._answer("get", body, lambda found: (found["ids"], np.array(found["embeddings"], np.float32)))

    def close(self) -> None:
        self._id = ""

    def _answer(self, route: str, body: object, read: Callable[[Any], Answer]) -> Answer:
        """Asked once more when somebody has removed the collection meanwhile: then it is empty."""
        try:
            return self._send("POST", f"/{self._found()}/{route}", body, read)
        except Invalid as error:
            if error.context.get("status") != 404:
                raise
        self._id = ""
        return self._send("POST", f"/{self._found()}/{route}", body, read)

    def _found(self) -> str:
        if not self._id:
            for name in outdated(self._name, self._known()):
                self._send("DELETE", f"/{name}", None, lambda found: None)
            body = {"name": self._name, "get_or_create": True, "configuration": {"hnsw": HNSW}}
            self._id = self._send("POST", "", body, lambda found: str(found["id"]))
        return self._id

    def _known(self) -> list[str]:
        names: list[str] = []
        while True:
            path = f"?limit={PAGE}&offset={len(names)}"
            page = self._send("GET", path, None, lambda found: [str(one["name"]) for one in found])
            names += page
            if len(page) < PAGE:
                return names

    def _send(self, method: str, path: str, body: object, read: Callable[[Any], Answer]) -> Answer:
        try:
            return read(self._ask(method, COLLECTIONS + path, body))
        except (ConnectionFailed, TimedOut) as error:
            raise NoVectors(f"the Chroma server: {error.message}", remedy=REMEDY) from error
        except FiresideError as error:
            if int(str(error.context.get("status", 0))) >= 500:
                raise NoVectors(f"the Chroma server fails: {error.message}", remedy=REMEDY) from error
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise NoVectors("what answers there is no Chroma server", remedy="check index.chroma_url") from error
