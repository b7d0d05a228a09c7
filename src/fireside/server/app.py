"""The server as one ASGI application: who may speak, which route it is, and the one place where an error becomes a reply.

Raw ASGI, because this is the path of every request. Knows no dialect: routes bring their own words.
"""

import logging
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

from fireside.app.serving import ServerSettings
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, Unknown
from fireside.server import origins
from fireside.server.auth import Principal
from fireside.server.exchange import Application, Exchange, Message, Receive, Send
from fireside.server.origins import Origins
from fireside.server.proxies import Proxies
from fireside.server.routes import Route, Table
from fireside.server.story import Header, failure_of
from fireside.wire.answers import status_of

log = logging.getLogger("fireside.server")
# Characters of an error's message.
LONGEST = 1000


class Gatekeeper(Protocol):
    """Who asks, and whether they may now."""

    def authenticate(self, exchange: Exchange, right: str) -> Principal:
        """Raises ``NotPermitted``: with ``http_status`` 401 for nobody we know, 403 for somebody without this right.

        ``right``: empty for whatever anybody we know may do.
        """
        ...

    def enter(self, exchange: Exchange) -> list[Header]:
        """Count a request; what its reply's head says of the limits. Raises ``RateLimited``."""
        ...

    def leave(self, exchange: Exchange) -> None:
        """The request is over: settle its tokens, and write it down."""
        ...


class Witness(Protocol):
    """Sees every request come and go, and writes down what it wants to know. Must be quick, and never raises."""

    def came(self, exchange: Exchange) -> None: ...

    def left(self, exchange: Exchange) -> None: ...


@dataclass(slots=True)
class App:
    """``socket``: the WebSocket's handler. ``draining``: no new work is taken; what runs goes on."""

    table: Table
    gatekeeper: Gatekeeper
    settings: ServerSettings
    origins: Origins
    socket: Application
    started: Callable[[], Awaitable[None]]
    ended: Callable[[], Awaitable[None]]
    witnesses: tuple[Witness, ...] = ()
    draining: bool = False
    proxies: Proxies = field(init=False)

    def __post_init__(self) -> None:
        self.proxies = Proxies(self.settings.trusted_proxies)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            settings = self.settings
            exchange = Exchange(scope, receive, send, limit=settings.body_limit, wait_seconds=settings.wait_seconds)
            if settings.trusted_proxies:
                exchange.peer = self.proxies.client(exchange.peer, exchange.headers)
            await self._serve(exchange)
        elif scope["type"] == "websocket":
            await self.socket(scope, receive, send)
        else:
            await self._live(receive, send)

    def configure(self, settings: ServerSettings) -> None:
        """Take over what can change while the server runs. Raises ``Invalid``, and keeps all as it was."""
        proxies = Proxies(settings.trusted_proxies)
        self.origins = Origins(settings.allowed_hosts, settings.allowed_origins)
        self.proxies, self.settings = proxies, settings

    async def _serve(self, exchange: Exchange) -> None:
        entered = False
        for witness in self.witnesses:
            witness.came(exchange)
        try:
            if not await self._permitted(exchange):
                return
            route = self._route(exchange)
            if route.right:
                exchange.principal = self.gatekeeper.authenticate(exchange, route.right)
                if self.draining:
                    raise draining()
                exchange.extra += self.gatekeeper.enter(exchange)
                entered = True
            await route.handler(exchange)
        except FiresideError as error:
            await self._refuse(exchange, error)
        except Exception:
            log.exception("%s %s failed", exchange.method, exchange.path)
            await self._refuse(exchange, Unknown("the server failed", remedy="look at its log"))
        finally:
            if entered:
                self.gatekeeper.leave(exchange)
            for witness in self.witnesses:
                witness.left(exchange)

    def _route(self, exchange: Exchange) -> Route:
        """Raises ``Invalid`` (404, 405) for what is not there."""
        method, path = exchange.method, exchange.path
        route = self.table.find(method, path)
        if route is not None:
            exchange.draw, exchange.route = route.draw, route.name
            exchange.rest = path[len(route.name) - 1 :] if route.name.endswith("/*") else ""
            return route
        exchange.draw = self.table.draw(path)
        methods = self.table.methods(path)
        if methods:
            exchange.extra.append((b"allow", ", ".join(methods).encode()))
            raise Invalid(f"{path} does not take {method}", remedy=f"it takes {', '.join(methods)}", http_status=405)
        raise Invalid(f"there is nothing at {path}", remedy="see the server's /docs for what there is", http_status=404)

    async def _permitted(self, exchange: Exchange) -> bool:
        """Whether this Host and Origin may speak; a preflight is answered here. Raises ``NotPermitted``."""
        origin = exchange.headers.get(b"origin")
        host = exchange.headers.get(b"host", b"")
        if not self.origins.permits_host(host):
            exchange.draw = self.table.draw(exchange.path)
            raise origins.refused("host", host)
        if origin is None:
            return True
        if not self.origins.permits_origin(origin):
            exchange.draw = self.table.draw(exchange.path)
            raise origins.refused("origin", origin)
        exchange.extra += origins.allowed(origin)
        if exchange.method == "OPTIONS":
            await exchange.reply(b"", status=204, headers=origins.preflight())
            return False
        return True

    async def _refuse(self, exchange: Exchange, error: FiresideError) -> None:
        """The error in the route's own words; a reply that has begun can only be broken off."""
        exchange.story.failure = failure_of(error)
        if exchange.status:
            raise error
        status = status_of(error)
        wait = error.context.get("retry_after")
        headers: list[Header] = []
        if isinstance(wait, int | float):
            headers.append((b"retry-after", str(max(1, round(wait))).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await exchange.reply(exchange.draw(presentable(error), status), status=status, headers=headers)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.started()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.ended()
                await send({"type": "lifespan.shutdown.complete"})
                return


def presentable(error: FiresideError) -> FiresideError:
    """What a client sent as a name comes back in the words about it: one line of them, and not a megabyte."""
    message = error.message
    if len(message) <= LONGEST and message.isprintable():
        return error
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
    shown = copy(error)
    shown.message = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)
    return shown


def draining() -> ConnectionFailed:
    return ConnectionFailed(
        "the server is about to end and takes no new requests",
        remedy="try again in a moment",
        cause="draining",
        retry_after=1,
    )
