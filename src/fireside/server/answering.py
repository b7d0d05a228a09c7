"""A gateway's answer to a client: whole or as a stream, with its true status as long as nothing was sent.

Until the first content an error still has its own status, for nothing has gone out; a stream that stays silent is told after a while that
it waits, and from then on an error can only be said in the stream.
"""

import asyncio
from contextlib import suppress

from fireside.core.errors import FiresideError, Invalid
from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.gateway.batches import Batches
from fireside.server.exchange import Exchange
from fireside.wire.answers import Answer


async def answer_with(exchange: Exchange, answer: Answer, batches: Batches, *, stream: bool) -> None:
    """Send the answer. Raises what went wrong as long as nothing was sent; later it is said in the stream. A client that goes ends it."""
    with exchange.watched():
        async with closing(batches):
            if stream:
                await Streamed(exchange, answer, batches).run()
            else:
                await exchange.reply(answer.whole(await gathered(batches)), headers=exchange.story.headers())


async def gathered(batches: Batches) -> list[Delta]:
    """All pieces. Raises ``Invalid`` (409) for an answer that a newer request ended."""
    deltas: list[Delta] = []
    async for batch in batches:
        deltas += batch
    if deltas[-1].finish_reason == "cancelled":
        raise superseded()
    return deltas


def superseded() -> Invalid:
    return Invalid("a newer request of the same document took this one's place", http_status=409, cause="superseded")


class Streamed:
    """One answer as a stream."""

    def __init__(self, exchange: Exchange, answer: Answer, batches: Batches) -> None:
        self._exchange = exchange
        self._answer = answer
        self._batches = batches
        self._waiting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._exchange.wait_seconds, self._start_waiting)
        try:
            batch = await anext(self._batches)
        except FiresideError as error:
            if not await self._stopped(timer):
                raise
            await self._exchange.end(self._answer.fail(error))
            return
        except BaseException:
            await self._stopped(timer)
            raise
        if await self._stopped(timer):
            begin = b""
        else:
            if batch[0].finish_reason == "cancelled":
                raise superseded()
            await self._exchange.begin(self._media_type, self._exchange.story.headers())
            begin = self._answer.begin()
        await self._relay(begin, batch)

    async def _relay(self, begin: bytes, batch: list[Delta]) -> None:
        exchange, answer = self._exchange, self._answer
        try:
            while batch[-1].finish_reason is None:
                await exchange.write(begin + answer.write(batch))
                begin = b""
                batch = await anext(self._batches)
        except FiresideError as error:
            await exchange.end(answer.fail(error))
            return
        if batch[-1].finish_reason == "cancelled":
            await exchange.end(begin + answer.fail(superseded()))
            return
        await exchange.end(begin + answer.write(batch))
        async for _ in self._batches:
            pass

    @property
    def _media_type(self) -> bytes:
        return self._answer.media_type.encode()

    def _start_waiting(self) -> None:
        self._waiting = asyncio.ensure_future(self._wait())

    async def _stopped(self, timer: asyncio.TimerHandle) -> bool:
        """End the waiting; whether the head has gone out."""
        timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
            with suppress(asyncio.CancelledError):
                await self._waiting
        return self._exchange.status != 0

    async def _wait(self) -> None:
        """Open the stream and say that it waits, again and again. A dialect without such words is kept waiting in silence."""
        exchange, note = self._exchange, self._answer.wait(self._exchange.story.note)
        if not note:
            return
        await exchange.begin(self._media_type, exchange.story.headers())
        await exchange.write(self._answer.begin() + note)
        while True:
            await asyncio.sleep(exchange.wait_seconds)
            await exchange.write(self._answer.wait(exchange.story.note))
