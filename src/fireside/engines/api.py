"""One HTTP API with a key: requests and event streams for the engines that speak somebody's JSON.

Knows addresses, keys and failures; what the JSON means is ``wire``'s.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from fireside.core.errors import FiresideError, Invalid, NotPermitted
from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.base_url import BaseUrl
from fireside.engines.egress import Errand, boundary_of
from fireside.engines.engine import Boundary, PullProgress
from fireside.engines.reply import explain
from fireside.engines.transport import BODY_LIMIT, Stream, Timeouts, Transport
from fireside.models.card import Capability, ModelCard
from fireside.wire.framing import SseEvent, SseParser
from fireside.wire.plain import read_plain

Json = dict[str, object]
DRAIN = 0.05
QUICK = Timeouts(connect=0.8, load=0.8, first_token=0.8, stall=0.8)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key by its secret's name; the value is looked up for each request and kept nowhere."""

    name: str
    secret: Callable[[str], str | None]

    def value(self, host: str) -> str | None:
        """``None`` where no key is wanted. Raises ``NotPermitted`` when one is, and is not set."""
        if not self.name:
            return None
        found = self.secret(self.name)
        if not found:
            raise NotPermitted(
                f"{host} asks for a key, and the secret {self.name!r} is not set",
                remedy=f"fireside config secret set {self.name}",
                cause="no_key",
            )
        return found


class Reader(Protocol):
    """What makes Deltas of events: ``done`` once the stream has said that nothing follows."""

    @property
    def done(self) -> bool: ...

    def read(self, event: SseEvent) -> list[Delta]: ...

    def read_chunk(self, data: object) -> list[Delta]:
        """A whole answer that was not streamed, decoded."""
        ...

    def end(self) -> list[Delta]: ...


@dataclass(slots=True)
class Api:
    """``headers``: the key in the form this API wants. ``extra``: sent with every request. ``busy``: streams open now."""

    name: str
    base: BaseUrl
    boundary: Boundary
    timeouts: Timeouts
    transport: Transport
    key: Key
    headers: Callable[[str], Mapping[str, str]]
    extra: Mapping[str, str]
    busy: int = 0

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        purpose: str,
        model: str = "",
        timeouts: Timeouts | None = None,
    ) -> Json:
        """One JSON object. ``url``: whole, or a path behind the base. Raises what the answer means when it is not one."""
        whole = url if "://" in url else self.base.url + url
        answer = await self.transport.request(
            method,
            whole,
            json=body,
            headers=self._headers({}),
            timeouts=timeouts or self.timeouts,
            errand=self._errand(purpose),
        )
        if not answer.ok:
            raise explain(answer, model=model)
        return answer.object()

    async def stream(
        self, path: str, body: object, reader: Reader, *, purpose: str, model: str
    ) -> AsyncIterator[list[Delta]]:
        """One answer in batches, a read from the network each. A server may also give a whole answer, asked for or not.

        Afterwards the rest of the body is read for a moment, so that the connection serves again.
        """
        self.busy += 1
        try:
            async with self.transport.stream(
                "POST",
                self.base.url + path,
                json=body,
                headers=self._headers({"accept": "text/event-stream"}),
                timeouts=self.timeouts,
                errand=self._errand(purpose),
            ) as stream:
                kind = stream.headers.get("content-type", "")
                if stream.status != 200 or kind.startswith("text/html"):
                    raise explain(await stream.whole(), model=model)
                if kind.startswith("application/json"):
                    answer = await stream.whole(BODY_LIMIT)
                    yield read_plain(answer.body) or [*reader.read_chunk(answer.object()), *reader.end()]
                    return
                async with closing(read_events(stream, reader)) as batches:
                    async for batch in batches:
                        yield batch
        finally:
            self.busy -= 1

    async def answer(
        self, path: str, body: object, reader: Reader, *, purpose: str, model: str
    ) -> AsyncIterator[Delta]:
        """``stream``, piece by piece."""
        async with closing(self.stream(path, body, reader, purpose=purpose, model=model)) as batches:
            async for batch in batches:
                for delta in batch:
                    yield delta

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        value = self.key.value(self.base.host)
        return {**self.extra, **(self.headers(value) if value else {}), **more}

    def _errand(self, purpose: str) -> Errand:
        return Errand(engine=self.name, purpose=purpose, within=self.boundary)


def boundary_for(base: BaseUrl, given: Literal["auto", "network", "cloud"]) -> Boundary:
    """What the settings say, else what the host looks like."""
    if given == "auto":
        return boundary_of(base.host)
    return Boundary.NETWORK if given == "network" else Boundary.CLOUD


def check_request(request: ChatRequest, card: ModelCard) -> None:
    """Raises ``Invalid`` for what this model cannot do: never dropped, never sent to be ignored."""
    if not request.messages:
        raise Invalid("a conversation needs at least one message", remedy="ask something")
    if not card.can("chat"):
        raise cannot(card, "chat", "chat")
    if request.tools and request.tool_choice != "none" and not card.can("tools"):
        raise cannot(card, "tools", "call tools")
    if request.response_format is not None and not card.can("json_schema"):
        raise cannot(card, "json_schema", "be held to a JSON schema")
    if any(message.images for message in request.messages) and not card.can("vision"):
        raise cannot(card, "vision", "see images")


def fitted(request: ChatRequest, card: ModelCard) -> ChatRequest:
    """The request without what this model cannot do and may do without. Raises ``Invalid`` for what it may not."""
    check_request(request, card)
    reasoning = request.reasoning if card.can("thinking") else None
    tools = request.tools if card.can("tools") else ()
    if reasoning == request.reasoning and tools is request.tools:
        return request
    return replace(request, reasoning=reasoning, tools=tools)


def cannot(card: ModelCard, capability: Capability, words: str) -> Invalid:
    return Invalid(
        f"{card.name} at {card.engine} cannot {words}",
        remedy=f"choose a model with {capability} (fireside models list), or name it under engines.{card.engine}.models",
        capability=capability,
    )


def refuse_pull(name: str, engine: str) -> PullProgress:
    """Raises ``Invalid``: such a server has its models from its own start-up."""
    raise Invalid(
        f"{engine} cannot be asked to bring {name or 'a model without a name'}",
        remedy="start that server with the model, or pull it with Ollama: fireside models pull NAME@ollama",
    )


async def read_events(stream: Stream, reader: Reader) -> AsyncIterator[list[Delta]]:
    """The Deltas of an event stream, one batch a read. What came before a fault is given before the fault is raised."""
    parser, begun = SseParser(), False
    chunks = stream.chunks(lambda: begun)
    async for chunk in chunks:
        deltas: list[Delta] = []
        try:
            for event in parser.feed(chunk):
                deltas += reader.read(event)
                if reader.done:
                    break
            if reader.done:
                deltas += reader.end()
        except FiresideError:
            if deltas:
                yield deltas
            raise
        if deltas:
            begun = True
            yield deltas
        if reader.done:
            with suppress(FiresideError, TimeoutError):
                async with asyncio.timeout(DRAIN):
                    async for _ in chunks:
                        pass
            return
    last = parser.end()
    deltas = reader.read(last) if last is not None else []
    try:
        deltas += reader.end()
    except FiresideError:
        if deltas:
            yield deltas
        raise
    yield deltas
