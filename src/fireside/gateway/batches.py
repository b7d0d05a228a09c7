"""Deltas in batches: what one read from the network brought travels through the gateway together.

A burst of a hundred tokens costs one walk through queue, recovery and door instead of a hundred, and each piece still stays a piece.
An engine that knows its reads offers ``stream``; any other gives one Delta at a time.
"""

from collections.abc import AsyncIterator
from typing import Protocol, cast

from fireside.core.requests import ChatRequest, CompletionRequest, Delta
from fireside.core.streams import closing
from fireside.engines.engine import Engine
from fireside.models.card import ModelCard

Batches = AsyncIterator[list[Delta]]


class Streaming(Protocol):
    """An engine that gives an answer in batches; none is empty, and a finish reason stands at the end of the last one."""

    def stream(self, request: ChatRequest | CompletionRequest, card: ModelCard) -> Batches: ...


def asked(engine: Engine, request: ChatRequest | CompletionRequest, card: ModelCard) -> Batches:
    """The engine's answer in batches, whatever it offers."""
    own = getattr(engine, "stream", None)
    if own is not None:
        return cast(Streaming, engine).stream(request, card)
    if isinstance(request, ChatRequest):
        return each(engine.chat(request, card))
    return each(engine.complete(request, card))


async def each(deltas: AsyncIterator[Delta]) -> Batches:
    """Every Delta as a batch of its own."""
    async with closing(deltas):
        async for delta in deltas:
            yield [delta]
