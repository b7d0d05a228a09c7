"""Streams are pipelines of async generators; closing the outer one must close the inner ones at once."""

import asyncio
import types
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

from fireside.core.errors import FiresideError

Item = TypeVar("Item")


class closing(Generic[Item]):
    """``contextlib.aclosing`` for anything typed as an ``AsyncIterator``: closed when left, however it is left.

    A class, for it stands several times on the way of every answer, where a generator of a context manager costs a microsecond more.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncIterator[Item]) -> None:
        self._stream = stream

    async def __aenter__(self) -> AsyncIterator[Item]:
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        aclose = getattr(self._stream, "aclose", None)
        if aclose is not None:
            await aclose()


async def read_out(stream: AsyncIterator[object], seconds: float) -> None:
    """Read what is left, for so many seconds at most, and never mind how it ends.

    Most streams are at their end already. That is seen by one step by hand, and a timer, which costs more than all else here, is set only
    for those that have to wait.
    """
    with suppress(TimeoutError, FiresideError, StopAsyncIteration):
        step: Step = stream.__anext__().__await__()
        rest: Awaitable[None] | None = None
        with suppress(StopIteration):
            rest = _resumed(step, next(step))
        async with asyncio.timeout(seconds):
            if rest is not None:
                await rest
            async for _ in stream:
                pass


Step = Generator[object, object, object]


@types.coroutine
def _resumed(step: Step, waits_for: object) -> Generator[object, object, None]:
    """Go on with an awaitable that was stepped into by hand and waits for ``waits_for``."""
    while True:
        thrown: BaseException | None = None
        given: object = None
        try:
            given = yield waits_for
        except BaseException as error:  # noqa: BLE001  what is thrown in here is meant for the step
            thrown = error
        try:
            waits_for = step.send(given) if thrown is None else step.throw(thrown)
        except StopIteration:
            return


async def singly(batches: AsyncIterator[Iterable[Item]]) -> AsyncIterator[Item]:
    """The items of all batches one by one, for readers that take them one by one."""
    async with closing(batches):
        async for batch in batches:
            for item in batch:
                yield item
