"""One connection to an engine over plain HTTP/1.1, and the answers that come over it.

What one read from the network brought is handed on as one piece; what has come already is taken without waiting. A wait costs no timer
of its own: each connection has one alarm, which is set anew only when it would ring too late. Knows no pool and no JSON.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

import httptools

from fireside.engines.failures import failed
from fireside.engines.inflate import PACKED, Inflater
from fireside.engines.letter import Letter

AT_ONCE = 512 * 1024
JOINED = 32 * 1024
PIECE = 128 * 1024
# How much of a body may wait for its reader before the server is made to wait.
FULL = 256 * 1024
# How many bytes may come without any content: heads, and what chunks are wrapped in.
BARREN = 128 * 1024
# How TLS says that it did not understand (RFC 8446, section 5.1).
ALERT = b"\x15\x03"
# A clock may be a little behind the alarm that it rang.
GRAIN = 0.002


class Answer:
    """What comes back to one request. ``status`` and ``headers`` (names in lower case) are there once ``head`` is through."""

    __slots__ = (
        "_cause",
        "_chunks",
        "_connection",
        "_inflater",
        "_loop",
        "_url",
        "_waiter",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.complete = False
        self._cause = ""
        self._chunks: deque[bytes] = deque()
        self._connection: Connection | None = connection
        self._inflater: Inflater | None = None
        self._loop = loop
        self._url = url
        self._waiter: asyncio.Future[None] | None = None

    async def head(self, due: float) -> None:
        """Wait for it until ``due`` (the loop's clock). Raises ``TimeoutError``, and ``ConnectionFailed`` (reset, cut, protocol)."""
        while not self.status:
            if self._cause:
                raise failed(self._url, self._cause)
            await self._wait(due)

    async def read(self, due: float) -> bytes:
        """What one read brought; empty at the end. Raises ``TimeoutError`` and ``ConnectionFailed`` (cut)."""
        while (chunk := self.take()) is None:
            await self._wait(due)
        return chunk

    def take(self) -> bytes | None:
        """``read`` where something has come already, or the end; ``None`` where it has not."""
        if self._inflater is not None:
            return self._inflated(self._inflater)
        return self._raw()

    def leave(self) -> None:
        """Close the connection at once when the end has not come: the server then stops working."""
        if self._connection is not None:
            self._connection.abort()

    # What the connection tells

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding in PACKED:
            self._inflater = Inflater(encoding)
        self.status, self.headers = status, headers

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.wake()

    def end(self) -> None:
        self.complete = True
        self._connection = None
        self.wake()

    def fail(self, cause: str) -> None:
        self._cause = self._cause or cause
        self._connection = None
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    # Reading

    def _raw(self) -> bytes | None:
        if self._chunks:
            chunk = self._chunks.popleft()
            if self._connection is not None:
                self._connection.taken(len(chunk))
            return chunk
        if self._cause:
            raise failed(self._url, self._cause)
        return b"" if self.complete else None

    def _inflated(self, inflater: Inflater) -> bytes | None:
        try:
            while not (piece := inflater.piece()):
                raw = self._raw()
                if raw is None:
                    return None
                if not raw:
                    break
                inflater.feed(raw)
        except zlib.error as error:
            raise failed(self._url, "cut") from error
        if not piece and not inflater.complete:
            raise failed(self._url, "cut")
        return piece

    async def _wait(self, due: float) -> None:
        if self._connection is None:
            raise failed(self._url, self._cause or "cut")
        self._waiter = self._loop.create_future()
        self._connection.alarm(due)
        try:
            await self._waiter
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """``address``: where it leads. ``on_idle`` and ``on_lost`` are called when it may serve again, and when it is no more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        on_idle: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.address = address
        self._loop = loop
        self._on_idle, self._on_lost = on_idle, on_lost
        self._answer: Answer | None = None
        self._unsent = memoryview(b"")
        self._may_write = True
        self._parser: httptools.HttpResponseParser | None = None
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._barren = 0
        self._held = 0
        self._paused = False
        self._bodiless = self._until_close = self._keep = self._done = False
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._due: float | None = None
        # The parser calls these without Python in between.
        self.on_header = self._fields.__setitem__
        self.on_body = self._parts.append

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing()

    def send(self, letter: Letter, head: bytes) -> Answer:
        """Send a request over an idle connection; its answer follows."""
        answer = Answer(self, self._loop, letter.address.shown)
        if not self.usable:
            answer.fail("reset")
            return answer
        self._answer = answer
        if self._parser is None:
            self._parser = _parser(self)
        self._fields.clear()
        self._barren = self._held = 0
        self._bodiless = letter.method == "HEAD"
        self._done = False
        body = letter.body
        if body is None or len(body) <= JOINED:
            self._transport.write(head + body if body else head)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._send_more()
        return answer

    def alarm(self, due: float) -> None:
        """Ring at ``due`` (the loop's clock); the last one set holds."""
        self._due = due
        if self._alarm is None or due < self._rings_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._rings_at = due
            self._alarm = self._loop.call_at(due, self._ring)

    def taken(self, size: int) -> None:
        """The reader took so much; let more come when it had been too much."""
        self._held -= size
        if self._paused and self._held < FULL // 2:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever is still to be written or to come."""
        answer, self._answer = self._answer, None
        self._unsent = memoryview(b"")
        self._transport.abort()
        if answer is not None:
            answer.fail("cut" if answer.status else "reset")

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or self._parser is None:
            # Nobody asked: whatever this is, it is no answer to the next request.
            self.abort()
            return
        broken = self._feed(data)
        if self._parts:
            chunk = b"".join(self._parts)
            self._parts.clear()
            self._barren = 0
            self._held += len(chunk)
            answer.add(chunk)
        else:
            self._barren += len(data)
        if self._done:
            self._finish(keep=self._keep and not broken)
        elif broken or self._barren > BARREN:
            self._fail("cut" if answer.status else "secure" if data.startswith(ALERT) else "protocol")
        elif self._held > FULL and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._ended(clean=True)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(clean=error is None)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._parser = None
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_more()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._done:
            raise httptools.HttpParserError("a second answer to one request")

    def on_headers_complete(self) -> None:
        parser, answer = self._parser, self._answer
        if parser is None or answer is None:
            return
        status = parser.get_status_code()
        if status < 200:
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("utf-8", "replace") for name, value in self._fields.items()
        }
        self._keep = parser.should_keep_alive()
        coded = headers.get("transfer-encoding", "").lower()
        self._until_close = "content-length" not in headers and not coded.endswith("chunked")
        answer.begin(status, headers)
        if self._bodiless:
            # The parser cannot know that nothing follows; the next answer gets a new one.
            self._done = True
        else:
            answer.wake()

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is not None and answer.status:
            self._done = True
        else:
            self._fields.clear()

    # Inside

    def _feed(self, data: bytes) -> bool:
        """Whether what has come is no HTTP."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return True
        return False

    def _finish(self, *, keep: bool) -> None:
        answer, self._answer = self._answer, None
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._bodiless:
            self._parser = None
        # A server that answered without reading the whole request would take the rest of it for the next one.
        keep = keep and not self._transport.is_closing()
        if keep and self._transport.get_write_buffer_size() == 0:
            self._on_idle(self)
        else:
            self._unsent = memoryview(b"")
            self._transport.abort()
        if answer is not None:
            answer.end()

    def _fail(self, cause: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(cause)
        self._transport.abort()

    def _ended(self, *, clean: bool) -> None:
        """The server sends nothing more."""
        answer = self._answer
        if answer is None:
            return
        if clean and answer.status and self._until_close:
            self._finish(keep=False)
        else:
            self._fail("cut" if answer.status or self._barren else "reset")

    def _send_more(self) -> None:
        while self._unsent and self._may_write:
            size = len(self._unsent) if len(self._unsent) <= AT_ONCE else PIECE
            piece, self._unsent = self._unsent[:size], self._unsent[size:]
            self._transport.write(piece)

    def _ring(self) -> None:
        self._alarm = None
        if self._due is None:
            return
        if self._loop.time() < self._due - GRAIN:
            self.alarm(self._due)
        elif self._answer is not None:
            self._answer.expire()
        else:
            # Idle for too long.
            self._transport.close()


def _parser(connection: Connection) -> httptools.HttpResponseParser:
    """As lenient as browsers are."""
    parser = httptools.HttpResponseParser(connection)
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser
