"""Our own API's place in the server: its routes and rights. What answers there (FastAPI, pydantic) is loaded when it is first asked for.

Who asks, limits and errors are the server's: an error that comes back is drawn like any other.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.app.fireside import Fireside
from fireside.server import pages
from fireside.server.asking import Asking
from fireside.server.exchange import Application, Exchange, Message, Receive, Send
from fireside.server.own.words import write_error
from fireside.server.routes import Route, Table, named

if TYPE_CHECKING:
    from fireside.server.own.api import Api

# A key for completions alone need not know who else asks what; whoever may chat may also have the project read and see settings.
PLACES: Mapping[tuple[str, str], str] = {
    ("POST", "/api/v1/chat"): "chat",
    ("POST", "/api/v1/complete"): "complete",
    ("GET", "/api/v1/search"): "view",
    ("POST", "/api/v1/search"): "view",
    ("GET", "/api/v1/symbols/*"): "view",
    ("GET", "/api/v1/index"): "view",
    ("POST", "/api/v1/index"): "chat",
    ("GET", "/api/v1/models"): "models",
    ("GET", "/api/v1/models/*"): "models",
    ("POST", "/api/v1/models/pull"): "admin",
    ("POST", "/api/v1/embed"): "embed",
    ("GET", "/api/v1/config"): "chat",
    ("PATCH", "/api/v1/config"): "admin",
    ("GET", "/api/v1/metrics"): "view",
    ("GET", "/api/v1/health"): "view",
    ("GET", "/api/v1/requests"): "view",
    ("DELETE", "/api/v1/requests/*"): "chat",
}
JSON_HEADER = (b"content-type", b"application/json")


@dataclass(slots=True)
class Visit:
    """One request on its way through FastAPI. ``error``: why it was not answered."""

    exchange: Exchange
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """``document``: OpenAPI's, as JSON. ``docs``: the same for people, as HTML."""

    api: "Api"
    application: Application
    document: bytes
    docs: str


class Mount:
    """``table``: all routes of the server, asked late: the OpenAPI document tells the whole address."""

    def __init__(self, fireside: Fireside, asking: Asking, table: Callable[[], Table]) -> None:
        self._fireside = fireside
        self._asking = asking
        self._table = table
        self._building: asyncio.Task[Built] | None = None

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places = {place: (self.answer, right) for place, right in PLACES.items()}
        open_places = {
            ("GET", "/"): (pages.home, ""),
            ("GET", "/docs"): (self.docs, ""),
            ("GET", "/openapi.json"): (self.document, ""),
        }
        return named({**places, **open_places}, write_error)

    async def api(self) -> "Api":
        """What answers, for a door that is not HTTP."""
        return (await self._built()).api

    async def answer(self, exchange: Exchange) -> None:
        """Raises what FastAPI's side raised."""
        visit = Visit(exchange)
        application = (await self._built()).application

        async def bounded(scope: Message, receive: Receive, send: Send) -> None:
            # Read here, because here a body has a limit; and it is JSON whatever its header says, as in every dialect.
            body = await exchange.body()
            headers = [each for each in scope["headers"] if each[0] != b"content-type"]
            # The server leaves out the body of an answer to HEAD by itself.
            method = "GET" if exchange.method == "HEAD" else exchange.method
            dressed = {**scope, "method": method, "fireside": visit, "headers": [*headers, JSON_HEADER]}
            await application(dressed, replayed(body, receive), send)

        await exchange.hand_over(bounded)
        if visit.error is not None:
            raise visit.error

    async def document(self, exchange: Exchange) -> None:
        await exchange.reply((await self._built()).document)

    async def docs(self, exchange: Exchange) -> None:
        await pages.reply_html(exchange, (await self._built()).docs)

    async def _built(self) -> Built:
        """Built in a thread, once: loading FastAPI takes most of a second, and streams go on meanwhile."""
        if self._building is None or (self._building.done() and self._building.exception() is not None):
            self._building = asyncio.ensure_future(asyncio.to_thread(self._build))
        return await asyncio.shield(self._building)

    def _build(self) -> Built:
        import orjson

        from fireside.server.own.api import Api
        from fireside.server.own.application import build
        from fireside.server.own.document import complete_document

        api = Api(self._fireside, self._asking)
        application = build(api)
        document = complete_document(application.openapi(), self._table().exact)
        return Built(api, application, orjson.dumps(document), pages.docs(document))


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body again, whole, and then what comes after it."""
    first = True

    async def again() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return again
