"""The index on disk: one SQLite file per checkout. Knows tables and transactions; not what is a good answer.

Every update is one transaction, so readers see the old generation or the new one and a killed writer leaves the old one. Postings are
kept in segments, one per update, so that a changed file costs what it holds and not what the index holds; a chunk whose file is gone has
length 0 in its segment until segments are merged.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# term -> (chunk numbers, counts)
Postings: TypeAlias = "Mapping[str, tuple[NDArray[np.uint32], NDArray[np.uint8]]]"
# Raise it whenever tables, chunks or terms change: an index of another format is made again.
FORMAT = 3
DATABASE = "index.db"
VARIABLES = 500
# What bytes of the wrong kind lead to, in SQLite and where they are used.
NONSENSE = (sqlite3.DatabaseError, LookupError, TypeError, ValueError)
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  digest TEXT NOT NULL,
  language TEXT NOT NULL, chunks INTEGER NOT NULL, fell_back TEXT NOT NULL, unread TEXT NOT NULL
);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, symbol TEXT NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX chunks_by_file ON chunks (file);
CREATE TABLE symbols (
  file INTEGER NOT NULL, name TEXT NOT NULL, folded TEXT NOT NULL, qualified TEXT NOT NULL, kind TEXT NOT NULL,
  start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, signature TEXT NOT NULL, doc TEXT NOT NULL
);
CREATE INDEX symbols_by_name ON symbols (folded);
CREATE INDEX symbols_by_file ON symbols (file);
CREATE TABLE segments (first INTEGER PRIMARY KEY, files BLOB NOT NULL, lengths BLOB NOT NULL);
CREATE TABLE postings (term TEXT NOT NULL, segment INTEGER NOT NULL, entries BLOB NOT NULL, PRIMARY KEY (segment, term)) WITHOUT ROWID;
CREATE TABLE vectors (number INTEGER PRIMARY KEY, ids BLOB NOT NULL, rows BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as the index knows it. ``unread``: why it has no chunks, or ""."""

    id: int
    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: str
    language: str
    chunks: int
    fell_back: str
    unread: str


@dataclass(frozen=True, slots=True)
class Layout:
    """All chunks of one generation as arrays: file id and length in terms (0: dead) by chunk id minus ``first``."""

    generation: int
    first: int
    files: "NDArray[np.uint32]"
    lengths: "NDArray[np.uint32]"


class Store:
    """An open index. One connection, used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._file = _identity(path)

    @classmethod
    def open(cls, folder: Path) -> "Store | str":
        """The index in ``folder``, or why what is there cannot be used ("" when there is nothing)."""
        path = folder / DATABASE
        if not path.exists():
            return ""
        try:
            store = cls(_connect(path), path)
        except NONSENSE as error:
            if not is_damage(error):
                raise
            return damaged(error)
        try:
            found = store.format()
            if found == FORMAT:
                return store
            reason = "it was made by another version of Fireside" if found else "it was incomplete"
        except NONSENSE as error:
            if not is_damage(error):
                store.close()
                raise
            reason = damaged(error)
        store.close()
        return reason

    @classmethod
    def create(cls, folder: Path) -> "Store":
        """A new, empty index in place of whatever is there. The caller holds the writer's lock."""
        discard(folder)
        path = folder / DATABASE
        store = cls(_connect(path), path)
        with store.transaction():
            for statement in SCHEMA.split(";"):
                store.connection.execute(statement)
            store.set_meta({"format": str(FORMAT), "identity": uuid4().hex})
        return store

    def close(self) -> None:
        self.connection.close()

    def replaced(self) -> bool:
        """Whether the file has been removed or made again since it was opened; this connection would go on with the old one."""
        return _identity(self._path) != self._file

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # On a full disk SQLite has rolled back by itself.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside belongs to one generation."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def format(self) -> int:
        """The version of the tables; 0 when they are not there. Raises ``sqlite3.DatabaseError`` on a damaged file."""
        known = self.connection.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
        return int(self.meta("format", "0")) if known else 0

    def meta(self, key: str, default: str = "") -> str:
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else default

    def set_meta(self, values: Mapping[str, str]) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def forget(self) -> None:
        """Leave nothing but the number of the generation and of the next chunk."""
        for table in ("files", "chunks", "symbols", "segments", "postings", "vectors"):
            self.connection.execute(f"DELETE FROM {table}")

    def identity(self) -> str:
        """Another text whenever the ids of chunks begin anew."""
        return self.meta("identity")

    def generation(self) -> int:
        return int(self.meta("generation", "0"))

    def files(self) -> dict[str, FileRow]:
        """All files by path."""
        rows = self.connection.execute("SELECT * FROM files")
        return {row[1]: FileRow(*row) for row in rows}

    def totals(self) -> tuple[int, int]:
        """(files with chunks, chunks)."""
        row = self.connection.execute(
            "SELECT count(*), coalesce(sum(chunks), 0) FROM files WHERE unread = ''"
        ).fetchone()
        return int(row[0]), int(row[1])

    def layout(self) -> Layout:
        import numpy as np

        rows = self.connection.execute("SELECT first, files, lengths FROM segments ORDER BY first").fetchall()
        if not rows:
            return Layout(self.generation(), 0, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
        first, end = rows[0][0], rows[-1][0] + len(rows[-1][2]) // 4
        files, lengths = np.zeros(end - first, np.uint32), np.zeros(end - first, np.uint32)
        for start, file_blob, length_blob in rows:
            size = len(length_blob) // 4
            files[start - first : start - first + size] = np.frombuffer(file_blob, np.uint32)
            lengths[start - first : start - first + size] = np.frombuffer(length_blob, np.uint32)
        return Layout(self.generation(), first, files, lengths)

    def postings(self, terms: Iterable[str], layout: Layout) -> Postings:
        """For each term that occurs: chunk numbers (ids minus ``layout.first``) and counts."""
        import numpy as np

        wanted = sorted(terms)
        segments = [row[0] for row in self.connection.execute("SELECT first FROM segments ORDER BY first")]
        found: dict[str, list[tuple[NDArray[np.uint32], NDArray[np.uint8]]]] = {}
        for segment in segments:
            for term, entries in self.select(
                f"SELECT term, entries FROM postings WHERE segment = {segment} AND term IN", wanted
            ):
                found.setdefault(term, []).append(split_entries(entries))
        joined = {term: pairs[0] if len(pairs) == 1 else _join(pairs) for term, pairs in found.items()}
        return {term: (chunks - np.uint32(layout.first), counts) for term, (chunks, counts) in joined.items()}

    def select(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Rows for a statement that ends in ``IN``, for any number of values."""
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(values), VARIABLES):
            part = values[start : start + VARIABLES]
            rows += self.connection.execute(f"{statement} ({','.join('?' * len(part))})", tuple(part)).fetchall()
        return rows


def split_entries(blob: bytes) -> "tuple[NDArray[np.uint32], NDArray[np.uint8]]":
    """A posting list as stored: all chunk ids (4 bytes each), then all counts (1 byte each)."""
    import numpy as np

    size = len(blob) // 5
    return np.frombuffer(blob, np.uint32, size), np.frombuffer(blob, np.uint8, size, size * 4)


def _join(
    pairs: "Sequence[tuple[NDArray[np.uint32], NDArray[np.uint8]]]",
) -> "tuple[NDArray[np.uint32], NDArray[np.uint8]]":
    import numpy as np

    return np.concatenate([chunks for chunks, _ in pairs]), np.concatenate([counts for _, counts in pairs])


def is_damage(error: Exception) -> bool:
    """Whether an error means that what is in the file makes no sense, and not that the file cannot be used at the moment.

    ``SQLITE_ERROR`` is a table that is not there or, raised by Python without a code, text that is no UTF-8.
    """
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR
    return isinstance(error, NONSENSE)


def damaged(error: Exception) -> str:
    """Why an index is made again. SQLite may quote a whole chunk; one short line says enough."""
    words = str(error).split("\n")[0][:80] if isinstance(error, sqlite3.DatabaseError) else "it contradicts itself"
    return f"it was damaged ({words})"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def discard(folder: Path) -> None:
    """Remove an index and what SQLite keeps beside it."""
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal"):
        (folder / name).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA mmap_size = 268435456")
    except BaseException:
        connection.close()
        raise
    return connection
