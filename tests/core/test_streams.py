"""What is left of a stream is read, if that does not take long."""

import asyncio

import pytest

from fireside.core.errors import ConnectionFailed
from fireside.core.streams import closing, read_out, singly


class Source:
    """A stream with an end that can be waited for."""

    def __init__(self, *items: int, end: asyncio.Event | None = None, error: Exception | None = None) -> None:
        self.read: list[int] = []
        self.closed = False
        self._items, self._end, self._error = items, end, error

    async def stream(self):
        try:
            for item in self._items:
                self.read.append(item)
                yield item
            if self._end is not None:
                await self._end.wait()
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


async def test_a_stream_at_its_end_is_seen_to_be_there():
    source = Source(1)
    stream = source.stream()
    await anext(stream)
    await read_out(stream, 1)
    assert source.closed


async def test_what_comes_later_is_waited_for():
    end = asyncio.Event()
    source = Source(1, 2, end=end)
    stream = source.stream()
    await anext(stream)
    asyncio.get_running_loop().call_soon(end.set)
    await read_out(stream, 1)
    assert source.read == [1, 2]
    assert source.closed


async def test_an_end_that_waits_from_the_first_step_on_is_waited_for_too():
    end = asyncio.Event()
    source = Source(1, end=end)
    stream = source.stream()
    await anext(stream)
    asyncio.get_running_loop().call_soon(end.set)
    await read_out(stream, 1)
    assert source.closed


async def test_an_end_that_never_comes_is_left_alone():
    source = Source(1, end=asyncio.Event())
    stream = source.stream()
    await anext(stream)
    await read_out(stream, 0.01)
    assert source.closed


async def test_a_typed_fault_at_the_end_changes_nothing_and_any_other_is_seen():
    await read_out(Source(error=ConnectionFailed("reset")).stream(), 1)
    with pytest.raises(ZeroDivisionError):
        await read_out(Source(error=ZeroDivisionError()).stream(), 1)


async def test_who_leaves_meanwhile_leaves_at_once():
    source = Source(1, end=asyncio.Event())
    stream = source.stream()
    await anext(stream)
    reader = asyncio.create_task(read_out(stream, 60))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert source.closed


async def test_closing_closes_however_it_is_left():
    source = Source(1, 2)

    async def leave() -> None:
        async with closing(source.stream()) as stream:
            raise KeyError(await anext(stream))

    with pytest.raises(KeyError):
        await leave()
    assert source.closed


async def test_batches_are_read_one_by_one():
    async def batches():
        yield [1, 2]
        yield [3]

    assert [item async for item in singly(batches())] == [1, 2, 3]
