"""Vectors kept by what was embedded, so that another branch, another worktree or an index made again embeds nothing twice.

Knows digests and numbers, no index. A cache may always be lost: a damaged one is thrown away, and where none can be written the work goes
on without it.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from fireside.index.embedder import Embedder, Passage
from fireside.index.store import is_damage

if TYPE_CHECKING:
    import numpy as np
    from filelock import BaseFileLock
    from numpy.typing import NDArray

FORMAT = 1
LIMIT = 1024 * 1024 * 1024
KEPT = 0.75
BATCH = 64
VARIABLES = 500
WAIT_SECONDS = 5.0
DAY = 24 * 60 * 60
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, vector BLOB NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS vectors_by_use ON vectors (used)",
)
Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Closable(Embedder, Protocol):
    def close(self) -> None: ...


class VectorCache:
    """The vectors of one embedder, in one file of ``folder``. Safe to share between threads and processes; nothing here raises.

    ``limit``: bytes the file may have; beyond it the vectors that were not used for the longest time go, until a quarter is free.
    ``say``: is told, once, why nothing more is kept.
    """

    def __init__(
        self,
        folder: Path,
        embedder_id: str,
        dimensions: int,
        *,
        limit: int = LIMIT,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        name = blake2b(f"{FORMAT}\0{embedder_id}\0{dimensions}".encode(), digest_size=10).hexdigest()
        self.path = folder / f"{name}.sqlite"
        self._dimensions = dimensions
        self._limit = limit
        self._say = say
        self._trouble = ""
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def get(self, digests: Sequence[bytes]) -> "dict[bytes, NDArray[np.float32]]":
        """The vectors that are known, by digest."""
        return self._done(lambda connection: self._read(connection, digests)) or {}

    def put(self, digests: Sequence[bytes], vectors: "NDArray[np.float32]") -> None:
        """Keep one row of ``vectors`` for each digest, as 16-bit floats. On the disk when this returns."""
        if not self._trouble and len(digests):
            self._done(lambda connection: self._write(connection, digests, vectors))

    def close(self) -> None:
        """Safe to call twice."""
        with self._guard:
            self._shut()

    def _read(self, connection: sqlite3.Connection, digests: Sequence[bytes]) -> "dict[bytes, NDArray[np.float32]]":
        import numpy as np

        found: dict[bytes, NDArray[np.float32]] = {}
        stale: list[bytes] = []
        today = int(time.time()) // DAY
        for part in _parts(digests):
            rows = connection.execute(
                f"SELECT digest, vector, used FROM vectors WHERE digest IN ({_marks(part)})", part
            )
            for digest, blob, used in rows:
                if len(blob) == 2 * self._dimensions:
                    found[digest] = np.frombuffer(blob, np.float16).astype(np.float32)
                    if used < today:
                        stale.append(digest)
        if stale and not self._trouble:
            for part in _parts(stale):
                connection.execute(f"UPDATE vectors SET used = {today} WHERE digest IN ({_marks(part)})", part)
        return found

    def _write(self, connection: sqlite3.Connection, digests: Sequence[bytes], vectors: "NDArray[np.float32]") -> None:
        import numpy as np

        today = int(time.time()) // DAY
        rows = vectors.astype(np.float16)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                ((digest, row.tobytes(), today) for digest, row in zip(digests, rows, strict=True)),
            )
            self._prune(connection)
            connection.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _prune(self, connection: sqlite3.Connection) -> None:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        used = (pages - free) * size
        if used <= self._limit:
            return
        count = int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])
        surplus = count - int(count * KEPT * self._limit / used)
        connection.execute(
            "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?)", (surplus,)
        )

    def _done(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """What ``work`` gives, or nothing where it cannot be done. A damaged file is made again, once."""
        from filelock import Timeout

        with self._guard:
            for last in (False, True):
                try:
                    return work(self._connected())
                except sqlite3.Error as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        return None  # another process is writing; this once it goes without
                    if last or not is_damage(error) or not self._thrown_away():
                        self._go_without(str(error))
                        return None
                except (OSError, Timeout) as error:
                    self._go_without(str(error))
                    return None
        return None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Nobody opens the file while another process is making it again.
            with self._alone():
                try:
                    self._connection = _connect(self.path)
                except sqlite3.Error as error:
                    if not is_damage(error):
                        raise
                    self._remove()
                    self._connection = _connect(self.path)
                self._opened = _identity(self.path)
        return self._connection

    def _thrown_away(self) -> bool:
        """Remove the damaged file, unless another process has made it again already."""
        from filelock import Timeout

        self._shut()
        try:
            with self._alone():
                if self._opened == _identity(self.path):
                    self._remove()
        except (OSError, Timeout):
            return False
        return True

    def _alone(self) -> "BaseFileLock":
        from filelock import FileLock

        return FileLock(self.path.with_suffix(".lock"), timeout=WAIT_SECONDS)

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)

    def _shut(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _go_without(self, reason: str) -> None:
        self._shut()
        if not self._trouble:
            self._trouble = reason
            self._say(f"vectors are not kept for the next time: {self.path}: {reason}")


class CachedEmbedder:
    """An embedder that asks another one only for what ``open_cache(id, dimensions)`` does not hold.

    Every batch is kept as soon as it is made: whoever breaks off loses one batch at most. Vectors have the precision of the cache whether
    they come from there or not.
    """

    def __init__(self, embedder: Closable, open_cache: Callable[[str, int], VectorCache]) -> None:
        self._embedder = embedder
        self._open_cache = open_cache
        self._cache: tuple[str, VectorCache] | None = None

    @property
    def id(self) -> str:
        return self._embedder.id

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def cheap(self) -> bool:
        return self._embedder.cheap

    @property
    def floor(self) -> float:
        return self._embedder.floor

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        import numpy as np

        if not passages:
            return np.zeros((0, self.dimensions), np.float32)
        cache = self._current()
        digests = [digest_of(passage) for passage in passages]
        known = cache.get(list(dict.fromkeys(digests)))
        missing = [
            (digest, passage)
            for digest, passage in dict(zip(digests, passages, strict=True)).items()
            if digest not in known
        ]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            made = self._embedder.passages([passage for _, passage in part])
            cache.put([digest for digest, _ in part], made)
            rounded = made.astype(np.float16).astype(np.float32)
            known |= {digest: row for (digest, _), row in zip(part, rounded, strict=True)}
        return np.stack([known[digest] for digest in digests])

    def query(self, text: str) -> "NDArray[np.float32]":
        return self._embedder.query(text)

    def close(self) -> None:
        """Closes the other embedder too. Safe to call twice."""
        if self._cache is not None:
            self._cache[1].close()
        self._cache = None
        self._embedder.close()

    def _current(self) -> VectorCache:
        """The cache of the embedder as it is now: a model can change under its name, and then has another id."""
        if self._cache is None or self._cache[0] != self.id:
            if self._cache is not None:
                self._cache[1].close()
            self._cache = self.id, self._open_cache(self.id, self.dimensions)
        return self._cache[1]


def digest_of(passage: Passage) -> bytes:
    """16 bytes of BLAKE2b over everything that is embedded of a chunk."""
    parts = (passage.path, passage.symbol, passage.text)
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _parts(digests: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(digests[start : start + VARIABLES]) for start in range(0, len(digests), VARIABLES)]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", *SCHEMA):
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino
