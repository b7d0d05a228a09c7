"""uvicorn's HTTP protocol with bounds, and with words for what is no HTTP.

uvicorn itself takes a head of any length and waits for the rest of a request for ever. What it refuses it refuses as plain text; here a
refusal is drawn as whoever asks at that path expects it. Knows no dialect: the application brings the words.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any

from fireside.core.errors import FiresideError, Invalid
from fireside.server.routes import Table

# A head has this many bytes at most. Browsers send below 8 KiB; long keys and cookies of proxies are not ours to forbid.
MOST_HEAD = 64 * 1024
# A request must begin within this time, and then its next piece come.
PATIENCE_SECONDS = 60.0
REFUSAL = (
    b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b"
)


class Patience:
    """Calls ``over`` when nothing ended it in time."""

    __slots__ = ("_loop", "_over", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[], None]) -> None:
        self._loop, self._over = loop, over
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._over)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@cache
def _refusing_type() -> type[Any]:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Refusing(HttpToolsProtocol):
        url = b""

        def send_400_response(self, msg: str) -> None:
            self.refuse(Invalid("this is no HTTP that a server can read"), status=400)

        def refuse(self, error: FiresideError, *, status: int) -> None:
            """Say so, and hang up."""
            # Where half an answer has gone out, another one within would only spoil it.
            if not self.transport.is_closing() and (self.cycle is None or not _half_said(self.cycle)):
                self.transport.write(refusal(self.config.app.table, self.url, error, status=status))  # type: ignore[union-attr]
            self.transport.close()

    return Refusing


@cache
def bounded_type() -> type[Any]:
    """For an application with a ``table`` of routes. Imports uvicorn."""

    class Bounded(_refusing_type()):  # type: ignore[misc]
        """``heading``: a head has begun and is not complete; ``unfinished``: nor is its body."""

        heading = unfinished = upgraded = False
        size = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.patience = Patience(self.loop, self._out_of_patience)
            self.patience.begin()

        def data_received(self, data: bytes) -> None:
            self.patience.end()
            room = MOST_HEAD - self.size
            # It may be a head that is too long, or a head and much of a body: only the parser knows.
            super().data_received(data[:room])
            if self.heading and len(data) > room:
                self.heading = self.unfinished = False
                self.refuse(Invalid(f"the head of this request is longer than {MOST_HEAD} bytes"), status=431)
            elif len(data) > room and not self.upgraded and not self.transport.is_closing():
                super().data_received(data[room:])
            self.size = self.size + len(data) if self.heading else 0
            if self.unfinished and not self.upgraded:
                self.patience.begin()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.heading = self.unfinished = True

        def on_headers_complete(self) -> None:
            self.heading = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.unfinished = False
            super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
            self.upgraded = True
            super().handle_websocket_upgrade()

        def connection_lost(self, exc: Exception | None) -> None:
            self.patience.end()
            super().connection_lost(exc)

        def _out_of_patience(self) -> None:
            if self.flow.read_paused:
                # It is we who do not read.
                self.patience.begin()
            elif self.unfinished:
                self.refuse(Invalid("the request did not come to its end"), status=408)
            else:
                self.transport.close()

    return Bounded


def refusal(table: Table, url: bytes, error: FiresideError, *, status: int) -> bytes:
    """A whole reply in the words of the path, as far as it was told."""
    body = table.draw(url.partition(b"?")[0].decode("latin-1"))(error, status)
    return REFUSAL % (status, HTTPStatus(status).phrase.encode(), len(body), body)


def _half_said(cycle: Any) -> bool:
    return bool(cycle.response_started and not cycle.response_complete)
