"""HTTP to engines: requests and streams, with a time limit for each phase, and every failure as one typed error.

Each connection passes the egress: names are resolved there, and only addresses it admitted are connected to, whether the connection is new
or was kept alive. Redirects are not followed unless asked for, and then each hop passes the egress again. Environment proxies, cookies
and netrc are not used. Knows no engine's JSON.
"""

import asyncio
import errno
import io
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

import msgspec
import orjson

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted, TimedOut
from fireside.engines.egress import Egress, Errand, Passage
from fireside.engines.reply import Response, place, public_url

if TYPE_CHECKING:
    import aiohttp

AT_ONCE = 512 * 1024
BODY_LIMIT = 64 * 1024 * 1024
ERROR_LIMIT = 1024 * 1024
KEEP_ALIVE = 30.0
REDIRECTS = (301, 302, 303, 307, 308)
NO_ERRAND = Errand()
SLOW = {
    "connect": "is the machine on, and does a firewall let the port through? a longer limit: engines.<name>.connect_seconds",
    "load": "a big model may still be loading: try again, or a longer limit: engines.<name>.load_seconds",
    "first_token": "a shorter prompt, or a longer limit: engines.<name>.first_token_seconds",
    "stall": "look at the server's log and load; a longer limit: engines.<name>.stall_seconds",
}
FAILED = {
    "refused": ("nothing listens at {where}", "start the server there, or check the port"),
    "reset": ("{where} closed the connection without an answer", "look at the server's log: it may have crashed"),
    "dns": ("the name in {where} is not known", "check the spelling and the network"),
    "tls": (
        "{where} has no certificate that this machine trusts",
        "use the name its certificate is for, or http:// in your own network",
    ),
    "unreachable": ("there is no way to {where}", "is the machine on, and in the same network or tailnet?"),
    "cut": ("{where} broke off in the middle of its answer", "look at the server's log: it may have crashed"),
    "protocol": ("{where} answers, but not in HTTP", "check the port: another program may listen there"),
}
REFUSED = (errno.ECONNREFUSED,)
RESET = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
UNREACHABLE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
)
TRIP: ContextVar["Trip"] = ContextVar("trip")


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


class Stream:
    """An answer whose body is still coming. ``headers``: names in lower case."""

    def __init__(self, response: "aiohttp.ClientResponse", timeouts: Timeouts) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.url = public_url(str(response.url))
        self._response = response
        self._timeouts = timeouts
        self._arrived = False
        self._begun: Callable[[], bool] = lambda: self._arrived
        self._due = asyncio.get_running_loop().time() + timeouts.first_token

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
        now = asyncio.get_running_loop().time()
        phase, seconds = (
            ("stall", self._timeouts.stall) if self._begun() else ("first_token", self._timeouts.first_token)
        )
        try:
            async with asyncio.timeout_at(self._due if phase == "first_token" else now + seconds):
                chunk = await self._response.content.readany()
        except Exception as error:
            raise failure(error, self.url, phase=phase, seconds=seconds) from error
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


@dataclass(frozen=True, slots=True)
class _Letter:
    """One request, ready to be sent. ``headers``: names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeouts: Timeouts
    errand: Errand

    def to(self, url: str) -> "_Letter":
        """The same request to where a redirect points; secrets stay with their host."""
        kept = {name: value for name, value in self.headers.items() if name != "host"}
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            kept = {name: value for name, value in kept.items() if name not in ("authorization", "x-api-key", "cookie")}
        return _Letter(self.method, url, kept, self.body, self.timeouts, self.errand)


@dataclass(slots=True)
class Trip:
    """One attempt of a request. ``fresh``: a kept-alive connection will not do."""

    passage: Passage
    fresh: bool = False
    transport: asyncio.BaseTransport | None = None

    def abort(self) -> None:
        """Close the connection without waiting for what is still to be written."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


class Transport:
    """One HTTP client for all engines; a session for each event loop, made at its first request. Close it in the loop that used it."""

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        errand: Errand = NO_ERRAND,
        limit: int = BODY_LIMIT,
    ) -> Response:
        """The whole answer, whatever its status. ``limit``: bytes its body may have."""
        async with self.stream(method, url, json=json, headers=headers, timeouts=timeouts, errand=errand) as stream:
            return await stream.whole(limit)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        errand: Errand = NO_ERRAND,
        redirects: int = 0,
    ) -> AsyncIterator[Stream]:
        """An answer as it comes. Leaving early closes the connection at once. ``redirects``: how many a GET may follow.

        Raises ``ConnectionFailed``, ``TimedOut`` (connect, load), ``NotPermitted`` (egress) and ``Invalid`` (the URL).
        """
        given = {name.lower(): value for name, value in (headers or {}).items()}
        body = None if json is None else orjson.dumps(json)
        if body is not None:
            given.setdefault("content-type", "application/json")
        response = await self._follow(_Letter(method, url, given, body, timeouts or DEFAULT, errand), redirects)
        try:
            yield Stream(response, timeouts or DEFAULT)
        finally:
            _leave(response)

    async def aclose(self) -> None:
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def _follow(self, letter: _Letter, redirects: int) -> "aiohttp.ClientResponse":
        response = await self._send(letter)
        while redirects and letter.method == "GET" and response.status in REDIRECTS and "Location" in response.headers:
            _leave(response)
            letter = letter.to(urljoin(letter.url, response.headers["Location"]))
            redirects -= 1
            response = await self._send(letter)
        return response

    async def _send(self, letter: _Letter) -> "aiohttp.ClientResponse":
        host, port = _place(letter.url)
        size = len(letter.body or b"")
        try:
            async with asyncio.timeout(letter.timeouts.connect):
                passage = await self.egress.admit(host, port, method=letter.method, size=size, errand=letter.errand)
        except TimeoutError as error:
            raise failure(error, letter.url, phase="connect", seconds=letter.timeouts.connect) from error
        try:
            return await self._exchange(letter, passage)
        except ConnectionFailed as error:
            # A kept-alive connection that the server closed just now: nobody has read the request, so it may be sent once more.
            if error.context.get("cause") != "reset" or passage.opened:
                raise
        return await self._exchange(letter, passage, fresh=True)

    async def _exchange(self, letter: _Letter, passage: Passage, *, fresh: bool = False) -> "aiohttp.ClientResponse":
        session = self._session()
        trip = Trip(passage, fresh)
        token = TRIP.set(trip)
        seconds = letter.timeouts.connect + letter.timeouts.load
        try:
            async with asyncio.timeout(seconds):
                return await session.request(
                    letter.method,
                    letter.url,
                    data=_payload(letter.body),
                    headers=letter.headers,
                    allow_redirects=False,
                    timeout=_client_timeout(letter.timeouts),
                )
        except FiresideError:
            raise
        except asyncio.CancelledError:
            trip.abort()
            raise
        except Exception as error:
            trip.abort()
            raise failure(error, letter.url, phase="load", seconds=seconds) from error
        finally:
            TRIP.reset(token)

    def _session(self) -> "aiohttp.ClientSession":
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            session = self._sessions[loop] = _open_session(self.egress)
        return session


def _open_session(egress: Egress) -> "aiohttp.ClientSession":
    """aiohttp, held to the passage of the request in hand. Imported here: it takes 0.1 s, and many commands never connect."""
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return [
                ResolveResult(hostname=host, host=address, port=port, family=_family(address), proto=0, flags=0)
                for address in TRIP.get().passage.addresses
            ]

        async def close(self) -> None:
            return None

    class Connector(aiohttp.TCPConnector):
        async def connect(
            self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
        ) -> aiohttp.connector.Connection:
            trip = TRIP.get()
            connection = await super().connect(req, traces, timeout)
            while trip.fresh and not trip.passage.opened:
                connection.close()
                connection = await super().connect(req, traces, timeout)
            trip.transport = connection.transport
            peer = connection.transport.get_extra_info("peername") if connection.transport else None
            try:
                if peer is None:
                    raise ConnectionResetError(errno.ECONNRESET, "closed before anything was sent")
                await egress.confirm(trip.passage, str(peer[0]))
            except BaseException:
                connection.close()
                raise
            return connection

    def open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        try:
            allowed = egress.may_open(TRIP.get().passage, str(info[4][0]))
        except NotPermitted:
            allowed = False
        if not allowed:
            raise PermissionError(errno.EACCES, "refused by the egress")
        return socket.socket(info[0], info[1], info[2])

    connector = Connector(
        resolver=Resolver(), use_dns_cache=False, socket_factory=open_socket, limit=0, keepalive_timeout=KEEP_ALIVE
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "fireside"},
        auto_decompress=True,
        trust_env=False,
    )


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """A large body goes out in pieces, so that it does not hold up everything else."""
    return io.BytesIO(body) if body is not None and len(body) > AT_ONCE else body


def _client_timeout(timeouts: Timeouts) -> "aiohttp.ClientTimeout":
    import aiohttp

    return aiohttp.ClientTimeout(total=None, connect=timeouts.connect, ceil_threshold=60.0)


def _leave(response: "aiohttp.ClientResponse") -> None:
    """Keep the connection when the answer was read to its end; otherwise close it at once, so that the server stops working."""
    connection = response.connection
    if connection is not None and not response.content.at_eof() and connection.transport is not None:
        connection.transport.abort()
    response.close() if connection is not None and not response.content.at_eof() else response.release()


def _family(address: str) -> int:
    return int(socket.AF_INET6 if ":" in address else socket.AF_INET)


def _place(url: str) -> tuple[str, int]:
    """Host and port of an http or https URL. Raises ``Invalid``."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Invalid(f"{url!r} is not a URL: {error}", remedy="write it like http://192.168.1.20:8000/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{public_url(url)!r} is not an http URL", remedy="write it like http://192.168.1.20:8000/v1")
    return parts.hostname, port


def failure(error: BaseException, url: str, *, phase: str, seconds: float) -> FiresideError:
    """What went wrong on the way, as one typed error. ``phase``: what was being waited for, and ``seconds`` how long at most."""
    import aiohttp

    where = place(url)
    facts: dict[str, Any] = {"url": public_url(url)}
    if isinstance(error, FiresideError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return TimedOut(_slow(where, "connect"), remedy=SLOW["connect"], phase="connect", **facts)
    if isinstance(error, TimeoutError):
        return TimedOut(_slow(where, phase), remedy=SLOW[phase], phase=phase, seconds=seconds, **facts)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return Invalid(f"{public_url(url)!r} is not an http URL", remedy="write it like http://192.168.1.20:8000/v1")
    cause = _cause(error, phase)
    message, remedy = FAILED[cause]
    if cause == "tls" and re.search(
        r"wrong.version|record.layer|unknown.protocol|http.request", str(error), re.IGNORECASE
    ):
        message, remedy = "{where} does not speak https", "write http:// in the address"
    return ConnectionFailed(message.format(where=where), remedy=remedy, retryable=cause != "tls", cause=cause, **facts)


def _slow(where: str, phase: str) -> str:
    words = {
        "connect": "{} does not answer at all",
        "load": "{} took the request, but has not begun to answer",
        "first_token": "{} began to answer, but sent nothing yet",
        "stall": "{} stopped in the middle of its answer",
    }
    return words[phase].format(where)


def _cause(error: BaseException, phase: str) -> str:
    import aiohttp

    begun = phase in ("first_token", "stall")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ServerFingerprintMismatch):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "cut"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientConnectionResetError):
        return "cut" if begun else "reset"
    if isinstance(error, aiohttp.ClientResponseError):
        return "protocol"
    if isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, OSError):
        # aiohttp's "Can not write request body" has no number of its own; what happened to the connection is its cause.
        return _cause(error.__cause__, phase)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # aiohappyeyeballs joins the errors of several addresses into one text.
        found = [int(text) for text in re.findall(r"\[Errno (\d+)\]", str(error))]
        number = next((code for code in found if code in REFUSED), found[0] if found else None)
    if number in REFUSED:
        return "refused"
    if number in RESET:
        return "cut" if begun else "reset"
    if number in UNREACHABLE:
        return "unreachable"
    return "cut" if begun else "protocol"
