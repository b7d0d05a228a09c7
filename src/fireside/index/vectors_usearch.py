"""Vectors in a graph that is searched without looking at all of them, for projects where comparing one by one takes too long.

HNSW (Malkov & Yashunin, TPAMI 2020) by the library usearch, memory-mapped, so that opening it reads nothing. The graph cannot be changed
where it lies: additions and removals go into a log beside it, are compared one by one, and are taken over into a new graph when they have
become many. What the graph proposes is compared exactly before it is ranked. Knows neither the index's database nor texts.

A graph and the log begun with it bear one number; the highest number that has a log counts. So a new pair is in force from the moment its
log is in place, and whoever reads the old pair goes on reading it.
"""

import os
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fireside.core.errors import Invalid, OutOfResources
from fireside.index.vector_log import Stamp, VectorLog
from fireside.index.vector_shape import among, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from usearch.index import Index

# Measured on 20,000 vectors of 256 in 300 clusters: 1.000 of the best 50 are found, in 0.5 ms.
CONNECTIVITY = 24
EXPANSION_ADD = 128
EXPANSION_SEARCH = 192
TAIL = 4_096
TAIL_SHARE = 32
GONE_SHARE = 5
BLOCK = 16_384


class UsearchVectors:
    """A ``VectorStore`` in files of ``folder``. ``tail``: how many vectors may wait in the log before a graph is made of them.

    ``index_id``: another one whenever ids begin anew. Vectors of another index or embedder that lie in ``folder`` are removed by the first
    addition. One process may write at a time; others go on reading what they opened. Raises ``Invalid`` where usearch is not installed.
    """

    def __init__(self, folder: Path, index_id: str, embedder_id: str, dimensions: int, *, tail: int = TAIL) -> None:
        if not installed():
            raise Invalid("usearch is not installed", remedy="pip install 'fireside[usearch]'")
        self._folder = folder
        self._key = blake2b(f"{index_id}\0{embedder_id}\0{dimensions}".encode(), digest_size=8).hexdigest()
        self._dimensions = dimensions
        self._most = tail
        self._number = 0
        self._log: VectorLog | None = None
        self._graph: Index | None = None
        self._tail: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
        self._open()

    def ids(self) -> "NDArray[np.int64]":
        import numpy as np

        return np.union1d(self._in_graph(), self._waiting()[0])

    def add(self, ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]") -> None:
        """Raises ``Invalid`` when the vectors have another length than those of this store. Ids that are there stay as they are."""
        import numpy as np

        ids, vectors = fitted(ids, vectors, self._dimensions)
        log = self._writable()
        fresh = ~(self._drawn(ids) | np.isin(ids, log.ids))
        if fresh.any():
            self._tail = None
            log.add(ids[fresh], vectors[fresh].astype(np.float16))
            if len(log.ids) > max(self._most, self._size() // TAIL_SHARE):
                self._renew(log)

    def remove(self, ids: "NDArray[np.int64]") -> None:
        import numpy as np

        log = self._writable()
        there = self._drawn(ids) | np.isin(ids, log.ids)
        if there.any():
            self._tail = None
            log.remove(ids[there])
            if self._much_gone(log):
                self._renew(log)

    def nearest(self, query: "NDArray[np.float32]", count: int) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        import numpy as np

        proposed = self._proposed(query, count)
        waiting, rows = self._waiting()
        ids = np.concatenate([proposed, waiting])
        scores = np.concatenate([self._rows(proposed) @ query, rows @ query])
        count = min(max(count, 0), len(ids))
        best = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
        best = best[np.argsort(-scores[best], kind="stable")]
        return ids[best], scores[best]

    def similarities(self, query: "NDArray[np.float32]", ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        import numpy as np

        found = np.zeros(len(ids), np.float32)
        there = self._drawn(ids)
        found[there] = self._rows(ids[there]) @ query
        waiting, rows = self._waiting()
        there = among(ids, waiting)
        found[there] = rows[np.searchsorted(waiting, ids[there])] @ query
        return found

    def close(self) -> None:
        self._log = self._graph = self._tail = None

    def _proposed(self, query: "NDArray[np.float32]", count: int) -> "NDArray[np.int64]":
        """At least ``count`` ids from the graph, where it holds so many that are not removed."""
        import numpy as np

        if self._log is None or self._graph is None or count < 1:
            return np.zeros(0, np.int64)
        wanted, size = count, self._size()
        while True:
            found = self._graph.search(query, min(wanted, size)).keys.astype(np.int64)
            kept = found[~among(found, self._log.gone)]
            if len(kept) >= count or wanted >= size:
                return kept
            wanted *= 2

    def _rows(self, ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """The vectors of ids that are in the graph."""
        import numpy as np

        if self._graph is None or not len(ids):
            return np.zeros((0, self._dimensions), np.float32)
        rows = cast("Sequence[NDArray[np.float16]]", self._graph.get(_keys(ids)))
        return np.stack(list(rows)).astype(np.float32)

    def _waiting(self) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """What is in the log alone: ids, ascending, and their vectors."""
        import numpy as np

        if self._log is None:
            return np.zeros(0, np.int64), np.zeros((0, self._dimensions), np.float32)
        if self._tail is None:
            order = np.argsort(self._log.ids)
            self._tail = self._log.ids[order], self._log.rows[order].astype(np.float32)
        return self._tail

    def _drawn(self, ids: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Which of ``ids`` are in the graph and not removed."""
        import numpy as np

        if self._log is None or self._graph is None or not len(ids):
            return np.zeros(len(ids), np.bool_)
        return np.asarray(self._graph.contains(_keys(ids)), np.bool_) & ~among(ids, self._log.gone)

    def _much_gone(self, log: VectorLog) -> bool:
        return len(log.gone) > (self._most if self._graph is None else self._size() // GONE_SHARE)

    def _in_graph(self) -> "NDArray[np.int64]":
        """The ids in the graph that are not removed, ascending."""
        import numpy as np

        if self._log is None or self._graph is None:
            return np.zeros(0, np.int64)
        keys = np.sort(np.asarray(self._graph.keys[:]).astype(np.int64))
        return keys[~among(keys, self._log.gone)]

    def _size(self) -> int:
        return 0 if self._graph is None else len(self._graph)

    def _open(self) -> None:
        """Read the pair that is in force; none where there is none, or it is damaged."""
        self.close()
        tried = 0
        while True:
            names = (path.stem for path in self._folder.glob(f"{self._stem}*.log"))
            self._number = max((int(name.rpartition("-")[2]) for name in names), default=0)
            if self._number == tried:
                return
            tried = self._number
            try:
                log = VectorLog.read(self._log_path, self._dimensions)
                self._graph = self._mapped(log) if log is not None else None
            except (FileNotFoundError, LookupError):
                # Damaged, or replaced by the writer in this very moment: then there is a higher number now.
                continue
            self._log = log
            return

    def _mapped(self, log: VectorLog) -> "Index | None":
        """Raises ``LookupError`` when the graph is not the one the log was begun with."""
        if not log.stamp.size:
            return None
        if not log.stamp.fits(self._graph_path):
            raise LookupError(self._graph_path)
        return _graph(self._graph_path, self._dimensions, mapped=True)

    def _writable(self) -> VectorLog:
        """The log, as the last writer left it; a new pair of nothing where there is none."""
        if self._log is None or self._log.grown():
            self._open()
        if self._log is None:
            self._begin(None)
        assert self._log is not None
        return self._log

    def _renew(self, log: VectorLog) -> None:
        """A new graph with all there is: the old one and the log's additions, or, when much of it is gone, made from the beginning."""
        import numpy as np

        kept = self._in_graph()
        again = self._graph is None or self._much_gone(log)
        # An id that was removed and came back has two vectors until the graph is made from the beginning.
        again = again or (self._graph is not None and bool(np.any(self._graph.contains(_keys(log.ids)))))
        again = again or not log.stamp.fits(self._graph_path)
        if again:
            graph = _graph(None, self._dimensions)
            for start in range(0, len(kept), BLOCK):
                part = kept[start : start + BLOCK]
                graph.add(_keys(part), self._rows(part).astype(np.float16))
        else:
            graph = _graph(self._graph_path, self._dimensions)
        graph.add(_keys(log.ids), log.rows)
        self._begin(graph if len(graph) else None, np.zeros(0, np.int64) if again else log.gone)

    def _begin(self, graph: "Index | None", gone: "NDArray[np.int64] | None" = None) -> None:
        import numpy as np

        self._folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        stamp = Stamp()
        if graph is not None:
            _save(graph, self._graph_path)
            stamp = Stamp.of(self._graph_path)
        VectorLog.begin(self._log_path, self._dimensions, stamp, np.zeros(0, np.int64) if gone is None else gone)
        for path in self._folder.glob("vectors-*"):
            if path not in (self._graph_path, self._log_path):
                path.unlink(missing_ok=True)
        self._open()

    @property
    def _stem(self) -> str:
        return f"vectors-{self._key}-"

    @property
    def _log_path(self) -> Path:
        return self._folder / f"{self._stem}{self._number}.log"

    @property
    def _graph_path(self) -> Path:
        return self._folder / f"{self._stem}{self._number}.graph"


def installed() -> bool:
    return find_spec("usearch") is not None


def _graph(path: Path | None, dimensions: int, *, mapped: bool = False) -> "Index":
    """An empty graph, or the one in a file: ``mapped`` for reading, else in memory. Raises ``LookupError`` for a file that is none."""
    from usearch.index import Index

    graph = Index(
        ndim=dimensions,
        metric="cos",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )
    if path is not None:
        try:
            graph.view(str(path)) if mapped else graph.load(str(path))
        except (RuntimeError, ValueError) as error:
            raise LookupError(path) from error
    return graph


def _save(graph: "Index", path: Path) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        graph.save(str(fresh))
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except (RuntimeError, ValueError) as error:
        raise OutOfResources(f"cannot write {path}: {error}", remedy="make room on the disk") from error
    finally:
        fresh.unlink(missing_ok=True)


def _keys(ids: "NDArray[np.int64]") -> "NDArray[np.uint64]":
    import numpy as np

    return ids.astype(np.uint64)
