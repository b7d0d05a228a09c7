"""uvicorn's HTTP protocol, with three things added.

Whoever answers can be called when the client goes: ASGI's own way, a task that waits for ``http.disconnect``, costs every request a task.
The head of a reply goes out together with what follows it: the second system call costs more than reading the whole request. And a
reply that is there as a whole goes out at once, without ASGI's two messages and their checks of what we wrote ourselves.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from fireside.server.bounds import bounded_type

Header = tuple[bytes, bytes]
HEAD = b"HTTP/1.1 "


class Joining:
    """A transport that holds a head back until what follows it is written, at the latest until the loop comes round."""

    __slots__ = ("_head", "_loop", "is_closing", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self._loop = transport, loop
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if head:
            self.transport.write(head + data)
        elif data.startswith(HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self.transport.write(data)

    def close(self) -> None:
        self._flush()
        self.transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self.transport.is_closing():
            self.transport.write(head)


@cache
def connection_type() -> type[asyncio.Protocol]:
    """For ``uvicorn.Config(http=...)``. Imports uvicorn."""
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE

    class Connection(bounded_type()):  # type: ignore[misc]
        """``leaving``: called once if the connection ends while a request of it is being answered. One is answered at a time."""

        leaving: Callable[[], None] | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.transport: Any = Joining(transport, self.loop)

        def handle_websocket_upgrade(self) -> None:
            self.transport = self.transport.transport
            super().handle_websocket_upgrade()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["state"]["connection"] = self

        def reply(self, scope: Mapping[str, object], status: int, headers: Sequence[Header], body: bytes) -> bool:
            """Send a whole reply to the request of this ``scope``. False, and nothing done, where only ASGI's way will do."""
            cycle = self.cycle
            if cycle.scope is not scope or cycle.response_started or cycle.disconnected or self.flow.write_paused:
                return False
            lines = [STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in headers)]
            if not cycle.keep_alive:
                lines.append(b"connection: close\r\n")
            head = b"".join(lines)
            if head.count(b"\n") != len(lines):
                # A line break in a value would make a header, or a reply, of whatever follows it.
                return False
            self.transport.write(head + b"\r\n" + body)
            cycle.response_started = cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                self.transport.close()
            cycle.on_response()
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            leaving, self.leaving = self.leaving, None
            super().connection_lost(exc)
            if leaving is not None:
                leaving()

    return Connection
