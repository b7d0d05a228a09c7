"""Checkpoints on disk: one SQLite file per root. Knows tables, transactions and damage; not what undo means.

Contents are kept once, by digest, compressed. ``files`` is how the project was seen last; of earlier states only the differences are
kept, each with what was there before, so that a state is read by going back from the last one, and the oldest can simply be dropped.
"""

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fireside.core.errors import Invalid
from fireside.workspace.checkpoints.states import Checkpoint, Entry, FileChange, Kind, Version
from fireside.workspace.marks import digest_of

FORMAT = 1
DATABASE = "checkpoints.db"
# Codes of SQLite that mean: what is in the file makes no sense. Text that is no UTF-8 has none, as has what is raised here.
DAMAGE = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
)
NEVER = (1 << 63) - 1
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoints (
  id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, files INTEGER NOT NULL,
  changed INTEGER NOT NULL, of INTEGER
);
CREATE TABLE changes (
  checkpoint INTEGER NOT NULL, path BLOB NOT NULL, before TEXT, before_mode INTEGER, after TEXT, after_mode INTEGER,
  PRIMARY KEY (checkpoint, path)
) WITHOUT ROWID;
CREATE TABLE files (
  path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, mark TEXT NOT NULL,
  mode INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE blobs (digest TEXT PRIMARY KEY, data BLOB NOT NULL);
"""
UNUSED = """
DELETE FROM blobs WHERE digest NOT IN (
  SELECT mark FROM files UNION SELECT before FROM changes WHERE before IS NOT NULL UNION SELECT after FROM changes WHERE after IS NOT NULL
)
"""


class Store:
    """An open store. One connection, used by one thread at a time. Raises ``sqlite3.Error`` for what is damaged or cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATABASE
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._connection.executescript(
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                " PRAGMA journal_size_limit = 4000000;"
            )
            if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                with self.transaction():
                    for statement in SCHEMA.split(";"):
                        self._connection.execute(statement)
                    self.note("format", str(FORMAT))
            if self.noted("format") != str(FORMAT):
                raise sqlite3.DatabaseError("it was made by another version of Fireside")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Safe to call twice."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def noted(self, key: str) -> str:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def note(self, key: str, value: str) -> None:
        """Remember a word under ``key``; an empty one forgets it."""
        self._connection.execute("DELETE FROM meta WHERE key = ?", (key,))
        if value:
            self._connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))

    def files(self) -> dict[str, Entry]:
        """Every file as it was seen last."""
        rows = self._connection.execute("SELECT path, size, mtime_ns, ctime_ns, mark, mode FROM files")
        return {
            os.fsdecode(path): Entry(size, mtime, ctime, Version(mark, mode))
            for path, size, mtime, ctime, mark, mode in rows
        }

    def remember(self, entries: Mapping[str, Entry], gone: Iterable[str]) -> None:
        self._connection.executemany("DELETE FROM files WHERE path = ?", ((os.fsencode(path),) for path in gone))
        self._connection.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
            ((os.fsencode(path), *entry[:3], *entry.version) for path, entry in entries.items()),
        )

    def add(
        self, kind: Kind, label: str, *, files: int, changes: Collection[FileChange], of: int | None = None
    ) -> Checkpoint:
        """Append a checkpoint and how it differs from the last one (the first: from nothing, which is not kept)."""
        now = time.time()
        row = (label, now, kind, files, len(changes), of)
        cursor = self._connection.execute(
            "INSERT INTO checkpoints (label, at, kind, files, changed, of) VALUES (?, ?, ?, ?, ?, ?)", row
        )
        number = cursor.lastrowid
        assert number is not None
        self._connection.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)",
            (
                (number, os.fsencode(one.path), *(one.before or (None, None)), *(one.after or (None, None)))
                for one in changes
            ),
        )
        return Checkpoint(number, label, now, kind, files, len(changes), of)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All of them, oldest first."""
        rows = self._connection.execute("SELECT id, label, at, kind, files, changed, of FROM checkpoints ORDER BY id")
        return tuple(Checkpoint(*row) for row in rows)

    def last(self) -> Checkpoint | None:
        row = self._connection.execute(
            "SELECT id, label, at, kind, files, changed, of FROM checkpoints ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return Checkpoint(*row) if row else None

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0])

    def changes(self, checkpoint: int) -> list[FileChange]:
        """How a checkpoint differs from the one before it, by path."""
        return list(self._changes("checkpoint = ? ORDER BY path", checkpoint))

    def between(self, first: int, last: int | None = None) -> dict[str, FileChange]:
        """What has changed from one checkpoint to a later one (else: the last), by path."""
        found: dict[str, FileChange] = {}
        end = NEVER if last is None else last
        for one in self._changes("checkpoint > ? AND checkpoint <= ? ORDER BY checkpoint", first, end):
            earlier = found.get(one.path, one)
            found[one.path] = FileChange(one.path, earlier.before, one.after)
        return {path: one for path, one in sorted(found.items()) if one.before != one.after}

    def _changes(self, condition: str, *values: int) -> Iterator[FileChange]:
        rows = self._connection.execute(
            f"SELECT path, before, before_mode, after, after_mode FROM changes WHERE {condition}", values
        )
        for path, before, before_mode, after, after_mode in rows:
            yield FileChange(
                os.fsdecode(path),
                None if before is None else Version(before, before_mode),
                None if after is None else Version(after, after_mode),
            )

    def keep(self, digest: str, data: bytes) -> None:
        """Store contents, once."""
        if not self._connection.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
            self._connection.execute("INSERT INTO blobs VALUES (?, ?)", (digest, zlib.compress(data, 1)))

    def contents(self, digest: str, path: str) -> bytes:
        """The bytes of a digest. Raises ``Invalid`` naming ``path`` when they are not what they were."""
        try:
            row = self._connection.execute("SELECT data FROM blobs WHERE digest = ?", (digest,)).fetchone()
            data = zlib.decompress(row[0]) if row else None
        except zlib.error:
            data = None
        if data is None or digest_of(data) != digest:
            raise Invalid(
                f"the kept contents of {path} are damaged; nothing was written",
                remedy="choose an earlier or later state: fireside checkpoints",
                path=path,
                reason="damaged",
            )
        return data

    def drop_all_but(self, newest: int) -> int:
        """Forget every older checkpoint, and the contents that only they had. Returns how many."""
        row = self._connection.execute(
            "SELECT id FROM checkpoints ORDER BY id DESC LIMIT 1 OFFSET ?", (newest - 1,)
        ).fetchone()
        if row is None:
            return 0
        with self.transaction():
            self._connection.execute("DELETE FROM changes WHERE checkpoint < ?", row)
            dropped = self._connection.execute("DELETE FROM checkpoints WHERE id < ?", row).rowcount
            self._connection.execute(UNUSED)
        # Not ``execute``: it would free one page and stop.
        self._connection.executescript("PRAGMA incremental_vacuum")
        return dropped


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that what is in the file makes no sense, and not that the file cannot be used at the moment."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in DAMAGE and not isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError)


def set_aside(folder: Path) -> Path:
    """Move a store that cannot be read out of the way; what it holds is not deleted. Returns where it is now."""
    number = next(number for number in range(1, 1_000_000) if not (folder / f"damaged-{number}.db").exists())
    aside = folder / f"damaged-{number}.db"
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / (DATABASE + suffix), folder / (aside.name + suffix))
    return aside
