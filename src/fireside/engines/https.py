"""Requests over TLS, through aiohttp, held to the same addresses, limits and failures as plain ones.

aiohttp is imported at the first request only: it takes 0.1 s, and engines of one's own network seldom ask for it.
"""

import asyncio
import errno
import io
import re
import socket
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted, TimedOut
from fireside.engines.egress import Egress, Passage
from fireside.engines.failures import REFUSED, cause_of, failed, late
from fireside.engines.letter import EXAMPLE, Letter
from fireside.engines.reply import public_url

if TYPE_CHECKING:
    import aiohttp

AT_ONCE = 512 * 1024
KEEP_ALIVE = 30.0
MISMATCH = re.compile(r"wrong.version|record.layer|unknown.protocol|http.request", re.IGNORECASE)
TRIP: ContextVar["Trip"] = ContextVar("trip")


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


class SecureAnswer:
    """An answer of aiohttp's. ``headers``: names in lower case."""

    def __init__(self, response: "aiohttp.ClientResponse", url: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._url = url

    def take(self) -> None:
        """Nothing is had without waiting."""

    async def read(self, due: float) -> bytes:
        """What came; empty at the end. ``due``: by the loop's clock. Raises ``TimeoutError`` and ``ConnectionFailed`` (cut)."""
        try:
            async with asyncio.timeout_at(due):
                return await self._response.content.readany()
        except TimeoutError:
            raise
        except Exception as error:
            raise failure(error, self._url, begun=True) from error

    def leave(self) -> None:
        """Keep the connection when the answer was read to its end; otherwise close it at once, so that the server stops working."""
        connection, ended = self._response.connection, self._response.content.at_eof()
        if connection is not None and not ended and connection.transport is not None:
            connection.transport.abort()
        self._response.close() if connection is not None and not ended else self._response.release()


class SecureConnections:
    """Those of one event loop; close them in it."""

    def __init__(self, egress: Egress) -> None:
        self._session = _open_session(egress)

    async def exchange(self, letter: Letter, passage: Passage, *, fresh: bool = False) -> SecureAnswer:
        """As ``Connections.exchange``."""
        trip = Trip(passage, fresh)
        token = TRIP.set(trip)
        seconds = letter.connect + letter.load
        try:
            async with asyncio.timeout(seconds):
                response = await self._session.request(
                    letter.method,
                    letter.address.url,
                    data=_payload(letter.body),
                    headers=letter.headers,
                    allow_redirects=False,
                    timeout=_client_timeout(letter.connect),
                )
        except FiresideError:
            raise
        except asyncio.CancelledError:
            trip.abort()
            raise
        except Exception as error:
            trip.abort()
            raise failure(error, letter.address.shown, begun=False, connect=letter.connect, seconds=seconds) from error
        finally:
            TRIP.reset(token)
        return SecureAnswer(response, letter.address.shown)

    async def aclose(self) -> None:
        await self._session.close()


def _open_session(egress: Egress) -> "aiohttp.ClientSession":
    """aiohttp, held to the passage of the request in hand."""
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


def _client_timeout(connect: float) -> "aiohttp.ClientTimeout":
    import aiohttp

    return aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=60.0)


def _family(address: str) -> int:
    return int(socket.AF_INET6 if ":" in address else socket.AF_INET)


def failure(
    error: Exception, url: str, *, begun: bool, connect: float = 0.0, seconds: float = 0.0
) -> ConnectionFailed | TimedOut | Invalid:
    """What went wrong, as one typed error. ``begun``: whether the answer had. ``connect``, ``seconds``: the limits until then."""
    import aiohttp

    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return late(url, "connect", connect)
    if isinstance(error, TimeoutError):
        return late(url, "load", seconds)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return Invalid(f"{public_url(url)!r} is not an http URL", remedy=EXAMPLE)
    cause = _cause(error, begun=begun)
    return failed(url, "plain" if cause == "tls" and MISMATCH.search(str(error)) else cause)


def _cause(error: BaseException, *, begun: bool) -> str:
    import aiohttp

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
        return _cause(error.__cause__, begun=begun)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # aiohappyeyeballs joins the errors of several addresses into one text.
        found = [int(text) for text in re.findall(r"\[Errno (\d+)\]", str(error))]
        number = next((code for code in found if code in REFUSED), found[0] if found else None)
    cause = cause_of(number)
    if begun and cause in (None, "reset"):
        return "cut"
    return cause or "protocol"
