"""What happens during one request, as numbered events: server-sent events over HTTP, one message each over a WebSocket, or all as one.

Knows no engine and no agent. A stream that has begun can only say in itself that it failed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import orjson

from fireside.core.errors import FiresideError
from fireside.core.streams import closing
from fireside.server.exchange import Exchange
from fireside.server.own.running import Running
from fireside.server.own.words import describe

Item = TypeVar("Item")
MEDIA_TYPE = b"text/event-stream"
NAMES = (
    *(
        "context",
        "text",
        "reasoning",
        "tool_call",
        "tool_started",
        "tool_finished",
        "permission_asked",
        "edit_proposed",
    ),
    *("progress", "finished", "failed"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """``name``: one of ``NAMES``; the last is finished or failed."""

    name: str
    data: Mapping[str, object] = field(default_factory=dict)


Events = AsyncIterator[Event]


async def send_events(exchange: Exchange, events: Events, running: Running) -> None:
    """As server-sent events. Raises what went wrong before the first event; later it is said in the stream.

    A reader that goes away ends ``events``; one that is slow slows them down; a silent time is bridged by comments.
    """
    number = 0
    try:
        with running.entered(exchange):
            async with closing(unsilenced(events, exchange.wait_seconds)) as heard:
                async for event in heard:
                    if not exchange.status:
                        await exchange.begin(MEDIA_TYPE, exchange.story.headers())
                    if event is None:
                        await exchange.write(b": " + exchange.story.note.encode() + b"\n\n")
                        continue
                    number += 1
                    await exchange.write(written(event, number))
    except FiresideError as error:
        if not exchange.status:
            raise
        await exchange.write(written(failed(error), number + 1))
    await exchange.end()


async def unsilenced(stream: AsyncIterator[Item], seconds: float) -> AsyncIterator[Item | None]:
    """The items, and a ``None`` whenever none has come for so long. Closing it closes the stream at once, also while it is waiting."""
    async with closing(stream):
        coming: asyncio.Future[Item] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(_next(stream))
                done, _ = await asyncio.wait((coming,), timeout=seconds or None)
                if not done:
                    yield None
                    continue
                ready, coming = coming, None
                try:
                    item = ready.result()
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, FiresideError, StopAsyncIteration):
                    await coming


async def _next(stream: AsyncIterator[Item]) -> Item:
    return await anext(stream)


def failed(error: FiresideError) -> Event:
    return Event("failed", {"error": describe(error)})


def written(event: Event, number: int) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (event.name.encode(), number, orjson.dumps(event.data))
