"""Requests that begin alike and come together cost one reading of their beginning."""

import asyncio

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Delta
from fireside.engines.engine import Boundary
from support.gateways import Moody, opened, text_of, until

LONG = "You are careful. " * 400


class Remembering(Moody):
    """Reads a beginning when told, and counts how often it had to: what was read by the time it is asked is known to it."""

    keeps_prefixes = True

    def __init__(self, **options: object) -> None:
        super().__init__("x", name="a", **options)
        self.read = asyncio.Event()
        self.cold = 0
        self.at_work = 0
        self.fails = False
        self._known: set[str] = set()

    async def stream(self, request, card):
        self.at_work += 1
        try:
            beginning = request.messages[0].content
            if beginning not in self._known:
                self.cold += 1
                await self.read.wait()
                if self.fails:
                    self.fails = False
                    raise ConnectionFailed("gone")
                self._known.add(beginning)
            yield [Delta("answer")]
            yield [Delta(finish_reason="stop")]
        finally:
            self.at_work -= 1


def talk(question: int, system: str = LONG) -> ChatRequest:
    return ChatRequest((Message("system", system), Message("user", str(question))))


def start(gateway, *requests: ChatRequest) -> list[asyncio.Task]:
    return [asyncio.create_task(text_of(gateway.chat(request))) for request in requests]


WIDE = {"parallel": {"a": 9}, "typing_slots": 0, "retries": 0}


async def test_eight_that_begin_alike_cost_one_reading():
    engine = Remembering()
    async with opened(engine, **WIDE) as (gateway, _):
        tasks = start(gateway, *map(talk, range(8)))
        await until(lambda: engine.at_work == 1)
        engine.read.set()
        assert await asyncio.gather(*tasks) == ["answer"] * 8
        assert engine.cold == 1
        assert await text_of(gateway.chat(talk(9))) == "answer"


@pytest.mark.parametrize("system", ["Be brief.", None])
async def test_short_or_different_beginnings_do_not_wait_for_each_other(system):
    engine = Remembering()
    async with opened(engine, **WIDE) as (gateway, _):
        tasks = start(gateway, *(talk(n, system or LONG + str(n)) for n in range(3)))
        await until(lambda: engine.at_work == 3)
        engine.read.set()
        await asyncio.gather(*tasks)


async def test_an_engine_that_remembers_nothing_or_is_elsewhere_is_asked_at_once():
    for engine in (Remembering(boundary=Boundary.NETWORK), Remembering()):
        engine.keeps_prefixes = engine.boundary is Boundary.NETWORK
        async with opened(engine, **WIDE) as (gateway, _):
            tasks = start(gateway, *map(talk, range(3)))
            await until(lambda engine=engine: engine.at_work == 3)
            engine.read.set()
            await asyncio.gather(*tasks)


async def test_when_the_first_leaves_the_next_reads():
    engine = Remembering()
    async with opened(engine, **WIDE) as (gateway, _):
        first, second, third = start(gateway, *map(talk, range(3)))
        await until(lambda: engine.at_work == 1)
        first.cancel()
        await until(lambda: engine.cold == 2)
        assert engine.at_work == 1
        engine.read.set()
        assert await asyncio.gather(second, third) == ["answer"] * 2


async def test_when_the_first_fails_the_next_reads():
    engine = Remembering()
    engine.fails = True
    async with opened(engine, **WIDE) as (gateway, _):
        first, second = start(gateway, *map(talk, range(2)))
        await until(lambda: engine.at_work == 1)
        engine.read.set()
        with pytest.raises(FiresideError):
            await first
        assert await second == "answer"
        assert engine.cold == 2


async def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("fireside.gateway.prefixes.PATIENCE", 0.01)
    engine = Remembering()
    async with opened(engine, **WIDE) as (gateway, _):
        tasks = start(gateway, *map(talk, range(2)))
        await until(lambda: engine.at_work == 2)
        engine.read.set()
        await asyncio.gather(*tasks)
