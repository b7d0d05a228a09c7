"""The ledger of everything that left for an outside host: who, where, when, how many bytes, why.

JSON lines, one a request, appended and flushed to the disk before the request is sent. Each line holds the SHA-256 of the line before it,
so that a changed, removed or inserted line shows (a ledger cut off at its end, or written anew from its beginning, does not: keep a copy of
the last hash elsewhere if that matters). Knows no network, and is never given prompt text.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from fireside.core.errors import NotPermitted

GENESIS = "0" * 64
# Shorter than the time a connection may take, so that it is said what is waited for.
LOCK_SECONDS = 2.0
TAIL = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """``entries``: requests recorded. ``broken_at``: the first line, counted from 1, that does not follow from the one before it.

    ``torn``: lines cut off while being written (a crash, a full disk); the chain goes on over them and they are no sign of tampering.
    ``last``: the hash of the last line.
    """

    entries: int
    broken_at: int | None = None
    torn: int = 0
    last: str = GENESIS


class Ledger:
    """One file, shared by all processes of a user. Safe to append to from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Mapping[str, object]) -> str:
        """Write one request down and flush it to the disk; returns the hash of its line. Blocking: milliseconds.

        Raises ``NotPermitted`` when it cannot be written: then the request must not be sent.
        """
        import filelock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with filelock.FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS), self._open() as descriptor:
                return _append(descriptor, entry)
        except filelock.Timeout as error:
            raise _unwritable(self.path, "another process holds its lock") from error
        except OSError as error:
            raise _unwritable(self.path, error.strerror or str(error)) from error

    def verify(self) -> Verdict:
        return verify(self.path)

    @contextmanager
    def _open(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        fresh = not self.path.exists()
        descriptor = os.open(self.path, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            if fresh:
                _sync_folder(self.path.parent)
            yield descriptor
        finally:
            os.close(descriptor)


def verify(path: Path) -> Verdict:
    """Follow the chain from the first line. A missing file is an empty ledger; an unreadable one raises ``OSError``."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Verdict(0)
    lines = raw.split(b"\n")
    tail = lines.pop()
    previous, entries, torn, unread = GENESIS, 0, 0, 0
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            unread, torn = unread or number, torn + 1
        else:
            recovered = record.get("event") == "recovered"
            # Only a record that says so makes an unreadable line a torn one; anything else is tampering.
            if record.get("previous") != previous or (unread and not recovered):
                return Verdict(entries, unread or number, torn, previous)
            entries, unread = entries + (not recovered), 0
        previous = _hash(line)
    return Verdict(entries, unread or None, torn + bool(tail), previous)


def _append(descriptor: int, entry: Mapping[str, object]) -> str:
    last, torn = _last_line(descriptor)
    lines = b""
    previous = GENESIS if last is None else _hash(last)
    if torn:
        mended = _line(previous, {"event": "recovered"})
        lines, previous = b"\n" + mended + b"\n", _hash(mended)
    line = _line(previous, entry)
    _write(descriptor, lines + line + b"\n")
    os.fsync(descriptor)
    return _hash(line)


def _line(previous: str, entry: Mapping[str, object]) -> bytes:
    return orjson.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry, "previous": previous})


def _last_line(descriptor: int) -> tuple[bytes | None, bool]:
    """The last line, and whether it was never ended."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return None, False
    length = TAIL
    while True:
        tail = os.pread(descriptor, length, max(0, size - length))
        torn = not tail.endswith(b"\n")
        lines = (tail if torn else tail[:-1]).split(b"\n")
        if len(lines) > 1 or length >= size:
            return lines[-1], torn
        length *= 4


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _record(line: bytes) -> dict[str, object] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, reason: str) -> NotPermitted:
    return NotPermitted(
        f"nothing was sent: the ledger {path} cannot be written ({reason})",
        remedy=f"make room and give yourself the right to write: ls -l {path}",
        cause="ledger",
    )
