"""A small HTTP server on loopback that keeps a contract, and breaks it on demand.

Knows what can go wrong with any answer; what an answer is, its children know. Whatever waits, waits for an event or for the client to go
away, never for time to pass.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from fireside.core.messages import ToolCall

PIECE = re.compile(r"\s*\S+|\s+")
TOKEN = re.compile(r"[^\W\d_]+|\d|_|[^\w\s]")
PAGE = "<!doctype html><html><head><title>Welcome</title></head><body>It works</body></html>"
BODY = web.RequestKey("body", dict)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeReply:
    """``pieces``: the text as it is to be cut (else at blanks). ``when``: a regular expression the last message must hold.

    ``finish``: the reason as the API spells it, in place of the true one. ``usage``: prompt and answer tokens in place of the true ones.
    """

    text: str = ""
    pieces: Sequence[str] | None = None
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    when: str = ""
    finish: str | None = None
    usage: tuple[int, int] | None = None


@dataclass
class Faults:
    """What goes wrong with a POST. ``..._after``: counted in pieces of the answer's content.

    ``reset``: the connection is reset before an answer. ``hold_head``: the head waits for this event. ``error``: (status, body) in place
    of an answer, with ``error_headers``; a body that is not text goes out as JSON. ``html``: a web page under this status, on every route.
    ``redirect``: on every route, to there. ``body``: these bytes as the whole answer, status 200, JSON. ``hold_after``: silence until
    ``gate`` is set (None: until the client leaves). ``cut_after``: the connection is reset. ``close_after``: it is closed in the middle of
    the body. ``end_after``: the body ends in good order, but early. ``broken_after``: an event that is not JSON. ``error_after``:
    ``error_event`` inside the stream. ``no_finish``: no reason is given at the end. ``no_end``: the mark after the last event is missing.
    ``split``: bytes per write, 0 for whole events. ``crlf``, ``comments``: how events are written.
    """

    reset: bool = False
    hold_head: asyncio.Event | None = None
    error: tuple[int, object] | None = None
    error_headers: Mapping[str, str] = field(default_factory=dict)
    html: int = 0
    redirect: str = ""
    body: bytes | None = None
    hold_after: int | None = None
    gate: asyncio.Event | None = None
    cut_after: int | None = None
    close_after: int | None = None
    end_after: int | None = None
    broken_after: int | None = None
    error_after: int | None = None
    error_event: object = None
    no_finish: bool = False
    no_end: bool = False
    split: int = 0
    crlf: bool = False
    comments: bool = False


@dataclass
class Seen:
    """A request as it came. ``headers``: any case. ``body``: its JSON, an empty object where there was none."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass
class FakeHttp:
    """``requests``: what was asked. ``aborted``: set when a client left before its answer was complete. ``waiting``: set when a request
    has come to a fault that holds it. ``running``: requests being answered now. ``peers``: one entry for each connection so far."""

    replies: Sequence[FakeReply | str] | FakeReply | str = ("Hello from a fake.",)
    faults: Faults = field(default_factory=Faults)
    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    peers: set[object] = field(default_factory=set)
    _used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rehearse(*((self.replies,) if isinstance(self.replies, str | FakeReply) else self.replies))

    def routes(self) -> Mapping[str, Handler]:
        """``METHOD /path`` -> handler."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._watch], client_max_size=64 << 20)
        for route, handler in self.routes().items():
            method, path = route.split(" ")
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.vanish()

    async def vanish(self) -> None:
        """Stop listening; from now on connections are refused."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def asked(self, path: str) -> list[dict[str, object]]:
        """The bodies sent to one route, in order."""
        return [seen.body for seen in self.requests if seen.path == path]

    def rehearse(self, *replies: FakeReply | str) -> None:
        """Say this from now on."""
        self.replies, self._used = replies, set()

    def choose(self, asked: str) -> FakeReply:
        """The first unused reply whose ``when`` fits; the last one that fits is said again for ever."""
        replies = [reply if isinstance(reply, FakeReply) else FakeReply(reply) for reply in self.replies]
        fitting = [index for index, reply in enumerate(replies) if re.search(reply.when, asked)]
        unused = [index for index in fitting if index not in self._used]
        chosen = unused[0] if unused else fitting[-1]
        self._used.add(chosen)
        return replies[chosen]

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        request[BODY] = body
        self.requests.append(Seen(request.method, request.path, request.headers.copy(), body))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.running += 1
        try:
            refused = await self._refusal(request)
            return await handler(request) if refused is None else refused
        except (asyncio.CancelledError, ConnectionError):
            self.aborted.set()
            raise
        finally:
            self.running -= 1

    async def _refusal(self, request: web.Request) -> web.Response | None:
        faults = self.faults
        if faults.html:
            return web.Response(text=PAGE, content_type="text/html", status=faults.html)
        if faults.redirect:
            return web.Response(status=307, headers={"Location": faults.redirect})
        if request.method != "POST":
            return None
        if faults.hold_head is not None:
            await self._hold(faults.hold_head)
        if faults.reset:
            reset(request)
            return web.Response()
        if faults.error is not None:
            status, body = faults.error
            if isinstance(body, str):
                return web.Response(text=body, status=status, headers=faults.error_headers)
            return web.json_response(body, status=status, headers=faults.error_headers)
        if faults.body is not None:
            return web.Response(body=faults.body, content_type="application/json")
        return None

    async def _hold(self, event: asyncio.Event | None) -> None:
        self.waiting.set()
        await (event or asyncio.Event()).wait()

    async def say(
        self,
        request: web.Request,
        pieces: Sequence[bytes],
        *,
        before: Sequence[bytes] = (),
        after: Sequence[bytes] = (),
    ) -> web.StreamResponse:
        """Stream events: those ``before`` the content, its ``pieces``, and those ``after`` it, with the faults among the pieces."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in before:
            await self._write(response, event)
        for sent, event in enumerate([*pieces, b""]):
            if await self._broken(request, response, sent):
                return response
            await self._write(response, event)
        for event in after:
            await self._write(response, event)
        return response

    async def _broken(self, request: web.Request, response: web.StreamResponse, sent: int) -> bool:
        """Whether a fault ends the stream before its next piece."""
        faults = self.faults
        if sent == faults.hold_after:
            await self._hold(faults.gate)
        if sent == faults.broken_after:
            await response.write(b'data: {"this": is no JSON\n\n')
            return True
        if sent == faults.error_after:
            await response.write(b"event: error\ndata: " + json.dumps(faults.error_event).encode() + b"\n\n")
            return True
        if sent == faults.cut_after:
            reset(request)
            return True
        if sent == faults.close_after:
            assert request.transport is not None
            request.transport.close()
            return True
        return sent == faults.end_after

    async def _write(self, response: web.StreamResponse, event: bytes) -> None:
        if not event:
            return
        data = b": a comment\n" + event if self.faults.comments else event
        data = data.replace(b"\n", b"\r\n") if self.faults.crlf else data
        step = self.faults.split or len(data)
        for start in range(0, len(data), step):
            await response.write(data[start : start + step])
            if self.faults.split:
                await asyncio.sleep(0)


def reset(request: web.Request) -> None:
    """Break the connection off without another byte."""
    assert request.transport is not None
    request.transport.abort()


def count(text: str) -> int:
    """Tokens, as the fakes count them."""
    return len(TOKEN.findall(text))


def spoken(reply: FakeReply, *, stops: Sequence[str], limit: int | None) -> tuple[list[str], bool]:
    """The pieces of a reply's text up to a stop sequence and a limit of pieces; whether the limit cut it."""
    text = "".join(reply.pieces) if reply.pieces is not None else reply.text
    short = text
    for stop in stops:
        short = short.split(stop)[0]
    pieces = list(reply.pieces) if reply.pieces is not None and short == text else PIECE.findall(short)
    return (pieces, False) if limit is None or len(pieces) <= limit else (pieces[:limit], True)


def instance_of(schema: object) -> object:
    """Some JSON that fits a schema, as constrained decoding would give. Anything unknown gives an empty object."""
    if not isinstance(schema, Mapping):
        return {}
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return instance_of(options[0])
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    simple = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
    if schema.get("type") in simple:
        return simple[schema["type"]]
    if schema.get("type") == "array":
        return [instance_of(schema.get("items"))] * max(1, schema.get("minItems", 0))
    return {name: instance_of(part) for name, part in schema.get("properties", {}).items()}


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
