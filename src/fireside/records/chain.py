"""A file of JSON lines that only grows, in which each line holds the SHA-256 of the line before it.

A changed, removed or inserted line shows. A file cut off at its end, or written anew from its beginning, does not: keep a copy of the last
hash elsewhere if that matters. Knows nothing of what the lines say; the ledger of what left and the audit log are both such files.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import orjson

from fireside.core.values import replace

GENESIS = "0" * 64
# Shorter than the time a connection may take, so that it is said what is waited for.
LOCK_SECONDS = 2.0
TAIL = 64 * 1024
# Lines encoded at one go: half a millisecond; then the write lets other threads have their turn.
SLICE = 128

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``entries``: lines recorded. ``broken_at``: the first line, counted from 1, that does not follow from the one before it.

    ``torn``: lines cut off while being written (a crash, a full disk); the chain goes on over them and they are no sign of tampering.
    ``last``: the hash of the last line. ``broken_in``: the file, where a chain has several.
    """

    entries: int
    broken_at: int | None = None
    torn: int = 0
    last: str = GENESIS
    broken_in: Path | None = None


class Chain:
    """One chain, shared by all processes of a user. Safe to append to from any thread and process.

    ``max_bytes``: a file that has grown beyond it is put aside as ``NAME.000001.jsonl``, and the chain goes on in a new one; 0: never.
    """

    def __init__(self, path: Path, *, max_bytes: int = 0) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def append(self, entries: Sequence[Line]) -> str:
        """Write these lines down, all or none, and flush them to the disk; returns the hash of the last. Blocking: milliseconds.

        An entry without ``time`` gets the present. Raises ``OSError`` when it cannot be written, or another process holds the lock.
        """
        import filelock

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with filelock.FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                self._put_aside_when_full()
                with self._open() as descriptor:
                    return _append(descriptor, entries, self._before)
        except filelock.Timeout as error:
            raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock") from error

    def verify(self) -> Verdict:
        """Follow the chain from its first line through all its files. Raises ``OSError`` for one that cannot be read."""
        total = Verdict(0)
        for path in [*self.older(), self.path]:
            found = verify(path, previous=total.last)
            total = replace(found, entries=total.entries + found.entries, torn=total.torn + found.torn)
            if found.broken_at is not None:
                return replace(total, broken_in=path)
        return total

    def lines(self) -> Iterator[dict[str, object]]:
        """Every line that can be read, oldest first."""
        for path in [*self.older(), self.path]:
            with suppress(FileNotFoundError), path.open("rb") as file:
                yield from (record for record in map(_record, file) if record is not None)

    def older(self) -> list[Path]:
        """The files that were put aside, oldest first."""
        return sorted(self.path.parent.glob(f"{self.path.stem}.[0-9]*{self.path.suffix}"))

    def _put_aside_when_full(self) -> None:
        if self._max_bytes and self.path.exists() and self.path.stat().st_size >= self._max_bytes and _whole(self.path):
            older = self.older()
            number = 1 + (int(older[-1].name.split(".")[-2]) if older else 0)
            self.path.rename(self.path.with_name(f"{self.path.stem}.{number:06}{self.path.suffix}"))

    def _before(self) -> str:
        """What the first line of a new file follows from."""
        older = self.older()
        if not older:
            return GENESIS
        with older[-1].open("rb") as file:
            last, _ = _last_line(file.fileno())
        return GENESIS if last is None else _hash(last)

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


def verify(path: Path, *, previous: str = GENESIS) -> Verdict:
    """Follow one file from its first line. A missing file is an empty one; an unreadable one raises ``OSError``."""
    entries, torn, unread, tail = 0, 0, 0, False
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.removesuffix(b"\n")
                if tail := len(line) == len(raw):
                    break
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
    except FileNotFoundError:
        return Verdict(0, last=previous)
    return Verdict(entries, unread or None, torn + tail, previous)


def _append(descriptor: int, entries: Sequence[Line], before: Callable[[], str]) -> str:
    last, torn = _last_line(descriptor)
    previous = before() if last is None else _hash(last)
    size = os.fstat(descriptor).st_size
    try:
        if torn:
            mended = _line(previous, {"event": "recovered"})
            _write(descriptor, b"\n" + mended + b"\n")
            previous = _hash(mended)
        rest = iter(entries)
        while part := list(islice(rest, SLICE)):
            data, previous = _joined(part, previous)
            _write(descriptor, data)
    except OSError:
        # Half of them written would be written again, by whoever tries again.
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
    os.fsync(descriptor)
    return previous


def _joined(entries: Sequence[Line], previous: str) -> tuple[bytes, str]:
    """These entries as lines of the chain, and the hash of the last."""
    lines = []
    for entry in entries:
        line = _line(previous, entry)
        previous = _hash(line)
        lines.append(line)
    return b"\n".join(lines) + b"\n", previous


def _line(previous: str, entry: Line) -> bytes:
    time = {} if "time" in entry else {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    return orjson.dumps({**time, **entry, "previous": previous})


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


def _whole(path: Path) -> bool:
    """Whether its last line was ended; one that was not is first mended where it stands."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


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
