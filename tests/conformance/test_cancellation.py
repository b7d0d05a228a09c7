"""Closing a stream stops the work behind it at once, and harms nothing else."""

import asyncio
from contextlib import aclosing

import pytest

from fireside.core.requests import Sampling
from support.answers import GUARD, read
from support.subject import Says, Subject

# Greedy, so that random weights do not end the answer by chance.
LONG = Sampling(max_tokens=4000, temperature=0.0)


async def works(subject: Subject) -> None:
    says = Says(text="Still here.")
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_closing_before_the_first_token_frees_the_engine(subject: Subject):
    stream = subject.engine.chat(subject.ask(Says(hold_after=0), sampling=LONG), subject.card)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.wait([first], timeout=0.05)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await stream.aclose()
    await subject.idle()
    await works(subject)


async def test_closing_in_mid_stream_frees_the_engine(subject: Subject):
    stream = subject.engine.chat(subject.ask(Says(hold_after=2), sampling=LONG), subject.card)
    async with asyncio.timeout(GUARD), aclosing(stream):
        await anext(stream)
    await subject.idle()
    await works(subject)


async def test_closing_after_the_end_changes_nothing(subject: Subject):
    stream = subject.engine.chat(subject.ask(), subject.card)
    await read(stream)
    await stream.aclose()
    await works(subject)


async def test_closing_twice_is_as_good_as_once(subject: Subject):
    stream = subject.engine.chat(subject.ask(Says(hold_after=1), sampling=LONG), subject.card)
    async with asyncio.timeout(GUARD):
        await anext(stream)
        await stream.aclose()
        await stream.aclose()
    await subject.idle()


async def test_cancelling_the_reading_task_frees_the_engine(subject: Subject):
    seen = asyncio.Event()

    async def reading() -> None:
        async with aclosing(
            subject.engine.chat(subject.ask(Says(hold_after=2), sampling=LONG), subject.card)
        ) as stream:
            async for _ in stream:
                seen.set()

    task = asyncio.create_task(reading())
    async with asyncio.timeout(GUARD):
        await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await subject.idle()
    await works(subject)


async def test_closing_a_completion_frees_the_engine(subject: Subject):
    if not subject.card.can("fim"):
        return await works(subject)
    stream = subject.engine.complete(subject.fill(Says(hold_after=1), max_tokens=2000), subject.card)
    async with asyncio.timeout(GUARD), aclosing(stream):
        await anext(stream)
    await subject.idle()
    return await works(subject)


async def test_ten_streams_closed_in_a_row_leave_nothing_behind(subject: Subject):
    for _ in range(10):
        stream = subject.engine.chat(subject.ask(Says(hold_after=1), sampling=LONG), subject.card)
        async with asyncio.timeout(GUARD), aclosing(stream):
            await anext(stream)
    await subject.idle()
    await works(subject)
