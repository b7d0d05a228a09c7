"""One load for all who ask for it, and none that nobody waits for."""

import asyncio

import pytest

from fireside.core.errors import OutOfResources
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest
from fireside.gateway.flights import Flights
from fireside.gateway.signals import ModelWarmed
from fireside.gateway.warmup import stable_start
from support.gateways import Moody, ask, opened, until


def cold() -> Moody:
    engine = Moody(name="a")
    engine.loads.clear()
    return engine


async def test_those_who_ask_at_once_share_one_load():
    engine = cold()
    async with opened(engine) as (gateway, ears):
        tasks = [asyncio.create_task(gateway.warm(ask())) for _ in range(5)]
        await until(lambda: engine.warming)
        assert engine.warming == 1
        engine.loads.set()
        await asyncio.gather(*tasks)
        assert len(engine.warmed) == 1
        assert [(warmed.engine, warmed.model) for warmed in ears.of(ModelWarmed)] == [("a", "script")]


async def test_one_who_leaves_does_not_stop_the_load_for_the_others():
    engine = cold()
    async with opened(engine) as (gateway, _):
        leaver, stayer = (asyncio.create_task(gateway.warm(ask())) for _ in range(2))
        await until(lambda: engine.warming)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert engine.warming == 1
        engine.loads.set()
        await stayer


async def test_the_last_one_who_leaves_does():
    engine = cold()
    async with opened(engine) as (gateway, ears):
        tasks = [asyncio.create_task(gateway.warm(ask())) for _ in range(2)]
        await until(lambda: engine.warming)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not engine.warming)
        assert ears.of(ModelWarmed) == []


async def test_who_comes_after_the_last_one_left_starts_anew():
    engine = cold()
    async with opened(engine) as (gateway, _):
        first = asyncio.create_task(gateway.warm(ask()))
        await until(lambda: engine.warming)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        engine.loads.set()
        await gateway.warm(ask())
        assert len(engine.warmed) == 1


async def test_a_load_that_fails_fails_for_all_who_wait_and_not_for_who_comes_later():
    class Full(Moody):
        async def warm(self, request, card):
            await super().warm(request, card)
            if len(self.warmed) == 1:
                raise OutOfResources("no memory")

    engine = Full(name="a")
    async with opened(engine) as (gateway, _):
        results = await asyncio.gather(*(gateway.warm(ask()) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [OutOfResources, OutOfResources]
        await gateway.warm(ask())


def test_another_question_under_the_same_system_prompt_is_the_same_start():
    def start(system: str, question: str) -> str:
        return stable_start(ChatRequest((Message("system", system), Message("user", question))))

    assert start("be brief", "one") == start("be brief", "two")
    assert start("be brief", "one") != start("be long", "one")


async def test_closing_the_gateway_ends_a_load_under_way():
    engine = cold()
    async with opened(engine) as (gateway, _):
        task = asyncio.create_task(gateway.warm(ask()))
        await until(lambda: engine.warming)
        await gateway.aclose()
        assert engine.warming == 0
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_work_that_nobody_waits_for_goes_on_and_its_defect_is_logged(caplog):
    flights: Flights[None] = Flights()

    async def broken() -> None:
        raise ZeroDivisionError("a defect")

    task = flights.start("key", broken)
    await asyncio.wait([task])
    await flights.aclose()
    assert "a defect" in caplog.text
