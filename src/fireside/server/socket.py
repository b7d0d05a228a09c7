"""``/api/v1/ws``: our own API over one WebSocket, many requests at once.

A message is a JSON object with ``type`` (chat, complete, search, ...), an ``id`` of the client's and what the same request has over HTTP;
what happens comes back as messages with that ``id``, the last of them ``finished`` or ``failed``. ``cancel`` ends the request with its
``id``. A message that is wrong is told so with ``error``, and the socket lives on. Each request counts as one, with the key's limits and
in the log, as over HTTP. Browsers do not ask whether a page may open a WebSocket, so Host and Origin are looked at here first; nor can a
page set headers, so a key may come as a subprotocol.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import count

import orjson

from fireside.core.errors import FiresideError, Invalid, NotPermitted, Unknown
from fireside.core.streams import closing
from fireside.server.app import App, draining
from fireside.server.exchange import JSON, Exchange, Message, Receive, Send
from fireside.server.mount import Mount
from fireside.server.own.running import ended
from fireside.server.own.streams import unsilenced
from fireside.server.own.words import describe, write_error
from fireside.wire.answers import status_of

PATH = "/api/v1/ws"
PROTOCOL = "fireside"
KEY = "key."
MOST_AT_ONCE = 64
TOO_BIG = 1009
RIGHTS: Mapping[str, str] = {
    "chat": "chat",
    "complete": "complete",
    "index": "chat",
    "search": "view",
    "embed": "embed",
    "models": "models",
    "health": "view",
}
log = logging.getLogger("fireside.server")


class Sockets:
    """``app``: asked late, because the server's application is built around this."""

    def __init__(self, mount: Mount, app: Callable[[], App]) -> None:
        self._mount = mount
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        app = self._app()
        headers, protocols = headers_of(scope)
        try:
            self._check(app, scope, headers)
        except FiresideError as error:
            await refuse(error, send)
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in protocols else None})
        await Talk(self._mount, app, {**scope, "headers": headers}, send).run(receive)

    def _check(self, app: App, scope: Message, headers: list[tuple[bytes, bytes]]) -> None:
        """Raises before the socket is open."""
        given = dict(headers)
        origin = given.get(b"origin")
        if scope["path"].rstrip("/") != PATH:
            raise Invalid(f"there is no WebSocket at {scope['path']}", remedy=f"it is at {PATH}", http_status=404)
        if not app.origins.permits_host(given.get(b"host", b"")):
            raise NotPermitted("this host is not allowed", remedy="server.allowed_hosts")
        if origin is not None and not app.origins.permits_origin(origin):
            raise NotPermitted("this page is not allowed", remedy="server.allowed_origins")
        if app.draining:
            raise draining()
        app.gatekeeper.authenticate(visit(app, {**scope, "headers": headers}, "", send=_nowhere), "")


class Talk:
    """One open socket. A reader that is slow slows down its own requests: what is said waits until the last message has gone."""

    def __init__(self, mount: Mount, app: App, scope: Message, send: Send) -> None:
        self._mount = mount
        self._app = app
        self._scope = scope
        self._send = send
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers = count(1)

    async def run(self, receive: Receive) -> None:
        """Until the client goes; then everything it asked for ends."""
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                data = message.get("bytes") or (message.get("text") or "").encode()
                if len(data) > self._app.settings.body_limit:
                    await self._send({"type": "websocket.close", "code": TOO_BIG})
                    return
                await self._take(data)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _take(self, data: bytes) -> None:
        name: object = None
        try:
            body = read_message(data)
            name = body.get("id")
            self._begin(body)
            # A task that is cancelled before its first step ends without a word.
            await asyncio.sleep(0)
        except FiresideError as error:
            await self._say({"type": "error", "id": name, "error": describe(error)})

    def _begin(self, body: Mapping[str, object]) -> None:
        kind, name = str(body["type"]), body.get("id")
        if kind == "cancel":
            task = self._tasks.get(str(name))
            if task is None:
                raise Invalid("no request with this id is running", param="id")
            task.cancel()
            return
        if not isinstance(name, str) or not name or len(name) > 200:
            raise Invalid("the request has no id", remedy="an id of your own, a text", param="id")
        if name in self._tasks:
            raise Invalid("a request with this id is running", remedy="another id for each", param="id")
        if len(self._tasks) >= MOST_AT_ONCE:
            raise Invalid(f"{MOST_AT_ONCE} requests are running here", remedy="wait for one of them")
        task = self._tasks[name] = asyncio.ensure_future(self._serve(kind, name, body))
        task.add_done_callback(lambda _: self._tasks.pop(name))

    async def _serve(self, kind: str, name: str, body: Mapping[str, object]) -> None:
        exchange = visit(self._app, self._scope, kind, send=self._send)
        entered = False
        try:
            exchange.principal = self._app.gatekeeper.authenticate(exchange, RIGHTS.get(kind, ""))
            if self._app.draining:
                raise draining()
            self._app.gatekeeper.enter(exchange)
            entered = True
            await self._relay(kind, name, body, exchange)
            exchange.status = 200
        except asyncio.CancelledError:
            await self._fail(exchange, name, ended())
        except FiresideError as error:
            await self._fail(exchange, name, error)
        except Exception:
            log.exception("%s over a WebSocket failed", kind)
            await self._fail(exchange, name, Unknown("the server failed", remedy="look at its log"))
        finally:
            if entered:
                self._app.gatekeeper.leave(exchange)

    async def _relay(self, kind: str, name: str, body: Mapping[str, object], exchange: Exchange) -> None:
        api = await self._mount.api()
        with api.running.entered(exchange):
            events = api.spoken(kind, body, exchange)
            async with closing(unsilenced(events, exchange.wait_seconds)) as heard:
                async for event in heard:
                    if event is None:
                        await self._say({"type": "waiting", "id": name, "data": {"note": exchange.story.note}})
                    else:
                        await self._say({"type": event.name, "id": name, "data": event.data})

    async def _fail(self, exchange: Exchange, name: str, error: FiresideError) -> None:
        exchange.status = status_of(error)
        await self._say({"type": "failed", "id": name, "error": describe(error)})

    async def _say(self, message: Mapping[str, object]) -> None:
        async with self._turn:
            await self._send({"type": "websocket.send", "text": orjson.dumps(message).decode()})


def visit(app: App, scope: Message, kind: str, *, send: Send) -> Exchange:
    """One request of a socket, as the gate sees requests."""
    settings = app.settings
    dressed = {**scope, "method": "POST", "path": f"/api/v1/{kind}" if kind else PATH}
    exchange = Exchange(dressed, _nothing, send, limit=settings.body_limit, wait_seconds=settings.wait_seconds)
    exchange.route = f"{PATH} {kind}" if kind else PATH
    exchange.peer = app.proxies.client(exchange.peer, exchange.headers)
    return exchange


def headers_of(scope: Message) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """The headers, with a key that came as a subprotocol where others send theirs; and the subprotocols."""
    protocols: list[str] = list(scope.get("subprotocols") or ())
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    keys = [protocol[len(KEY) :] for protocol in protocols if protocol.startswith(KEY)]
    return headers + [(b"authorization", f"Bearer {key}".encode()) for key in keys], protocols


def read_message(data: bytes) -> dict[str, object]:
    """Raises ``Invalid`` for what is no JSON object with a type."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the message is not JSON: {error}", remedy="send a JSON object") from error
    if not isinstance(body, dict):
        raise Invalid("the message is not a JSON object", remedy='{"type": "chat", "id": "1", ...}')
    if not isinstance(body.get("type"), str):
        raise Invalid("the message has no type", remedy='{"type": "chat", "id": "1", ...}', param="type")
    return body


async def refuse(error: FiresideError, send: Send) -> None:
    """An answer like any other's instead of an open socket."""
    status = status_of(error)
    await send({"type": "websocket.http.response.start", "status": status, "headers": [(b"content-type", JSON)]})
    await send({"type": "websocket.http.response.body", "body": write_error(error, status)})


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _nowhere(message: Message) -> None:
    return None
