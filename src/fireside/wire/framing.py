"""Server-sent events and newline-delimited JSON: bytes to events.

Knows where one event ends and the next begins, however the network cut the bytes; knows nothing of what an event means.

A stream that ends early: an event whose lines are complete is given even when the blank line after it is missing (several servers leave
it out); a line that was never ended is dropped, for it may be half of one. Whether the stream may end there is the reader's to say.
"""

from collections.abc import AsyncIterator

import msgspec
import orjson

from fireside.core.errors import ConnectionFailed
from fireside.core.streams import closing

EVENT_LIMIT = 16 * 1024 * 1024
ASK_AGAIN = "ask again; if it stays so, look at the server's log"
CHECK = "check the address: is this the API it is taken for?"
BOM = b"\xef\xbb\xbf"
PLAIN = b"data: "
BETWEEN = b"\n\ndata: "


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as in the HTML standard, section 9.2. ``id``: the last id the stream named, empty if none."""

    event: str
    data: str
    id: str = ""


class LineSplitter:
    """Bytes in any pieces to whole lines, without their ends (CR LF, LF or CR). Linear in the bytes, however small the pieces."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._pending: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        self._pending.append(lines[0])
        self._size += len(lines[0])
        if self._size > self._limit:
            raise too_large(self._limit)
        if len(lines) == 1:
            return []
        lines[0] = self.rest()
        self._pending = [lines[-1]]
        self._size = len(lines[-1])
        return lines[:-1]

    @property
    def at_start(self) -> bool:
        """Nothing is pending: what comes next begins a line."""
        return not self._size and not self._after_cr

    def rest(self) -> bytes:
        """What was fed after the last line end; takes it."""
        rest = b"".join(self._pending)
        self._pending, self._size = [], 0
        if not self._started:
            self._started = True
            rest = rest.removeprefix(BOM)
        return rest


class SseParser:
    """Bytes in any pieces to events. ``limit``: the bytes one event may have."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._lines = LineSplitter(limit)
        self._limit = limit
        self._event = ""
        self._id = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        if chunk.startswith(PLAIN) and (plain := self._plain(chunk)) is not None:
            return plain
        events = []
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif (event := self.end()) is not None:
                events.append(event)
        return events

    def _plain(self, chunk: bytes) -> list[SseEvent] | None:
        """A read of whole events of one ``data`` line each, as nearly all are: cut apart at once. ``None`` for any other."""
        if self._data or self._event or not self._lines.at_start or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        parts = chunk[len(PLAIN) : -2].split(BETWEEN)
        if chunk.count(b"\n") != 2 * len(parts) or len(chunk) > self._limit:
            return None
        last = self._id
        return [SseEvent("message", part.decode("utf-8", "replace"), last) for part in parts]

    def end(self) -> SseEvent | None:
        """The event whose lines have come, if there is one."""
        event = SseEvent(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._data, self._size = "", [], 0
        return event

    def _field(self, line: bytes) -> None:
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._size += len(raw)
            if self._size > self._limit:
                raise too_large(self._limit)
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self._id = value


async def sse(chunks: AsyncIterator[bytes], *, limit: int = EVENT_LIMIT) -> AsyncIterator[SseEvent]:
    """The events of a ``text/event-stream`` body. Raises ``ConnectionFailed`` (protocol) for an event larger than ``limit`` bytes."""
    parser = SseParser(limit)
    async with closing(chunks):
        async for chunk in chunks:
            for event in parser.feed(chunk):
                yield event
    last = parser.end()
    if last is not None:
        yield last


async def ndjson(chunks: AsyncIterator[bytes], *, limit: int = EVENT_LIMIT) -> AsyncIterator[dict[str, object]]:
    """The objects of an ``application/x-ndjson`` body; blank lines are skipped, the last line need not be ended.

    Raises ``ConnectionFailed``: protocol for a line that is no JSON object or larger than ``limit`` bytes, cut for half a last line.
    """
    lines = LineSplitter(limit)
    async with closing(chunks):
        async for chunk in chunks:
            for line in lines.feed(chunk):
                if line.strip():
                    yield _object(line, "protocol")
    rest = lines.rest().strip()
    if rest:
        yield _object(rest, "cut")


def _object(line: bytes, cause: str) -> dict[str, object]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        return value
    if cause == "cut":
        raise ConnectionFailed("the answer broke off in the middle of a line", remedy=ASK_AGAIN, cause="cut")
    raise ConnectionFailed("the server sent a line that is not a JSON object", remedy=CHECK, cause="protocol")


def too_large(limit: int) -> ConnectionFailed:
    return ConnectionFailed(
        f"the server sent one event of more than {limit // 1024 // 1024} MiB",
        remedy=CHECK,
        cause="protocol",
        retryable=False,
    )
