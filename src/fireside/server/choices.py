"""Several answers to one request (OpenAI's ``n``, or several prompts), told apart by an index: whole, or mixed in one stream."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from fireside.core.errors import FiresideError
from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.gateway.batches import Batches
from fireside.server.answering import gathered
from fireside.server.exchange import Exchange
from fireside.wire.answers import Answer

Result = TypeVar("Result")
Ask = Callable[[int], Batches]


class Several(Answer, Protocol):
    """An answer of several parts; behind the last of them stands whatever ends the stream."""

    def write(self, deltas: Sequence[Delta], *, index: int = 0) -> bytes: ...

    def whole_of(self, answers: Sequence[Sequence[Delta]]) -> bytes: ...


async def answer_all(exchange: Exchange, answer: Several, ask: Ask, count: int, *, stream: bool) -> None:
    """``ask``: opens the answer of an index. When one of them fails, all end: half of what was asked for is an error."""
    with exchange.watched():
        if not stream:
            answers = await _together([_whole(ask(index)) for index in range(count)])
            await exchange.reply(answer.whole_of(answers), headers=exchange.story.headers())
            return
        await exchange.begin(answer.media_type.encode())
        await exchange.write(answer.begin())
        try:
            await _together([_copy(exchange, answer, ask(index), index) for index in range(count)])
        except FiresideError as error:
            await exchange.end(answer.fail(error))
        else:
            await exchange.end()


async def _whole(batches: Batches) -> list[Delta]:
    async with closing(batches):
        return await gathered(batches)


async def _copy(exchange: Exchange, answer: Several, batches: Batches, index: int) -> None:
    async with closing(batches):
        async for batch in batches:
            await exchange.write(answer.write(batch, index=index))


async def _together(work: Sequence[Awaitable[Result]]) -> list[Result]:
    """All results, in order. The first failure ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
