"""One HTTP request and its reply, above raw ASGI. Knows no dialect.

Starlette's middleware is not used: it hides that a client has gone, and a client that goes must free its slot at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from itertools import count
from secrets import token_hex
from types import TracebackType
from typing import Any

import orjson

from fireside.core.errors import FiresideError, Invalid
from fireside.server.auth import Principal
from fireside.server.limits import FREE, Ticket
from fireside.server.story import Header, Story

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Draw = Callable[[FiresideError, int], bytes]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
JSON = b"application/json"
# Request ids: unique among processes by their start, among requests by their number.
PROCESS = token_hex(4)
NUMBERS = count(1)
SECURITY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class Exchange:
    """``headers``: names in lower case. ``rest``: what follows the route's path, for routes that end in a name.

    ``status`` is 0 until a reply has begun. ``story``: what the gateway said.
    """

    __slots__ = (
        *("_receive", "_send", "began", "draw", "extra", "gone", "headers", "limit", "method", "path", "principal"),
        *("query", "request_id", "rest", "route", "scope", "status", "story", "ticket", "peer", "wait_seconds"),
    )

    def __init__(self, scope: Message, receive: Receive, send: Send, *, limit: int, wait_seconds: float) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.peer: tuple[str, int] | None = scope.get("client")
        self.principal: Principal
        self.ticket: Ticket = FREE
        self.draw: Draw
        self.route = ""
        self.rest = ""
        self.request_id = f"{PROCESS}{next(NUMBERS):08x}"
        self.limit = limit
        self.wait_seconds = wait_seconds
        self.status = 0
        self.gone = False
        self.extra: list[Header] = [(b"x-request-id", self.request_id.encode())]
        self.story = Story()
        self.began = time.perf_counter()
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str:
        """A header's value; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self) -> bytes:
        """The whole body. Raises ``Invalid`` (413) when it is larger than the limit."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise Invalid(
                "the body is compressed; send it as it is",
                remedy="without a Content-Encoding header",
                http_status=415,
            )
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self.limit:
            raise self._too_large()
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid("the body broke off", remedy="send it whole", http_status=400)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.limit:
                raise self._too_large()
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, however large: for files. Raises ``Invalid`` when it breaks off."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid("the body broke off", http_status=400)
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def json(self) -> object:
        """The body as JSON, whatever its content type says. Raises ``Invalid`` for anything else, and for an empty body."""
        body = await self.body()
        if not body:
            raise Invalid("missing request body", remedy="send a JSON object", http_status=400)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"the body is not JSON: {error}", remedy="send a JSON object", http_status=400) from error

    async def reply(
        self, body: bytes, *, status: int = 200, media_type: bytes = JSON, headers: Iterable[Header] = ()
    ) -> None:
        """The whole reply at once."""
        length = (b"content-length", str(len(body)).encode())
        sent = b"" if self.method == "HEAD" else body
        kept = [(b"content-type", media_type), *SECURITY, length, *self.extra, *headers]
        connection = self.scope.get("state", {}).get("connection")
        if connection is not None and connection.reply(self.scope, status, kept, sent):
            self.status = status
            return
        await self._send({"type": "http.response.start", "status": status, "headers": kept})
        self.status = status
        await self._send({"type": "http.response.body", "body": sent})

    async def begin(self, media_type: bytes, headers: Iterable[Header] = ()) -> None:
        """The head of a reply that comes in pieces. ``X-Accel-Buffering`` keeps nginx from collecting them."""
        await self._head(200, media_type, (*headers, (b"x-accel-buffering", b"no")))

    async def write(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": piece})

    async def hand_over(self, application: Application) -> None:
        """Let another ASGI application answer; the head it sends gets what every head of ours has."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message["headers"] = [*message["headers"], *SECURITY, *self.extra]
            await self._send(message)

        await application(self.scope, self._receive, send)

    def watched(self) -> "Watch":
        """``with exchange.watched():`` breaks off what is done inside as soon as the client has gone."""
        return Watch(self, self._receive)

    async def _head(self, status: int, media_type: bytes, headers: Iterable[Header]) -> None:
        self.status = status
        kept = [(b"content-type", media_type), *SECURITY, *self.extra, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": kept})

    def _too_large(self) -> Invalid:
        return Invalid(
            f"the request is larger than {self.limit // 1024 // 1024} MiB",
            remedy="send less at once, or raise it: fireside config set server.body_limit BYTES",
            http_status=413,
        )


class Watch:
    """Listens for the client's leaving while its answer is made. After it has left, ``exchange.gone`` is true and nothing was raised.

    The server of ours calls when the connection ends (``server.protocol``); under any other, a task listens as ASGI has it.
    """

    __slots__ = ("_connection", "_exchange", "_listener", "_receive", "_task")

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive
        self._connection = exchange.scope.get("state", {}).get("connection")
        self._listener: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        if self._connection is None:
            self._listener = asyncio.ensure_future(self._listen())
        else:
            self._connection.leaving = self._leave

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._listener is None:
            self._connection.leaving = None
        else:
            self._listener.cancel()
        if self._exchange.gone and kind is asyncio.CancelledError:
            self._task.uncancel()
            return True
        return False

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self._exchange.gone = True
        self._task.cancel()
