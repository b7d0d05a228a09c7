"""Gateways over scripted engines, and ears for what they say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from fireside.core.errors import FiresideError, Invalid
from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, Delta
from fireside.engines.engine import EngineHealth, PullProgress
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.gateway.gateway import Gateway
from fireside.gateway.settings import GatewaySettings
from fireside.gateway.signals import Signal
from fireside.models.card import ModelCard

Heard = TypeVar("Heard", bound=Signal)


def ask(text: str = "hi", **fields: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), **fields)


def fill(prefix: str = "def ", **fields: object) -> CompletionRequest:
    return CompletionRequest(prefix, **{"suffix": "\n", **fields})


async def deltas_of(stream: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in stream]


async def text_of(stream: AsyncIterator[Delta]) -> str:
    return "".join([delta.text async for delta in stream])


async def until(condition) -> None:
    """Let the loop run until ``condition()`` holds; a guard ends the test when it never does."""
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0)


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ears:
    """Everything a gateway said, in order."""

    def __init__(self, events: EventBus) -> None:
        self.heard: list[Signal] = []
        events.subscribe(Signal, self.heard.append)

    def of(self, kind: type[Heard]) -> list[Heard]:
        return [signal for signal in self.heard if type(signal) is kind]


@asynccontextmanager
async def opened(
    *engines: ScriptedEngine, aliases=None, rng=None, **settings: object
) -> AsyncIterator[tuple[Gateway, Ears]]:
    events = EventBus()
    ears = Ears(events)
    gateway = Gateway(engines, settings=GatewaySettings(**settings), events=events, aliases=aliases, rng=rng)
    try:
        yield gateway, ears
    finally:
        await gateway.aclose()
        assert list(events.failures) == []


class Moody(ScriptedEngine):
    """A scripted engine whose state a test can change while it runs."""

    def __init__(self, *replies: object, listing_error: FiresideError | None = None, **options: object) -> None:
        super().__init__(*replies, **options)
        self.listing_error = listing_error
        self.state = EngineHealth("ready", "follows its script")
        self.listed = 0
        self.looked = 0
        self.loads = asyncio.Event()
        self.loads.set()
        self.warming = 0
        self.closed = 0

    async def models(self) -> list[ModelCard]:
        self.listed += 1
        if self.listing_error is not None:
            raise self.listing_error
        return await super().models()

    async def health(self) -> EngineHealth:
        self.looked += 1
        await asyncio.sleep(0)
        return self.state

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        self.warming += 1
        try:
            await self.loads.wait()
        finally:
            self.warming -= 1
        await super().warm(request, card)

    async def aclose(self) -> None:
        self.closed += 1


class Unpullable(Moody):
    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        raise Invalid(f"{self.name} cannot pull")
        yield PullProgress("never")


def card(name: str, engine: str, *can: str, **fields: object) -> ModelCard:
    return ModelCard(
        name=name, engine=engine, **{"context_window": 8192, "capabilities": frozenset(can or ("chat",)), **fields}
    )


__all__ = [
    "Clock",
    "Ears",
    "Moody",
    "Unpullable",
    "ask",
    "card",
    "deltas_of",
    "fill",
    "opened",
    "scripted_card",
    "text_of",
    "until",
]
