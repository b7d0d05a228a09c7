"""Vectors added and removed since the large file beside it was written: a file that only grows, and is replaced when the large one is.

A record that was cut off (kill -9, power, a full disk) ends the log; what follows the last whole record is overwritten by the next one.
Vectors are kept as 16-bit floats. Knows nothing of how vectors are searched.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"firevec1"
HEAD = struct.Struct("<8sIIqq")
RECORD = struct.Struct("<III")
ADDED, REMOVED = 1, 2


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the large file was when the log was begun: bytes, CRC-32 and modification time; all zero when there was none."""

    size: int = 0
    crc: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        facts = path.stat()
        return cls(facts.st_size, _crc_of(path), facts.st_mtime_ns)

    def fits(self, path: Path) -> bool:
        """Whether the file is still that one. It is read only when its time says that somebody has touched it."""
        try:
            facts = path.stat()
            return facts.st_size == self.size and (facts.st_mtime_ns == self.mtime_ns or _crc_of(path) == self.crc)
        except OSError:
            return False


@dataclass(slots=True)
class VectorLog:
    """``ids`` and ``rows`` (n, dimensions): added and not removed since. ``gone``: ids removed.

    ``end``: how many bytes of the file are whole.
    """

    path: Path
    stamp: Stamp
    end: int
    ids: "NDArray[np.int64]"
    rows: "NDArray[np.float16]"
    gone: "NDArray[np.int64]"

    @classmethod
    def read(cls, path: Path, dimensions: int) -> "VectorLog | None":
        """``None`` where it is no log of vectors of this length. Raises ``OSError`` when it cannot be read."""
        import numpy as np

        data = path.read_bytes()
        if len(data) < HEAD.size:
            return None
        magic, width, crc, size, mtime_ns = HEAD.unpack_from(data)
        if magic != MAGIC or width != dimensions:
            return None
        log = cls(
            path,
            Stamp(size, crc, mtime_ns),
            HEAD.size,
            np.zeros(0, np.int64),
            np.zeros((0, dimensions), np.float16),
            np.zeros(0, np.int64),
        )
        log._replay(data)
        return log

    @classmethod
    def begin(cls, path: Path, dimensions: int, stamp: Stamp, gone: "NDArray[np.int64]") -> None:
        """Write a new log, all at once, in place of whatever is there. ``gone``: ids in the large file that count as removed."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        head = HEAD.pack(MAGIC, dimensions, stamp.crc, stamp.size, stamp.mtime_ns)
        try:
            with fresh.open("wb") as file:
                file.write(head + (_record(REMOVED, gone, b"") if len(gone) else b""))
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def add(self, ids: "NDArray[np.int64]", rows: "NDArray[np.float16]") -> None:
        """Ids that are in the log already are the caller's fault."""
        self._append(_record(ADDED, ids, rows.tobytes()))
        self._take(ids, rows)

    def remove(self, ids: "NDArray[np.int64]") -> None:
        self._append(_record(REMOVED, ids, b""))
        self._drop(ids)

    def grown(self) -> bool:
        """Whether another process has written to it since, or replaced it."""
        try:
            return self.path.stat().st_size != self.end
        except FileNotFoundError:
            return True

    def _append(self, record: bytes) -> None:
        with self.path.open("r+b") as file:
            file.truncate(self.end)
            file.seek(self.end)
            file.write(record)
            os.fsync(file.fileno())
        self.end += len(record)

    def _replay(self, data: bytes) -> None:
        import numpy as np

        width = self.rows.shape[1]
        added: list[tuple[NDArray[np.int64], NDArray[np.float16]]] = []
        while self.end + RECORD.size <= len(data):
            kind, count, crc = RECORD.unpack_from(data, self.end)
            first = self.end + RECORD.size
            size = count * 8 + (count * width * 2 if kind == ADDED else 0)
            payload = data[first : first + size]
            if kind not in (ADDED, REMOVED) or len(payload) < size or zlib.crc32(payload) != crc:
                break
            ids = np.frombuffer(payload, np.int64, count)
            if kind == ADDED:
                added.append((ids, np.frombuffer(payload, np.float16, count * width, count * 8).reshape(count, width)))
            else:
                self._take_all(added)
                added = []
                self._drop(ids)
            self.end = first + size
        self._take_all(added)

    def _take_all(self, added: "list[tuple[NDArray[np.int64], NDArray[np.float16]]]") -> None:
        import numpy as np

        if added:
            self._take(np.concatenate([ids for ids, _ in added]), np.concatenate([rows for _, rows in added]))

    def _take(self, ids: "NDArray[np.int64]", rows: "NDArray[np.float16]") -> None:
        import numpy as np

        self.ids, self.rows = np.concatenate([self.ids, ids]), np.concatenate([self.rows, rows])

    def _drop(self, ids: "NDArray[np.int64]") -> None:
        import numpy as np

        kept = ~np.isin(self.ids, ids)
        self.ids, self.rows = self.ids[kept], self.rows[kept]
        self.gone = np.union1d(self.gone, ids)


def _record(kind: int, ids: "NDArray[np.int64]", rows: bytes) -> bytes:
    payload = ids.tobytes() + rows
    return RECORD.pack(kind, len(ids), zlib.crc32(payload)) + payload


def _crc_of(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            crc = zlib.crc32(part, crc)
    return crc
