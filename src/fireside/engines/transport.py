"""HTTP to engines: requests and streams, with a time limit for each phase, and every failure as one typed error.

Each connection passes the egress: names are resolved there, and only addresses it admitted are connected to, whether the connection is new
or was kept alive. Redirects are not followed unless asked for, and then each hop passes the egress again. Environment proxies, cookies
and netrc are not used. Knows no engine's JSON; what goes over a connection is ``http1``'s and ``https``'s.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol
from urllib.parse import urljoin

import msgspec
import orjson

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.core.values import replace
from fireside.engines.egress import Egress, Errand, Passage
from fireside.engines.failures import late
from fireside.engines.letter import Letter, address_of
from fireside.engines.reply import Response
from fireside.engines.trail import TRAIL

BODY_LIMIT = 64 * 1024 * 1024
ERROR_LIMIT = 1024 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
NO_ERRAND = Errand()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds. ``connect``: name, connection and TLS. ``load``: until the answer's head. ``first_token``: from there to the first bytes
    of its content. ``stall``: between bytes from then on.

    ``load`` is long because Ollama answers nothing until a cold model is in memory, and gives up loading when the caller goes away.
    """

    connect: float = 3.0
    load: float = 300.0
    first_token: float = 120.0
    stall: float = 60.0


DEFAULT = Timeouts()


class Incoming(Protocol):
    """An answer whose head has come. ``headers``: names in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def take(self) -> bytes | None:
        """``read`` where something, or the end, has come already."""
        ...

    async def read(self, due: float) -> bytes:
        """What one read from the network brought; empty at the end. Raises ``TimeoutError`` at ``due``, by the loop's clock."""
        ...

    def leave(self) -> None:
        """Close the connection at once if this is not the end."""
        ...


class Carrier(Protocol):
    """The connections of one event loop."""

    async def exchange(self, letter: Letter, passage: Passage, *, fresh: bool = False) -> Incoming: ...

    async def aclose(self) -> None: ...


class Stream:
    """An answer whose body is still coming. ``headers``: names in lower case. ``url``: without user, password and query."""

    __slots__ = ("_arrived", "_begun", "_due", "_incoming", "_loop", "_timeouts", "headers", "status", "url")

    def __init__(self, incoming: Incoming, url: str, timeouts: Timeouts) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self.url = url
        self._incoming = incoming
        self._timeouts = timeouts
        self._arrived = False
        self._begun: Callable[[], bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + timeouts.first_token

    def chunks(self, begun: Callable[[], bool] | None = None) -> AsyncIterator[bytes]:
        """The body in pieces as they arrive. Raises ``TimedOut`` (first_token, stall) and ``ConnectionFailed`` (cut).

        ``begun``: whether the content has begun; without it the first bytes are content. Until then the limit ``first_token`` holds,
        however often the server says that it is still there.
        """
        if begun is not None:
            self._begun = begun
        return self

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> bytes:
        chunk = self._incoming.take()
        if chunk is None:
            chunk = await self._next()
        if not chunk:
            raise StopAsyncIteration
        self._arrived = True
        return chunk

    async def whole(self, limit: int = ERROR_LIMIT) -> Response:
        """Read the rest of the body. Raises ``ConnectionFailed`` (protocol) when it is longer than ``limit`` bytes."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                raise ConnectionFailed(
                    f"{self.url} answered with more than {limit // 1024} KiB",
                    remedy="ask for less at once",
                    cause="protocol",
                    retryable=False,
                )
            parts.append(chunk)
        return Response(self.status, self.headers, b"".join(parts), self.url)

    async def _next(self) -> bytes:
        if self._begun() if self._begun is not None else self._arrived:
            phase, seconds = "stall", self._timeouts.stall
            due = self._loop.time() + seconds
        else:
            phase, seconds, due = "first_token", self._timeouts.first_token, self._due
        try:
            return await self._incoming.read(due)
        except TimeoutError as error:
            raise late(self.url, phase, seconds) from error


class Transport:
    """One HTTP client for all engines; connections of each event loop's own. Close it in the loop that used it."""

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self._carriers: dict[tuple[str, asyncio.AbstractEventLoop], Carrier] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        errand: Errand = NO_ERRAND,
        limit: int = BODY_LIMIT,
    ) -> Response:
        """The whole answer, whatever its status. ``limit``: bytes its body may have."""
        async with self.stream(
            method, url, json=json, body=body, headers=headers, timeouts=timeouts, errand=errand
        ) as stream:
            return await stream.whole(limit)

    def stream(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        errand: Errand = NO_ERRAND,
        redirects: int = 0,
    ) -> AbstractAsyncContextManager[Stream]:
        """An answer as it comes. Leaving early closes the connection at once. ``redirects``: how many a GET may follow.
        ``body``: what is sent as it is, where it is no ``json``.

        Raises ``ConnectionFailed``, ``TimedOut`` (connect, load), ``NotPermitted`` (egress) and ``Invalid`` (URL, too deep JSON).
        """
        limits = timeouts or DEFAULT
        given = {name.lower(): value for name, value in headers.items()} if headers else {}
        if json is not None:
            body = _written(json)
            given.setdefault("content-type", "application/json")
        letter = Letter(method, address_of(url), given, body, errand, limits.connect, limits.load)
        return _Exchange(self, letter, limits, redirects)

    async def follow(self, letter: Letter, redirects: int) -> tuple[Incoming, Letter]:
        """The answer, and the last letter that was sent for it."""
        answer = await self._send(letter)
        while redirects and letter.method == "GET" and answer.status in REDIRECTS and "location" in answer.headers:
            answer.leave()
            letter = letter.to(urljoin(letter.address.url, answer.headers["location"]))
            redirects -= 1
            answer = await self._send(letter)
        return answer, letter

    async def aclose(self) -> None:
        loop = asyncio.get_running_loop()
        for key in [key for key in tuple(self._carriers) if key[1] is loop]:
            await self._carriers.pop(key).aclose()

    async def _send(self, letter: Letter) -> Incoming:
        passage = await self._admitted(letter)
        trail = TRAIL.get()
        if trail and not passage.recorded:
            letter = replace(letter, headers={**trail, **letter.headers})
        carrier = self._carrier(letter.address.scheme)
        try:
            return await carrier.exchange(letter, passage)
        except ConnectionFailed as error:
            # A kept-alive connection that the server closed just now: nobody has read the request, so it may be sent once more.
            if error.context.get("cause") != "reset" or passage.opened:
                raise
        return await carrier.exchange(letter, passage, fresh=True)

    async def _admitted(self, letter: Letter) -> Passage:
        address, method, errand, size = letter.address, letter.method, letter.errand, len(letter.body or b"")
        host, port = address.host, address.port
        near = self.egress.admit_near(host, port, method=method, size=size, errand=errand)
        if near is not None:
            return near
        try:
            async with asyncio.timeout(letter.connect):
                return await self.egress.admit(host, port, method=method, size=size, errand=errand)
        except TimeoutError as error:
            raise late(address.shown, "connect", letter.connect) from error

    def _carrier(self, scheme: str) -> Carrier:
        loop = asyncio.get_running_loop()
        carrier = self._carriers.get((scheme, loop))
        if carrier is None:
            for key in [key for key in tuple(self._carriers) if key[1].is_closed()]:
                self._carriers.pop(key, None)
            carrier = self._carriers[scheme, loop] = _open_carrier(scheme, self.egress)
        return carrier


class _Exchange:
    """The time an answer is being read. A class, for it stands on the way of every request, where a generator would cost more."""

    __slots__ = ("_answer", "_letter", "_limits", "_redirects", "_transport")

    def __init__(self, transport: Transport, letter: Letter, limits: Timeouts, redirects: int) -> None:
        self._transport = transport
        self._letter = letter
        self._limits = limits
        self._redirects = redirects
        self._answer: Incoming | None = None

    async def __aenter__(self) -> Stream:
        self._answer, letter = await self._transport.follow(self._letter, self._redirects)
        return Stream(self._answer, letter.address.shown, self._limits)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            self._answer.leave()


def _open_carrier(scheme: str, egress: Egress) -> Carrier:
    """Imported here: many commands never connect, and most never over TLS."""
    if scheme == "https":
        from fireside.engines.https import SecureConnections

        return SecureConnections(egress)
    from fireside.engines.connections import Connections

    return Connections(egress)


def _written(json: object) -> bytes:
    try:
        return orjson.dumps(json)
    except orjson.JSONEncodeError as error:
        raise Invalid(
            f"the request cannot be written as JSON: {error}", remedy="send what is less deeply nested"
        ) from error
